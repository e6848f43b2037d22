"""Decoded images in memory, filled as they are first seen: later epochs read no file and decode nothing."""

from __future__ import annotations

import mmap
import multiprocessing
import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import psutil

from kdcore.data.keyed_randomness import kept_generators
from kdcore.errors import Problem, UserError
from kdcore.text import byte_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.data.source import Source
    from kdcore.data.steps import Fixed, Pixels

PART: Final = 4
"""Unasked, images are kept where they take at most one part in so many of the free memory."""
_LOOKED_AT = 4  # images whose size tells how much all of them take
_CGROUP = Path("/sys/fs/cgroup")
_LOCAL: Final = (
    "LOCAL_WORLD_SIZE",
    "MPI_LOCALNRANKS",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
)
_NAMES: Final = (  # of the second and of the first version: limit, what is taken, what of it can be taken back
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class ImageMemory:
    """Arrays by position, with their labels, in memory that processes share which are forked from this one.

    It takes of the machine only what is put there. A process that is started otherwise gets None in its place.

    Args:
        size: positions.
        capacity: most bytes; what comes when it is full is not kept.
        expected: bytes that all images are thought to take.

    Raises:
        OSError: the system has not so much memory.
    """

    def __init__(self, size: int, capacity: int, expected: int = 0) -> None:
        self.expected = expected
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, capacity)), np.uint8)
        # where an image begins, plus 1 (0: it is not there), its label, its shape; and the bytes that are taken
        self._numbers = np.frombuffer(mmap.mmap(-1, 8 * (5 * size + 1)), np.int64)
        self._rows = self._numbers[1:].reshape(size, 5)
        self._shown = self._pixels.view()
        self._shown.flags.writeable = False
        self._lock = multiprocessing.get_context("fork").Lock() if shared_with_loaders() else Lock()

    def __len__(self) -> int:
        return int(np.count_nonzero(self._rows[:, 0]))

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return int(self._numbers[0])

    def get(self, position: int) -> tuple[Pixels, int] | None:
        """An image, to be read only, and its label; None where it was not put."""
        start, label, *sides = self._rows[position].tolist()
        if not start:
            return None
        shape = sides if sides[2] else sides[:2]
        size = shape[0] * shape[1] * (sides[2] or 1)
        return self._shown[start - 1 : start - 1 + size].reshape(shape), label

    def put(self, position: int, image: Fixed, label: int) -> None:
        """Keep an image, unless the memory is full."""
        pixels = np.asarray(image)
        if not self._lock.acquire(timeout=1):  # a process was killed that had it: the image is decoded again
            return
        try:
            start = self.used
            if self._rows[position, 0] or start + pixels.size > len(self._pixels):
                return
            self._numbers[0] = start + pixels.size
        finally:
            self._lock.release()
        self._pixels[start : start + pixels.size] = pixels.reshape(-1)
        self._rows[position, 1:] = (label, *pixels.shape, 0)[:4]
        self._rows[position, 0] = start + 1  # last: a process that is killed before leaves nothing half done

    def clear(self) -> None:
        """Forget all images."""
        self._numbers[:] = 0

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class Decodable(Protocol):
    """The samples whose images may be kept."""

    source: Source

    def __len__(self) -> int: ...
    def read(self, position: int) -> tuple[Fixed, int]:
        """The decoded image at a position, and its label."""


def remember(samples: Decodable, wanted: bool | None, world: int) -> ImageMemory | None:
    """Memory for the images of a set where they fit, or where it is wanted.

    Args:
        samples: the set.
        wanted: as `data.in_memory`.
        world: processes of the run; each has a memory of its own, and those of this machine share what is free.

    Raises:
        UserError: it is wanted, and the images cannot be kept.
    """
    if wanted is False or (wanted is None and not samples.source.fixed):
        return None
    needed = _bytes_needed(samples)
    if needed is None:
        return None  # no image can be read: the run meets it, and says so
    free = free_memory() // processes_here(world)
    most = free if wanted else free // PART
    if needed <= most:
        with suppress(OSError):
            return ImageMemory(len(samples), min(2 * needed, most), needed)
    if wanted is None:
        return None
    raise UserError(
        Problem(
            "data.in_memory",
            f"the {len(samples):,} images take about {byte_size(needed)} decoded, and {byte_size(free)} are free",
            value=True,
            hint="null keeps them only where they fit",
        )
    )


def reached(memory: ImageMemory | None, workers: int) -> ImageMemory | None:
    """The memory, or None where loader processes read the images and cannot see it: nothing would ever be put there."""
    return memory if workers == 0 or shared_with_loaders() else None


def shared_with_loaders() -> bool:
    """Whether loader processes are forked, and so see and fill this process's memory."""
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    return method == "fork"


def processes_here(world: int) -> int:
    """How many of the run's processes are on this machine, as torchrun, accelerate or MPI say; else all of them."""
    for name in _LOCAL:
        told = os.environ.get(name, "")
        if told.isdecimal() and 1 <= int(told) <= world:
            return int(told)
    return max(1, world)


def free_memory(groups: Iterable[Path] | None = None) -> int:
    """Bytes that this process could take: of the machine, or of its control groups if they have fewer.

    Args:
        groups: folders of control groups; None: those of this process.
    """
    free = int(psutil.virtual_memory().available)
    for group in control_groups() if groups is None else groups:
        for limit, taken, cached in _NAMES:
            with suppress(OSError, ValueError):
                most = int((group / limit).read_text())  # 'max' is no number
                told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                free = min(free, most - int((group / taken).read_text()) + int(told.get(cached, 0)))
    return max(0, free)


def control_groups() -> set[Path]:
    """The control groups of this process and those above them; in a container its own is often the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return set()
    found = {_CGROUP, _CGROUP / "memory"}
    for line in lines:
        _, kinds, own = line.split(":", 2)
        if kinds in ("", "memory"):
            top = _CGROUP / kinds
            group = top / own.strip("/")
            found |= {group, *(parent for parent in group.parents if parent.is_relative_to(top))}
    return found


def _bytes_needed(samples: Decodable) -> int | None:
    """About how much all images take, from some that can be read."""
    size = len(samples)
    found = []
    for number in range(min(_LOOKED_AT, size)):
        # what goes wrong here the run meets again, and tells
        with suppress(Exception), kept_generators():
            found.append(np.asarray(samples.read(number * size // min(_LOOKED_AT, size))[0]).size)
    return size * sum(found) // len(found) if found else None
