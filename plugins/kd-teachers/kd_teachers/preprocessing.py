"""`preprocessor_config.json` of transformers: how its image processors prepare images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS: Final = 255
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


def read_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """What a `preprocessor_config.json` says.

    Raises:
        TypeError, ValueError: a value has another form than transformers writes.
    """
    # processors multiply the values 0..255 by a factor, and some then subtract 1
    factor = float(config.get("rescale_factor", 1 / _LEVELS)) if config.get("do_rescale", True) else 1.0
    shift = 1.0 if config.get("rescale_offset") else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if config.get("do_normalize", True):
        mean = tuple(float(value) for value in config.get("image_mean") or (0.5,) * 3)
        std = tuple(float(value) for value in config.get("image_std") or (0.5,) * 3)
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
        interpolation=_RESAMPLE.get(config.get("resample", 3), "bicubic"),
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
