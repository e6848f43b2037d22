"""How many images a second kd's loader gives to the accelerator, by the number of its processes."""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from benchmarks.data import kd, make_images
from benchmarks.device import synchronize

if TYPE_CHECKING:
    from benchmarks.gpu.parts import Items, Turn

WORKERS = (0, 1, 2, 4, 8, 16, 32)
IMAGES, BATCH = 1024, 128
SIZE = (500, 375)  # the most frequent one of ImageNet


def items(small: bool) -> Items:
    """Decoded each time, with each number of processes up to the number of processors; and read from memory."""
    most = 1 if small else os.cpu_count() or 1
    counts = list(takewhile(lambda count: count <= most, WORKERS))
    return {
        **{f"224 px, decoded, {count} workers": partial(_epoch, count, False) for count in counts},
        "224 px, kept in memory, 0 workers": partial(_epoch, 0, True),
    }


def _epoch(workers: int, kept: bool, turn: Turn) -> dict[str, Any]:
    """The second epoch: in the first, the processes start, and kept images are decoded."""
    images, batch = (8, 4) if turn.small else (IMAGES, BATCH)
    root = turn.folder / f"images-{images}"
    if not (root / "whole").exists():
        make_images(root, images, SIZE)
        (root / "whole").touch()
    data = kd(root, 224, workers, batch, in_memory=kept)
    seconds = 0.0
    for epoch in range(2):
        began = time.perf_counter()
        for _ in data.epoch(epoch):  # the images arrive on the device
            pass
        synchronize()
        seconds = time.perf_counter() - began
    seen = images - images % batch
    return {"workers": workers, "kept": kept, "images_per_second": round(seen / seconds, 1)}
