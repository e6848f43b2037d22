"""A fingerprint of a split: its samples, their labels, and the content of some of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.data.keyed_randomness import kept_generators, seed_sample
from kdcore.data.source import Files
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.data.shard_order import Shards
    from kdcore.data.source import Source

FILES_READ: Final = 512
"""Number of files whose bytes are part of a fingerprint; all files if a split has fewer."""
IMAGES_DECODED: Final = 64
"""The same for a dataset without files: its images are decoded, which takes longer."""
SHARDS_READ: Final = 16
"""The same for shards, of which each has to be opened."""
_ALL_NUMBERS: Final = 1 << 20  # of a larger dataset whose names are numbers, two names say as much as all


@dataclass(frozen=True)
class SplitFingerprint:
    """The content of a split, as far as it can be read quickly.

    Attributes:
        samples: their number; None for a stream of unknown length.
        names: digest of the samples' names in their order; None for a stream.
        labels: digest of their class indices; None if unknown without decoding.
        sizes: digest of the sizes in bytes of the files, or of the shards; None if there are no files.
        contents: digest of the contents of evenly spaced samples; None for a stream.
        classes: the classes' names, or None.
        modified: the latest modification time of a file, in nanoseconds; None if there are no files.
    """

    samples: int | None
    names: str | None = None
    labels: str | None = None
    sizes: str | None = None
    contents: str | None = None
    classes: list[str] | None = field(default=None)
    modified: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def split_fingerprint(source: Source) -> SplitFingerprint:
    """The fingerprint of a split. It also records which of the samples cannot be read."""
    classes = None if source.classes is None else list(source.classes)
    if source.stream:
        return SplitFingerprint(len(source) or None, classes=classes)
    files = source.files() if source.shards is None else _of_shards(source.shards)
    return SplitFingerprint(
        samples=len(source),
        names=sample_names(source),
        labels=_labels(source),
        sizes=None if files is None else _hex(files.sizes),
        contents=_contents(source, _samples_read(source, files)),
        classes=classes,
        modified=None if files is None else files.modified,
    )


def _of_shards(shards: Shards) -> Files:
    """Sizes and times of the shards instead of the samples."""
    found = [path.stat() for path in shards.files]
    sizes = np.array([status.st_size for status in found], dtype=np.int64)
    return Files(sizes, max(status.st_mtime_ns for status in found))


def _samples_read(source: Source, files: Files | None) -> int:
    if source.shards is not None:
        return SHARDS_READ
    return IMAGES_DECODED if files is None else FILES_READ


def _labels(source: Source) -> str | None:
    if source.labels is None:
        return None
    found = _hex(source.labels.numpy())
    return found if source.label_sets is None else found + _hex(source.label_sets.rows.numpy())


def sample_names(source: Source, positions: Iterable[int] | None = None) -> str:
    """Digest of the samples' names in their order: file and its folder, or the number if there is no file."""
    digest = hashlib.sha256()
    if positions is None and source.shards is not None:
        for shard, size in zip(source.shards.names, source.shards.sizes.tolist(), strict=True):
            digest.update(f"{shard} {size};".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
    if positions is None and source.numbered and len(source) > _ALL_NUMBERS:
        positions = (0, len(source) - 1)
    for position in range(len(source)) if positions is None else positions:
        name = source.name(position).replace("\\", "/")
        digest.update("/".join(name.split("/")[-2:]).encode("utf-8", "surrogateescape"))
        digest.update(b";")
    return digest.hexdigest()


def _contents(source: Source, most: int) -> str:
    size = len(source)
    digest = hashlib.sha256()
    with kept_generators():  # a dataset's code may draw random numbers
        for position in sorted({number * size // most for number in range(most)}):
            seed_sample(0, position)
            try:
                content = source.content(position)
            except RunFailed:
                content = b"cannot be read"
            digest.update(f"{position} {len(content)};".encode())
            digest.update(content)
    return digest.hexdigest()


def _hex(values: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
