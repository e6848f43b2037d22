"""Images that two splits share: files of the same content, whatever their names."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.data.cache import cache_dir
from kdcore.data.fingerprint import sample_names
from kdcore.errors import RunFailed
from kdcore.rundir.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.data.source import Source

    Positions = np.ndarray[Any, np.dtype[np.int64]]

MOST: Final = 20_000
"""The largest number of files that are read; of more, as many images as this allows are compared."""
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The images of a split that another split has too.

    Attributes:
        pairs: their positions, and the position of the first image with the same content in the other split.
        compared: the number of images that were looked for.
    """

    pairs: tuple[tuple[int, int], ...]
    compared: int


def shared_images(found: Source, other: Source, most: int = MOST) -> Shared | None:
    """The images of `found` that are in `other` too: files of equal size are compared by a hash of their content.

    The result is kept in the cache, under the names, sizes and times of the files.

    Args:
        found: the split to look for.
        other: the split to look in.
        most: the largest number of files that are read.

    Returns:
        None if the samples of a split are not files.
    """
    if found.stream or other.stream:
        return None
    files, others = found.files(), other.files()
    if files is None or others is None:
        return None
    identity = (
        _FORMAT,
        most,
        *(
            (sample_names(one), _digest(of.sizes.tobytes()), of.modified)
            for one, of in ((found, files), (other, others))
        ),
    )
    kept = cache_dir() / "duplicates" / f"{_digest(repr(identity).encode())}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text("utf-8"))
        pairs = tuple((int(here), int(there)) for here, there in known["pairs"])
        return Shared(pairs=pairs, compared=int(known["compared"]))
    result = _compare(found, files.sizes, other, others.sizes, most)
    with suppress(OSError):  # without a cache it is found again
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, {"pairs": result.pairs, "compared": result.compared})
    return result


def repeated_images(source: Source, most: int = MOST) -> tuple[tuple[int, int], ...]:
    """The images of a split that it has twice: the position of each, and of the first image with the same content.

    Args:
        source: the split.
        most: the largest number of files that are read: the first of those whose size occurs twice.
    """
    files = None if source.stream else source.files()
    if files is None:
        return ()
    values, counts = np.unique(files.sizes, return_counts=True)
    candidates = np.flatnonzero(np.isin(files.sizes, values[counts > 1]) & (files.sizes > 0))[:most]
    first: dict[str, int] = {}
    return tuple(
        (position, known)
        for position, content in _contents(source, candidates)
        if (known := first.setdefault(content, position)) != position
    )


def _compare(found: Source, sizes: Positions, other: Source, other_sizes: Positions, most: int) -> Shared:
    candidates = np.flatnonzero(np.isin(sizes, other_sizes) & (sizes > 0))
    compared = len(sizes)
    # how many files of the other split have the size of each candidate
    values, counts = np.unique(other_sizes, return_counts=True)
    matches = counts[np.searchsorted(values, sizes[candidates])] if len(candidates) else candidates
    if len(candidates) and len(candidates) + int(np.isin(other_sizes, sizes[candidates]).sum()) > most:
        order = np.argsort(_spread(len(candidates)), kind="stable")
        reading = np.cumsum(1 + matches[order])
        chosen = order[: max(int(np.searchsorted(reading, most, side="right")), 1)]
        compared = len(sizes) - len(candidates) + len(chosen)
        candidates = np.sort(candidates[chosen])
    there = np.flatnonzero(np.isin(other_sizes, sizes[candidates]) & (other_sizes > 0))
    contents: dict[str, int] = {}
    for position, content in _contents(other, there):
        contents.setdefault(content, position)
    pairs = tuple(
        (position, contents[content])
        for position, content in _contents(found, candidates)
        if content in contents
    )
    return Shared(pairs=pairs, compared=compared)


def _spread(count: int) -> Positions:
    """Keys that sort positions so that any first part of them is spread over all."""
    return (np.arange(count, dtype=np.int64) * 0x9E3779B1) % (1 << 32)


def _contents(source: Source, positions: Iterable[int]) -> Iterable[tuple[int, str]]:
    """The position and the hash of each file that can be read."""
    for position in positions:
        with suppress(RunFailed):
            yield int(position), _digest(source.content(int(position)))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
