"""The folder for files that kd can create again: unpacked archives, downloaded datasets."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """$KD_CACHE, or $XDG_CACHE_HOME/kd, or ~/.cache/kd. It may not exist yet."""
    if own := os.environ.get("KD_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "kd"
    return Path.home() / ".cache" / "kd"
