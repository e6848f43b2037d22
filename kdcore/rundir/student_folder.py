"""The file names in a student's folder, and a check that the folder is complete. Does not import torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kdcore.rundir.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
SECTION: Final = "kdcore"
"""Key of kd's own section in the configuration; timm ignores it."""
DIGEST: Final = "sha256"
"""Key in that section: SHA-256 of the file of weights."""


def damage(folder: Path) -> str | None:
    """What is wrong with a student's folder, in a few words; None if it is complete."""
    weights = folder / WEIGHTS
    if not folder.is_dir():
        return f"{folder.name}/ is missing"
    if not weights.is_file() or weights.stat().st_size == 0:
        return f"{folder.name}/{WEIGHTS} is missing or empty"
    if _own_section(folder) is None:
        return f"{folder.name}/{CONFIG} is missing or damaged"
    if is_altered(weights):
        return f"{folder.name}/{WEIGHTS} is damaged: its checksum is wrong"
    return None


def is_altered(weights: Path) -> bool:
    """Whether a weights file is not the one that kd wrote; False for a file that kd did not write."""
    own = _own_section(weights.parent) if weights.name == WEIGHTS else None
    written = None if own is None else own.get(DIGEST)
    return written is not None and sha256_of(weights) != written


def _own_section(folder: Path) -> dict[str, Any] | None:
    try:
        own = json.loads((folder / CONFIG).read_bytes())[SECTION]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return own if isinstance(own, dict) else None
