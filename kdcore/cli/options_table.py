"""Options as a table for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kdcore.cli.output import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.commands.show.options import OptionInfo


def as_table(options: Sequence[OptionInfo]) -> list[str]:
    """A row for each option."""
    cells = [
        [item.name, item.type, "(required)" if item.required else json.dumps(item.default), item.meaning]
        for item in options
    ]
    return table(["name", "type", "default", "meaning"], cells)
