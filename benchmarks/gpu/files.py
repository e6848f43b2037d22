"""JSON files that are whole at every moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_json(file: Path, value: Any) -> None:
    """Write completely or not at all; a number that JSON does not have is an error."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", "utf-8")
    new.replace(file)


def read_json(file: Path) -> Any:
    """What a file holds; None if there is no such file."""
    return json.loads(file.read_text("utf-8")) if file.exists() else None
