"""What an export says of itself: in a file next to it, and as metadata inside of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kdcore.inspect import EXPORT_ABOUT

if TYPE_CHECKING:
    from pathlib import Path

KEY: Final = "kd"
"""Under which the same is kept inside of files that can hold it."""


def as_texts(about: dict[str, Any]) -> dict[str, str]:
    """The same for formats whose metadata are texts by name: whole, and what runtimes look for by itself."""
    texts = {KEY: json.dumps(about), "preprocessing": json.dumps(about["input"])}
    if about["classes"] is not None:
        texts["classes"] = json.dumps(about["classes"])
    return texts


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write it next to the model."""
    (folder / EXPORT_ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
