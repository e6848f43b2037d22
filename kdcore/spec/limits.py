"""Values that no run has, though their types allow them: they would take all memory, or never come to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem
from kdcore.spec.image_size import sides

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.models import RunSpec

_MOST: Final = {
    "data.image_size": 16_384,
    "data.num_classes": 10_000_000,
    "data.workers": 1024,
    "data.mixup": 1000,
    "data.cutmix": 1000,
    "data.augment.padding": 4096,
    "data.augment.color_jitter": 10,
    "train.epochs": 1_000_000,
    "train.batch_size": 1_048_576,
    "train.accumulate": 1_000_000,
    "teacher_cache.augmentations": 1_000_000,
}


def too_large(spec: RunSpec) -> Iterator[Problem]:
    """A problem for each value above what is allowed."""
    for where, most in _MOST.items():
        value: object = spec
        for name in where.split("."):
            value = getattr(value, name, None)
        largest = max(value) if isinstance(value, tuple) else value
        if isinstance(largest, int | float) and largest > most:
            yield _above(where, value, most)
    for member in spec.members:
        size, most = member.spec.image_size, _MOST["data.image_size"]
        if size is not None and max(sides(size)) > most:
            yield _above(f"{member.where}.image_size", size, most)


def _above(where: str, value: object, most: int) -> Problem:
    return Problem(where, "this number is too large", value=value, allowed=f"up to {most:,}")
