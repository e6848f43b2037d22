"""A good dataset, and for each rule one that breaks it and no other."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from PIL import Image

COUNTS = {"train": 12, "test": 6}


class Good:
    classes = ("red", "green", "blue")

    def __init__(self, root: Any, split: str) -> None:
        if split not in COUNTS:
            raise ValueError(f"there is no split {split!r}; there are {', '.join(COUNTS)}")
        self.split = split
        self.order = list(range(COUNTS[split]))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Any:
        number = self.order[index]
        return Image.new("RGB", (8, 8), (20 * number, len(self), 0)), number % 3


class Unlabelled(Good):
    """As good, without labels."""

    classes = None

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0], None


class NoSplitArgument(Good):
    def __init__(self, root: Any) -> None:
        super().__init__(root, "train")


class SameSplits(Good):
    def __init__(self, root: Any, split: str) -> None:
        super().__init__(root, split)
        self.order = list(range(5))


class Arrays(Good):
    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return np.asarray(image), label


class OtherTargets(Good):
    @property
    def targets(self) -> list[int]:
        return [(number + 1) % 3 for number in self.order]


class TooManyClasses(Good):
    classes = None


class Shuffled(Good):
    opened = 0

    def __init__(self, root: Any, split: str) -> None:
        super().__init__(root, split)
        Shuffled.opened += 1
        random.Random(Shuffled.opened).shuffle(self.order)


class HoldsLambda(Good):
    def __init__(self, root: Any, split: str) -> None:
        super().__init__(root, split)
        self.transform = lambda image: image


class KeyErrors(Good):
    def __init__(self, root: Any, split: str) -> None:
        _ = COUNTS[split]
        super().__init__(root, split)
