"""Training images from which a quantisation takes the ranges of the activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from kdcore.inspect import RunStudent

CALIBRATION: Final = 256
"""The number of images."""


class CalibrationImages:
    """Batches of normalised training images `[B, C, H, W]`, once; `seen` counts the images.

    `method` says how the ranges are taken from them.

    Raises:
        UserError: the training images are not available.
    """

    def __init__(self, student: RunStudent, method: str = "MinMax") -> None:
        self.seen, self.method = 0, method
        self._split = student.train_split
        self._data = student.images(student.train_split, CALIBRATION)

    def __iter__(self) -> Iterator[Tensor]:
        for images, _ in self._data:
            images = images[: CALIBRATION - self.seen]
            self.seen += len(images)
            yield images
            if self.seen >= CALIBRATION:
                return

    @property
    def facts(self) -> dict[str, Any]:
        """For `kd.json`: the split, the number of images, and how the ranges were taken."""
        return {"split": self._split, "images": self.seen, "method": self.method}
