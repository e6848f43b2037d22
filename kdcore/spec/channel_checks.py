"""What a spec says about channels, where its sections have to fit each other. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem
from kdcore.spec.channels import GREY, channels_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.models import AugmentSpec, DataSpec, RunSpec

COLOURS: Final = ("color_jitter", "hue", "grayscale", "auto_augment")
"""The parts of an augmentation recipe that change colours, and need grey or RGB images."""


def channel_problems(spec: RunSpec) -> Iterator[Problem]:
    """Channels that a model cannot take, and augmentation that the images cannot have."""
    images = spec.data.channels
    yield from _numbers(spec.data)
    chosen = {"student": spec.student.channels}
    chosen |= {member.where: member.spec.channels for member in spec.members}
    for where, channels in chosen.items():
        fault = channels_fault(channels, images)
        if channels == GREY and spec.data.bands is not None:
            fault = "'grey' is computed from RGB files, and data.bands chooses channels of others"
        if fault is not None:
            value = channels if isinstance(channels, str) else list(channels or ())
            yield Problem(f"{where}.channels", fault, value)
    for where, augment in spec.data.recipes.items():
        for name in colour_steps(augment, images):
            yield colour_problem(f"{where}.{name}", getattr(augment, name), images)


def _numbers(data: DataSpec) -> Iterator[Problem]:
    """Numbers for other channels than there are."""
    count = data.channels
    if data.bands is not None and len(data.bands) != count:
        message = f"data.bands names {len(data.bands)}"
        yield Problem("data.channels", message, count, str(len(data.bands)), hint="leave it out")
    for name in ("mean", "std"):
        values = getattr(data, name)
        if values is not None and len(values) not in (1, count):
            message = f"it has {len(values)} numbers, and data.channels is {count}"
            allowed = "one number, or one for each channel"
            yield Problem(f"data.{name}", message, list(values), allowed)


def colour_steps(augment: AugmentSpec, channels: int) -> list[str]:
    """The parts of a recipe that images with this number of channels cannot have."""
    if channels in (1, 3):
        return []
    return [name for name in COLOURS if getattr(augment, name)]


def colour_problem(where: str, value: object, channels: int) -> Problem:
    """The problem with one of them."""
    message = f"it changes colours, which images of {channels} channels do not have"
    hint = "remove it; crops, flips and erasing work with any number of channels"
    return Problem(where, message, value, hint=hint)
