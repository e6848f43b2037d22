"""Tables that lie in a folder of images, as `metadata.csv` does: a folder's own layout says nothing of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.spec.datasets import TABLES

if TYPE_CHECKING:
    from kdcore.spec.models import DataSpec


def sidecar_hint(data: DataSpec, split: str) -> str | None:
    """How to use a table in the folder of the images or in that of a split; None if there is none."""
    root = Path(data.dataset)
    for folder in (root, root / split):
        try:
            found = sorted(one for one in folder.iterdir() if one.suffix.lower() in TABLES)
        except OSError:  # it is not a folder
            continue
        if found:
            return f"if {found[0]} has the labels, set data.dataset to it"
    return None
