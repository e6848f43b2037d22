"""`stripes`: noisy stripes in four directions; a class for each direction."""

from __future__ import annotations

import numpy as np
from PIL import Image

SPLITS = ("train", "test")


class Stripes:
    """One split. An image depends only on the split and its index.

    Args:
        root: is not used; nothing is read from the disk.
        split: `train` or `test`.
        samples: the number of images.
        side: their height and width.

    Raises:
        ValueError: there is no such split.
    """

    classes = ("horizontal", "vertical", "falling", "rising")
    in_memory = True
    fixed = True

    def __init__(self, root: str | None, split: str, *, samples: int, side: int) -> None:
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}, only {' and '.join(SPLITS)}")
        self.seed = SPLITS.index(split)
        self.side = side
        self.targets = [index % len(self.classes) for index in range(samples)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        random = np.random.default_rng((self.seed, index))
        label = self.targets[index]
        down, right = np.mgrid[: self.side, : self.side]
        place = (down, right, right - down, right + down)[label]
        period, phase = random.uniform(4, 8), random.uniform(0, 2 * np.pi)
        bright = 128 + 60 * np.sin(2 * np.pi * place / period + phase) + random.normal(0, 40, place.shape)
        return Image.fromarray(bright.clip(0, 255).astype(np.uint8)).convert("RGB"), label
