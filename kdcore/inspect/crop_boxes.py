"""Where a crop lies on its image: left, top, right and bottom, from 0 to 1."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation

from kdcore.data.inputs import resolve_input
from kdcore.data.keyed_randomness import kept_generators, seed_sample
from kdcore.data.pixels import size_of
from kdcore.data.steps import draw_place
from kdcore.data.transforms import crop_of

if TYPE_CHECKING:
    from kdcore.data.inputs import InputConfig
    from kdcore.data.sampler import Key
    from kdcore.data.samples import KeyedSamples
    from kdcore.spec.models import DataSpec

Box = tuple[float, float, float, float]


def evaluated_box(size: tuple[int, int], taken: InputConfig) -> Box:
    """What evaluation sees of an image of this height and width."""
    cover = [math.floor(side / taken.crop_pct) for side in taken.image_size]
    ratio = min(own / wanted for own, wanted in zip(size, cover, strict=True))
    height, width = (min(side * ratio / own, 1.0) for side, own in zip(taken.image_size, size, strict=True))
    return (1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2


def training_box(samples: KeyedSamples, key: Key, *, data: DataSpec, given: InputConfig, seed: int) -> Box:
    """What the augmented image shows of a sample; what the crop has of the padding is left out.

    The crop is the first thing that an augmentation draws, so the same key gives the same one.

    Args:
        samples: those of the run, with the transform of `data.augment`.
        key: the epoch, and the position in the training set.
        data: the section of the spec.
        given: size of the augmented images.
        seed: of the run.

    Raises:
        RunFailed: the image cannot be read.
    """
    given, augment = resolve_input(data, given), data.augment
    crop = crop_of(augment, given.image_size)
    epoch, position = key
    if crop == "none":
        image, _ = samples.source[samples.source_index(position)]
        return evaluated_box(size_of(image), dataclasses.replace(given, crop_pct=1.0))
    with kept_generators():
        seed_sample(seed, epoch, position, 0)
        fixed: Any = samples.read(position)[0]  # a dataset that draws random numbers draws them here, too
        height, width = _size(fixed)
        if crop == "resized":
            place = RandomResizedCropAndInterpolation.get_params(fixed, augment.scale, augment.ratio)  # type: ignore[no-untyped-call]
        else:
            place = (*draw_place((height, width), given.image_size, augment.padding), *given.image_size)
    top, left, rows, columns = place
    return (
        max(left / width, 0.0),
        max(top / height, 0.0),
        min((left + columns) / width, 1.0),
        min((top + rows) / height, 1.0),
    )


def _size(fixed: Any) -> tuple[int, int]:
    """Height and width after the fixed steps: a picture, or `[C, H, W]`."""
    if isinstance(fixed, Image.Image):
        return fixed.height, fixed.width
    height, width = fixed.shape[-2:]
    return height, width
