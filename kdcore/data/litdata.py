"""Folders of LitData, which kd recognises and does not read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from pathlib import Path

_INDEX: Final = "index.json"


def refuse_litdata(root: Path, split: str, where: str) -> None:
    """Raises UserError if a folder, or its folder of the split, holds what `litdata.optimize` writes."""
    for folder in dict.fromkeys((root / split, root)):
        if _is_litdata(folder):
            message = f"{folder} has chunks of LitData, which kd does not read"
            hint = (
                "Write the images once more as shards of a webdataset ('wds/') or as Parquet ('parquet/'); "
                "docs/data.md shows how, under Shards."
            )
            raise UserError(Problem(where, message, value=split, hint=hint))


def _is_litdata(folder: Path) -> bool:
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        names = [chunk["filename"] for chunk in index["chunks"]]
        return bool(names) and (folder / names[0]).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return False
