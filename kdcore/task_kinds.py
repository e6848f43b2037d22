"""What the labels of images can be: the words of `task.kind`."""

from __future__ import annotations

from typing import Final

TASKS: Final[tuple[str, ...]] = ("classes", "labels", "none")
"""One class an image, any number of labels, or no labels: then nothing reads them, and nothing is measured by them."""

NO_LABELS: Final = "none"
"""The task of images whose labels are not read."""
