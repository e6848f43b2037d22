"""Flags whose values are KEY=VALUE."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


def key_values(texts: Sequence[str] | None, flag: str, example: str) -> dict[str, Any]:
    """The values by their keys: as JSON where they are JSON, as text otherwise.

    Args:
        texts: what was given, each KEY=VALUE; a later one replaces an earlier one of the same key.
        flag: for messages.
        example: for messages, such as `depth=6`.

    Raises:
        UserError: a text is not KEY=VALUE.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(Problem(flag, "must be KEY=VALUE", text, f"such as {example}"))
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found
