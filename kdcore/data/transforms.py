"""The image transforms of a spec, built from timm's and torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from timm.data.auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import (
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    str_to_interp_mode,
    str_to_pil_interp,
)
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision import transforms as tv

from kdcore.data.crop_steps import INTERPOLATIONS, CropSteps
from kdcore.data.inputs import SMALL, InputConfig, resolve_input
from kdcore.data.keyed_randomness import NUMPY, PYTHON, TORCH
from kdcore.data.normalise import Normalise
from kdcore.data.pixels import PixelRule
from kdcore.data.steps import ArraySteps, ImageSteps, PadCrop, Steps
from kdcore.errors import UserError
from kdcore.spec.augment import auto_augment_problem
from kdcore.spec.channel_checks import colour_problem, colour_steps

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.data.keyed_randomness import Draws
    from kdcore.spec.models import AugmentSpec, DataSpec


def train_transform(
    data: DataSpec,
    input: InputConfig,
    augment: AugmentSpec | None = None,
    *,
    apart: bool = False,
    normalised: bool = False,
) -> Steps:
    """Crop, flip, auto-augment, jitter, normalise, erase: image -> `[C, H, W]`.

    Draws from the global generators of Python, numpy and torch, which `kdcore.data.keyed_randomness` seeds for each
    sample.

    Args:
        data: the section of the spec.
        input: size and normalisation of the images.
        augment: how images are augmented; None: by `data.augment`.
        apart: the fixed part is only the conversion to 8 bits, so that views of other recipes share it.
        normalised: the images are normalised even without erasing.

    Raises:
        UserError: timm does not accept `data.augment.auto_augment`, or the recipe changes colours that the images do
            not have.
    """
    input = resolve_input(data, input)
    augment, size = augment or data.augment, input.image_size
    if wrong := colour_steps(augment, data.channels):
        raise UserError(
            colour_problem(f"data.augment.{name}", getattr(augment, name), data.channels) for name in wrong
        )
    rule = PixelRule.of(data)
    normalise = Normalise(input.mean, input.std)
    erase: Any = _same if normalised else None
    if augment.random_erasing > 0:
        erase = RandomErasing(augment.random_erasing, mode="const", device="cpu")  # type: ignore[no-untyped-call]
    crop = crop_of(augment, size)
    fixed: list[Any] = []
    if crop != "resized":
        fixed.append(_shorter_side(size, input.interpolation))
    if crop == "none":
        fixed.append(tv.CenterCrop(size))
    plain = augment.auto_augment is None and not _changes_colours(augment)
    if plain and crop == "resized" and rule.is_picture and input.interpolation in INTERPOLATIONS:
        return CropSteps(
            rule,
            normalise,
            erase,
            size=size,
            scale=augment.scale,
            ratio=augment.ratio,
            interpolation=input.interpolation,
            hflip=augment.hflip,
            vflip=augment.vflip,
        )
    if plain and not apart and crop != "resized":
        return ArraySteps(
            rule,
            fixed,
            normalise,
            erase,
            crop=size if crop == "pad" else None,
            padding=augment.padding,
            hflip=augment.hflip,
            vflip=augment.vflip,
        )
    steps, draws = _random_steps(augment, input, crop)
    if apart:
        return ImageSteps(rule, [], [*fixed, *steps], draws, normalise, erase)
    return ImageSteps(rule, fixed, steps, draws, normalise, erase)


def _random_steps(
    augment: AugmentSpec, input: InputConfig, crop: Literal["resized", "pad", "none"]
) -> tuple[list[Any], Draws]:
    """The steps that draw random numbers, and the generators that they draw from."""
    steps: list[Any] = []
    draws: Draws = frozenset()
    if crop == "resized":
        resized = RandomResizedCropAndInterpolation  # draws from Python's generator
        steps.append(
            resized(input.image_size, augment.scale, augment.ratio, interpolation=input.interpolation)  # type: ignore[no-untyped-call]
        )
        draws |= PYTHON
    if crop == "pad":
        steps.append(PadCrop(input.image_size, augment.padding))
        draws |= TORCH
    if augment.hflip > 0:
        steps.append(tv.RandomHorizontalFlip(augment.hflip))
        draws |= TORCH
    if augment.vflip > 0:
        steps.append(tv.RandomVerticalFlip(augment.vflip))
        draws |= TORCH
    if augment.auto_augment is not None:
        steps.append(_auto_augment(augment.auto_augment, input))
        draws |= PYTHON | NUMPY
    if _changes_colours(augment):
        steps += _colours(augment)
        draws |= TORCH
    return steps, draws


def _changes_colours(augment: AugmentSpec) -> bool:
    return augment.color_jitter > 0 or augment.hue > 0 or augment.grayscale > 0


def crop_of(augment: AugmentSpec, size: tuple[int, int]) -> Literal["resized", "pad", "none"]:
    """How images are cropped for this height and width."""
    if augment.crop == "auto":
        return "pad" if max(size) <= SMALL else "resized"
    return augment.crop


def _same(images: Tensor) -> Tensor:
    return images


def _colours(augment: AugmentSpec) -> list[Any]:
    steps: list[Any] = []
    if augment.color_jitter > 0 or augment.hue > 0:
        jitter = tv.ColorJitter(*(augment.color_jitter,) * 3, augment.hue)
        certain = augment.jitter_probability == 1
        steps.append(jitter if certain else tv.RandomApply([jitter], augment.jitter_probability))
    if augment.grayscale > 0:
        steps.append(tv.RandomGrayscale(augment.grayscale))
    return steps


def eval_transform(data: DataSpec, input: InputConfig) -> Steps:
    """Resize the shorter side, crop the centre by `crop_pct`, normalise: image -> `[C, H, W]`; not random."""
    input = resolve_input(data, input)
    resize_and_crop = transforms_imagenet_eval(
        img_size=input.image_size,
        crop_pct=input.crop_pct,
        interpolation=input.interpolation,
        normalize=False,
    ).transforms[:-1]  # the last one creates a tensor
    return ArraySteps(PixelRule.of(data), resize_and_crop, Normalise(input.mean, input.std))


def _shorter_side(size: tuple[int, int], interpolation: str) -> Any:
    if size[0] == size[1]:
        return tv.Resize(size[0], interpolation=str_to_interp_mode(interpolation))  # type: ignore[no-untyped-call]
    return ResizeKeepRatio(size, interpolation=interpolation)  # type: ignore[no-untyped-call]


def _auto_augment(policy: str, input: InputConfig) -> Any:
    problem = auto_augment_problem(policy)
    if problem is not None:
        raise UserError(problem)
    fill = tuple(min(255, round(255 * value)) for value in input.mean)
    params = {
        "translate_const": int(min(input.image_size) * 0.45),
        "img_mean": fill if len(fill) > 1 else fill[0],
        "interpolation": str_to_pil_interp(input.interpolation),  # type: ignore[no-untyped-call]
    }
    if policy.startswith("rand"):
        return rand_augment_transform(policy, params)
    if policy.startswith("augmix"):
        return augment_and_mix_transform(policy, {**params, "translate_pct": 0.3})
    return auto_augment_transform(policy, params)
