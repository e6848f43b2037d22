"""Mean and deviation of the pixels of images, channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kdcore.data.steps import channels_first

if TYPE_CHECKING:
    from kdcore.data.pixels import PixelRule


class Moments:
    """Mean and deviation of the channels of images, each of which counts equally whatever its size."""

    def __init__(self, rule: PixelRule) -> None:
        self._rule = rule
        self._count = 0
        self._sums = np.zeros((2, rule.channels))

    def of(self, image: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean and mean square of each channel of one image, `[2, C]`."""
        pixels = channels_first(self._rule(image)).astype(np.float64) / 255
        flat = pixels.reshape(len(pixels), -1)
        return np.stack([flat.mean(axis=1), (flat * flat).mean(axis=1)])

    def add(self, found: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """Count an image."""
        self._sums += found
        self._count += 1

    def result(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """Means and deviations of all images; None if there are none."""
        if not self._count:
            return None, None
        mean, square = self._sums / self._count
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(square - mean**2, 0)).tolist())
