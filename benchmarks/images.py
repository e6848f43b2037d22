"""Sets of images for runs whose images do not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_images(folder: Path, samples: int, classes: int) -> None:
    """A set of small images in folders, for training and for testing."""
    from PIL import Image

    for split in ("train", "test"):
        for number in range(samples):
            place = folder / split / f"class{number % classes}" / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (number % 256, 128, 128)).save(place)
