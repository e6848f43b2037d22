"""Image files that are arrays of numbers: NumPy's .npy, and TIFF of any number of channels and any number format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np

from kdcore.data.modes import UnknownRange
from kdcore.plugins.pip_hint import pip_install

if TYPE_CHECKING:
    from kdcore.data.pixels import Array, PixelRule

NUMPY: Final = b"\x93NUMPY"
TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _PALETTE = 0, 3  # TIFF's photometric interpretations


def read_npy(data: bytes, rule: PixelRule) -> Array:
    """The array of a .npy file, `[H, W]` or `[H, W, C]`.

    Raises:
        UnknownRange: it has another shape, or holds Python objects, which are not read.
        ValueError: the file is damaged.
    """
    try:
        values: Array = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise UnknownRange("its array holds Python objects, which are not read") from error
        raise
    if values.ndim == 3 and rule.array_order == "chw":
        values = values.transpose(1, 2, 0)
    if values.ndim not in (2, 3):
        raise UnknownRange(f"it is an array of the shape {list(values.shape)}, not [H, W] or [H, W, C]")
    return values


def read_tiff(data: bytes) -> Array:
    """The first image of a TIFF with all its channels, `[H, W]` or `[H, W, C]`; equal pages are channels.

    Raises:
        UnknownRange: it has more axes, a palette, or needs a package that is missing.
    """
    try:
        import tifffile
    except ImportError as error:
        hint = pip_install("kdcore", extra="tiff")
        raise UnknownRange(f"reading its channels needs tifffile, which is missing\n    {hint}") from error
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series = file.series[0]
        kind = int(series.keyframe.photometric)
        if kind == _PALETTE:
            raise UnknownRange("its values are colours of a palette, not channels\n    Save it as RGB.")
        try:
            values = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            hint = pip_install("kdcore", extra="tiff")
            raise UnknownRange(f"its compression needs imagecodecs, which is missing\n    {hint}") from error
        values = _channels_last(values, series.axes)
    if kind == _WHITE_IS_ZERO:
        if values.dtype.kind != "u":
            raise UnknownRange("its white is 0: save it with white as the largest value")
        values = np.iinfo(values.dtype).max - values
    return values


def _channels_last(values: Array, axes: str) -> Array:
    """The axes Y and X first, and at most one more."""
    wide = [place for place, name in enumerate(axes) if name in "YX" or values.shape[place] > 1]
    kept = "".join(axes[place] for place in wide)
    values = values.reshape([values.shape[place] for place in wide])
    if kept.count("Y") != 1 or kept.count("X") != 1 or len(kept) > 3:
        shape = ", ".join(f"{name} {size}" for name, size in zip(kept, values.shape, strict=True))
        raise UnknownRange(f"its axes are {shape}; an image has Y, X, and one axis of channels at most")
    others = [place for place, name in enumerate(kept) if name not in "YX"]
    return values.transpose([kept.index("Y"), kept.index("X"), *others])
