"""scikit-learn's handwritten digits: 1797 grey images of 8x8 pixels in ten classes. They need no network."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from PIL import Image

from kdcore.errors import Problem, UserError, nearest
from kdcore.plugins.pip_hint import pip_install

TEST_PER_CLASS: Final = 50
SPLITS: Final = ("train", "test")


class Digits:
    """One split of the digits: 'test' has 50 images of each class, 'train' the other 1297.

    The split is fixed: it depends only on scikit-learn's data. Pixels of 0..16 are scaled to 0..255.

    Raises:
        UserError: the split does not exist, or scikit-learn is not installed.
    """

    classes = tuple("0123456789")
    in_memory = True
    fixed = True

    def __init__(self, root: str | None, split: str) -> None:
        if split not in SPLITS:
            raise UserError(
                Problem(
                    "", "digits does not have this split", split, ", ".join(SPLITS), nearest(split, SPLITS)
                )
            )
        images, targets = _read()
        # numpy keeps RandomState's stream fixed, so the split is the same with every version
        order = np.random.RandomState(1797).permutation(len(targets))
        test = np.concatenate([order[targets[order] == label][:TEST_PER_CLASS] for label in range(10)])
        chosen = np.sort(test) if split == "test" else np.setdiff1d(np.arange(len(targets)), test)
        self.targets: list[int] = targets[chosen].tolist()
        self._pixels = np.round(images[chosen] * (255 / 16)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self._pixels[index]), self.targets[index]


@cache
def _read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """All images `[1797, 8, 8]` and their classes `[1797]`. A run opens four splits, and reading takes a while."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        hint = pip_install("kdcore", extra="digits")
        raise UserError(
            Problem("", "digits needs scikit-learn, which is not installed", hint=hint)
        ) from error
    data = load_digits()
    images, targets = data.images, np.asarray(data.target, dtype=np.int64)
    for array in (images, targets):
        array.flags.writeable = False  # they are shared
    return images, targets
