"""Decoded images in memory, stored when they are first read: later epochs read no file and decode nothing."""

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

    from kdcore.data.modes import Pixels
    from kdcore.data.source import Source
    from kdcore.data.steps import Fixed

PART: Final = 4
"""By default, images are kept only if they need at most 1/PART of the free memory."""
_LOOKED_AT = 4  # images whose size gives an estimate for all
_CGROUP = Path("/sys/fs/cgroup")
_LOCAL: Final = (
    "LOCAL_WORLD_SIZE",
    "MPI_LOCALNRANKS",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
)
_NAMES: Final = (  # cgroup version 2 and version 1: limit, used memory, the part of it that can be reclaimed
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class ImageMemory:
    """Arrays by position, with their labels, in memory that is shared with processes forked from this one.

    It uses only the memory of stored images. A process that is not forked gets None instead.

    Args:
        size: the number of positions.
        capacity: maximum bytes; images that do not fit are not kept.
        expected: estimated bytes of all images.

    Raises:
        OSError: the system does not have this much memory.
    """

    def __init__(self, size: int, capacity: int, expected: int = 0) -> None:
        self.expected = expected
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, capacity)), np.uint8)
        # start of an image plus 1 (0: not stored), its label, its shape; and the number of used bytes
        self._numbers = np.frombuffer(mmap.mmap(-1, 8 * (5 * size + 1)), np.int64)
        self._rows = self._numbers[1:].reshape(size, 5)
        self._shown = self._pixels.view()
        self._shown.flags.writeable = False
        self._lock = multiprocessing.get_context("fork").Lock() if shared_with_loaders() else Lock()

    def __len__(self) -> int:
        return int(np.count_nonzero(self._rows[:, 0]))

    @property
    def used(self) -> int:
        """The number of used bytes."""
        return int(self._numbers[0])

    def get(self, position: int) -> tuple[Pixels, int] | None:
        """An image, read-only, and its label; None if it is not stored."""
        start, label, *sides = self._rows[position].tolist()
        if not start:
            return None
        shape = sides if sides[2] else sides[:2]
        size = shape[0] * shape[1] * (sides[2] or 1)
        return self._shown[start - 1 : start - 1 + size].reshape(shape), label

    def put(self, position: int, image: Fixed, label: int) -> None:
        """Store an image, unless the memory is full."""
        pixels = np.asarray(image)
        if not self._lock.acquire(timeout=1):  # a killed process may hold it: the image is decoded again
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
        self._rows[position, 0] = (
            start + 1
        )  # last: a process that is killed earlier leaves nothing incomplete

    def clear(self) -> None:
        """Remove all images."""
        self._numbers[:] = 0

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class Decodable(Protocol):
    """Samples whose images may be kept."""

    source: Source

    def __len__(self) -> int: ...
    def read(self, position: int) -> tuple[Fixed, int]:
        """The decoded image at a position, and its label."""


def remember(samples: Decodable, wanted: bool | None, world: int) -> ImageMemory | None:
    """Memory for the images of a set if they fit, or if the spec asks for it.

    Args:
        samples: the samples.
        wanted: the value of `data.in_memory`.
        world: processes of the run; each has its own memory, and those on this machine share the free memory.

    Raises:
        UserError: the spec asks for it, but the images cannot be kept.
    """
    if wanted is False or (wanted is None and not samples.source.fixed):
        return None
    needed = _bytes_needed(samples)
    if needed is None:
        return None  # no image can be read: the run reports that
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
            f"the {len(samples):,} decoded images need about {byte_size(needed)}, but only {byte_size(free)} are free",
            value=True,
            hint="set it to null to keep them only if they fit",
        )
    )


def reached(memory: ImageMemory | None, workers: int) -> ImageMemory | None:
    """The memory; None if loader processes read the images and cannot access it: it would stay empty."""
    return memory if workers == 0 or shared_with_loaders() else None


def shared_with_loaders() -> bool:
    """Whether loader processes are forked, so that they share this process's memory."""
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    return method == "fork"


def processes_here(world: int) -> int:
    """The number of the run's processes on this machine, from torchrun, accelerate or MPI; otherwise all of them."""
    for name in _LOCAL:
        told = os.environ.get(name, "")
        if told.isdecimal() and 1 <= int(told) <= world:
            return int(told)
    return max(1, world)


def free_memory(groups: Iterable[Path] | None = None) -> int:
    """Free memory in bytes for this process: of the machine, or of its control groups if they have less.

    Args:
        groups: folders of control groups; None: those of this process.
    """
    free = int(psutil.virtual_memory().available)
    for group in control_groups() if groups is None else groups:
        for limit, taken, cached in _NAMES:
            with suppress(OSError, ValueError):
                most = int((group / limit).read_text())  # 'max' is not a number
                told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                free = min(free, most - int((group / taken).read_text()) + int(told.get(cached, 0)))
    return max(0, free)


def control_groups() -> set[Path]:
    """The control groups of this process and their parents; in a container its own is often the root."""
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
    """Approximate memory of all images, estimated from some that can be read."""
    size = len(samples)
    found = []
    for number in range(min(_LOOKED_AT, size)):
        # an error here is not reported: the run finds it again
        with suppress(Exception), kept_generators():
            found.append(np.asarray(samples.read(number * size // min(_LOOKED_AT, size))[0]).size)
    return size * sum(found) // len(found) if found else None
