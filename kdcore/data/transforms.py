"""From PIL images to normalised tensors, with timm's and torchvision's building blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image
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

from kdcore.data.inputs import SMALL, InputConfig, resolve_input
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.spec.models import DataSpec

Transform = Callable[[Image.Image], "Tensor"]


def train_transform(data: DataSpec, input: InputConfig) -> Transform:
    """Crop, flip, jitter, auto-augment, normalise, erase: PIL image -> float32 `[C, H, W]`.

    Draws from Python's, numpy's and torch's global generators, seeded for each sample by `kdcore.data.keyed`.

    Raises:
        UserError: timm does not take `data.augment.auto_augment`.
    """
    input = resolve_input(data, input)
    augment = data.augment
    steps: list[Any] = [ToMode(data.channels), *_crop(data, input)]
    if augment.hflip > 0:
        steps.append(tv.RandomHorizontalFlip(augment.hflip))
    if augment.vflip > 0:
        steps.append(tv.RandomVerticalFlip(augment.vflip))
    if augment.auto_augment is not None:
        steps.append(_auto_augment(augment.auto_augment, input))
    if augment.color_jitter > 0:
        steps.append(tv.ColorJitter(*(augment.color_jitter,) * 3))
    steps += [tv.ToTensor(), tv.Normalize(input.mean, input.std)]
    if augment.random_erasing > 0:
        steps.append(RandomErasing(augment.random_erasing, mode="const", device="cpu"))  # type: ignore[no-untyped-call]
    composed: Transform = tv.Compose(steps)
    return composed


def eval_transform(data: DataSpec, input: InputConfig) -> Transform:
    """Resize by the shorter side, centre crop of `crop_pct`, normalise: PIL image -> float32 `[C, H, W]`."""
    input = resolve_input(data, input)
    resize_and_normalise = transforms_imagenet_eval(
        img_size=input.image_size,
        crop_pct=input.crop_pct,
        interpolation=input.interpolation,
        mean=input.mean,
        std=input.std,
    )
    composed: Transform = tv.Compose([ToMode(data.channels), resize_and_normalise])
    return composed


def _crop(data: DataSpec, input: InputConfig) -> list[Any]:
    size = input.image_size
    crop = data.augment.crop
    if crop == "auto":
        crop = "pad" if max(size) <= SMALL else "resized"
    if crop == "resized":
        scale, ratio = data.augment.scale, data.augment.ratio
        return [RandomResizedCropAndInterpolation(size, scale, ratio, interpolation=input.interpolation)]  # type: ignore[no-untyped-call]
    if size[0] == size[1]:
        resize: Any = tv.Resize(size[0], interpolation=str_to_interp_mode(input.interpolation))  # type: ignore[no-untyped-call]
    else:
        resize = ResizeKeepRatio(size, interpolation=input.interpolation)  # type: ignore[no-untyped-call]
    if crop == "pad":
        return [resize, tv.RandomCrop(size, padding=data.augment.padding or None)]
    return [resize, tv.CenterCrop(size)]


def _auto_augment(policy: str, input: InputConfig) -> Any:
    fill = tuple(min(255, round(255 * value)) for value in input.mean)
    params = {
        "translate_const": int(min(input.image_size) * 0.45),
        "img_mean": fill if len(fill) > 1 else fill[0],
        "interpolation": str_to_pil_interp(input.interpolation),  # type: ignore[no-untyped-call]
    }
    try:
        if policy.startswith("rand"):
            return rand_augment_transform(policy, params)
        if policy.startswith("augmix"):
            return augment_and_mix_transform(policy, {**params, "translate_pct": 0.3})
        return auto_augment_transform(policy, params)
    except Exception as error:  # timm asserts, or fails somewhere while it takes the string apart
        raise UserError(
            Problem(
                "data.augment.auto_augment",
                f"timm does not understand it{f': {error}' if str(error) else ''}",
                value=policy,
                allowed="'original', 'v0', '3a', 'rand-m9-mstd0.5', 'augmix-m5-w4-d2' and the like",
            )
        ) from error


class ToMode:
    """Converts to grey or RGB; a class, since loader processes may have to pickle it."""

    def __init__(self, channels: int) -> None:
        self.mode = "L" if channels == 1 else "RGB"

    def __call__(self, image: Image.Image) -> Image.Image:
        """The image as grey or RGB."""
        if image.mode.startswith("I;16"):
            # Pillow would clip 16 bits to 255: nearly all of the image would be white
            image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
            image = image.convert("RGBA")
        return image if image.mode == self.mode else image.convert(self.mode)
