"""`InputConfig`: the input that a model needs. Used by models and data; does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kdcore.spec.channels import GREY, GREY_WEIGHTS, count_of
from kdcore.spec.image_size import sides

if TYPE_CHECKING:
    from kdcore.spec.models import DataSpec, RunSpec
SMALL = 64  # pixels: up to this size, images are padded instead of cropped, and evaluated whole


@dataclass(frozen=True)
class InputConfig:
    """Size and normalisation of a model's input.

    Attributes:
        image_size: height and width in pixels; a single number is used for both.
        mean: channel means of images in 0..1, one number or one per channel.
        std: channel standard deviations, one number or one per channel.
        interpolation: the resizing method ('nearest', 'bilinear', 'bicubic', ...).
        crop_pct: the part of the resized image that evaluation crops.

    Raises:
        ValueError: a size or deviation is not above 0, or `crop_pct` is outside (0, 1].
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        size: int | tuple[int, ...] = self.image_size
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"image_size is {size!r}; it must be one or two positive numbers")
        object.__setattr__(self, "image_size", sides)
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; it must be above 0")
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct is {self.crop_pct}; it must be above 0 and at most 1")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, short for `image_size`."""
        return self.image_size

    def of_channels(self, channels: Literal["grey"] | tuple[int, ...] | None) -> InputConfig:
        """The same images with these of their channels, normalised by the same numbers; None: with all of them."""
        if channels is None:
            return self
        if channels == GREY:
            grey = [
                math.fsum(weight * value for weight, value in zip(GREY_WEIGHTS, values, strict=True))
                for values in (per_channel(self.mean, 3), per_channel(self.std, 3))
            ]
            return self.replace(mean=(grey[0],), std=(grey[1],))
        if len(self.mean) == len(self.std) == 1:
            return self.replace(mean=self.mean * len(channels), std=self.std * len(channels))
        mean, std = (tuple(values[int(one)] for one in channels) for values in (self.mean, self.std))
        return self.replace(mean=mean, std=std)

    def replace(
        self,
        *,
        size: tuple[int, int] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        interpolation: str | None = None,
        crop_pct: float | None = None,
    ) -> InputConfig:
        """A copy with new values for the arguments that are not None."""
        return InputConfig(
            image_size=self.image_size if size is None else size,
            mean=self.mean if mean is None else mean,
            std=self.std if std is None else std,
            interpolation=self.interpolation if interpolation is None else interpolation,
            crop_pct=self.crop_pct if crop_pct is None else crop_pct,
        )


def resolve_input(data: DataSpec, model: InputConfig) -> InputConfig:
    """The student's own input, overridden by the spec; `crop_pct` is 1 by default up to 64 px.

    Resolving twice changes nothing. The resulting `mean` and `std` have `data.channels` numbers.
    """
    size = model.image_size if data.image_size is None else sides(data.image_size)
    crop_pct = data.crop_pct
    if crop_pct is None:
        crop_pct = 1.0 if max(size) <= SMALL else model.crop_pct
    return model.replace(
        size=size,
        mean=per_channel(model.mean if data.mean is None else data.mean, data.channels),
        std=per_channel(model.std if data.std is None else data.std, data.channels),
        interpolation=data.interpolation,
        crop_pct=crop_pct,
    )


def student_input(spec: RunSpec, model: InputConfig) -> InputConfig:
    """What the student takes: the images of the data, or those of their channels that it chooses.

    Args:
        spec: the run's.
        model: the student's own input.
    """
    images = resolve_input(spec.data, model)
    if spec.student.channels is None:
        return images
    given, count = (
        images.of_channels(spec.student.channels),
        count_of(spec.student.channels, spec.data.channels),
    )
    return images.replace(
        mean=given.mean if spec.data.mean is not None else per_channel(model.mean, count),
        std=given.std if spec.data.std is not None else per_channel(model.std, count),
    )


def per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One number per channel: a single one is repeated; for another number of channels, they are averaged."""
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
