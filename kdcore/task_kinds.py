"""What the labels of images can be: the words of `task.kind`."""

from __future__ import annotations

from typing import Final

TASKS: Final[tuple[str, ...]] = ("classes", "labels")
"""One class an image, or any number of labels."""
