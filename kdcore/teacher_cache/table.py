"""A cache's logits as a table that other programs read: an `.npz` with a name for each row."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.errors import Problem, UserError
from kdcore.rundir.files import temporary_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

SUFFIX: Final = ".npz"


def check_table_path(path: Path) -> None:
    """Raises UserError if no table can be written there."""
    if path.suffix.lower() != SUFFIX:
        raise UserError(Problem("--table", "a table of outputs is an .npz file", str(path)))
    if path.is_dir():
        raise UserError(Problem("--table", "this is a folder", str(path)))


def write_table(
    path: Path,
    names: Sequence[str],
    classes: Sequence[str] | None,
    num_classes: int,
    blocks: Iterable[Tensor],
) -> None:
    """Write `names` `[N]`, `logits` `[N, K]` in float32 and `classes` `[K]`, whole or not at all.

    The logits are not compressed, so that a reader can map them, and they are written block by block.

    Args:
        path: the file; what was there is replaced.
        names: of the rows.
        classes: names of the classes, or None.
        num_classes: K.
        blocks: the logits `[B, K]`, together N of them.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            _write(archive, "names", np.array(names, dtype=np.str_))
            if classes is not None:
                _write(archive, "classes", np.array(classes, dtype=np.str_))
            with archive.open("logits.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(names), num_classes)}
                np.lib.format.write_array_header_1_0(file, header)
                for block in blocks:
                    file.write(block.float().cpu().contiguous().numpy().astype("<f4", copy=False).tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, name: str, values: np.ndarray[Any, Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, values, allow_pickle=False)
