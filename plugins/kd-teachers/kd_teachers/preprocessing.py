"""What files of transformers say of its image processors: how they prepare images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS: Final = 255
_BICUBIC: Final = 3
_KEYS: Final = (
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "do_normalize",
    "image_mean",
    "image_std",
    "include_top",
    "size",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "resample",
    "do_flip_channel_order",
)
"""The settings that are read."""
_RESAMPLE: Final = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images are prepared.

    Attributes:
        mean: per channel, of images in 0..1.
        std: per channel.
        image_size: (height, width), or None if the file does not say it.
        interpolation: the resizing method.
        crop_pct: the part of the resized image that is kept.
        flips_channels: whether the model takes the colours as blue, green, red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int] | None
    interpolation: str
    crop_pct: float
    flips_channels: bool


def with_defaults(config: Mapping[str, Any], transformers: Any) -> dict[str, Any]:
    """What a file says, with the defaults of the class of image processors that it names: it may leave them out.

    Args:
        config: what the file says.
        transformers: the library.
    """
    name = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    name = str(name).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    known = getattr(transformers, name, None) if name.endswith("ImageProcessor") else None
    defaults = {key: getattr(known, key) for key in _KEYS if hasattr(known, key)}
    return {**defaults, **{key: value for key, value in config.items() if value is not None}}


def read_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """What the settings of an image processor mean.

    Raises:
        TypeError, ValueError: a value has another form than transformers writes.
    """
    # processors multiply the values 0..255 by a factor, and some then subtract 1
    factor = float(config.get("rescale_factor") or 1 / _LEVELS) if config.get("do_rescale", True) else 1.0
    shift = 1.0 if config.get("rescale_offset") else 0.0
    own_mean, own_std = (
        tuple(float(value) for value in config.get(key) or (0.5,) * 3) for key in ("image_mean", "image_std")
    )
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if config.get("do_normalize", True):
        mean, std = own_mean, own_std
    if config.get("include_top"):  # EfficientNet's divides by the deviation once more
        std = tuple(one * other for one, other in zip(std, own_std, strict=True))
    scale = factor * _LEVELS
    if scale != 1 or shift:
        mean, std = tuple((value + shift) / scale for value in mean), tuple(value / scale for value in std)
    resized = _size(config.get("size"))
    cropped = _size(config.get("crop_size")) if config.get("do_center_crop") else None
    crop_pct = config.get("crop_pct") or 1.0
    if resized and cropped and min(cropped) <= min(resized):
        crop_pct = min(cropped) / min(resized)
    return Preprocessing(
        mean=mean,
        std=std,
        image_size=cropped or resized,
        interpolation=_RESAMPLE.get(config.get("resample", _BICUBIC), "bicubic"),
        crop_pct=float(crop_pct),
        flips_channels=bool(config.get("do_flip_channel_order")),
    )


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if isinstance(value, dict):
        side = value.get("shortest_edge")
        height, width = value.get("height", side), value.get("width", side)
        return None if height is None or width is None else (int(height), int(width))
    return None
