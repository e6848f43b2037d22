"""`open_archive`: a tar or a zip of images, by the ending of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.data.tar import open_tar
from kdcore.data.zip_source import open_zip
from kdcore.spec.datasets import ZIP

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.data.tar import TarSource


def open_archive(path: Path, split: str, *, where: str, dataset_where: str, labels: bool = True) -> TarSource:
    """The images of a split in a tar or a zip; one folder may contain everything.

    Args:
        path: the archive.
        split: the folder of the split in it; "": the archive has no splits.
        where: the split's place in the spec.
        dataset_where: the archive's place in the spec.
        labels: whether folders are classes; if not, images next to them are read too.

    Raises:
        UserError: the archive cannot be read, or the split is not in it.
        RunFailed: a compressed tar cannot be unpacked into the cache.
    """
    opened = open_zip if path.suffix.lower() == ZIP else open_tar
    return opened(path, split, where=where, dataset_where=dataset_where, labels=labels)
