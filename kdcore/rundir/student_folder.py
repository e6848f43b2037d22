"""The names in a student's folder, and whether the folder is whole. Imports no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from kdcore.rundir.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
SECTION: Final = "kdcore"
"""Key of kd's own section in the configuration, which timm ignores."""
DIGEST: Final = "sha256"
"""Key in that section: SHA-256 of the weights' file."""


def damage(folder: Path) -> str | None:
    """What is wrong with a student's folder, in a few words; None where it is whole."""
    weights = folder / WEIGHTS
    if not folder.is_dir():
        return f"{folder.name}/ is missing"
    if not weights.is_file() or weights.stat().st_size == 0:
        return f"{folder.name}/{WEIGHTS} is missing or empty"
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        written = config[SECTION].get(DIGEST)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{folder.name}/{CONFIG} is missing or damaged"
    if written is not None and sha256_of(weights) != written:
        return f"{folder.name}/{WEIGHTS} is damaged: its checksum is not the one that was written"
    return None
