"""Which channels of the images a model takes. Needs no torch."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from kdcore.spec.fields import Int

MOST_CHANNELS: Final = 1024
"""The largest number of channels of an image; above it a spec has a mistake."""
GREY: Final = "grey"
GREY_WEIGHTS: Final = (0.299, 0.587, 0.114)
"""How much red, green and blue add to grey (ITU-R BT.601), as in Pillow."""

Band = Annotated[Int, Field(ge=0)]
_WORDS: Final = "'grey', or a list of channels from 0"


def _chosen(value: Any) -> Any:
    if value == GREY:
        return value
    whole = isinstance(value, list | tuple) and all(
        isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value
    )
    if not whole or not 0 < len(value) <= MOST_CHANNELS:
        raise ValueError(f"it must be {_WORDS}")
    return tuple(value)


Channels = Annotated[
    Literal["grey"] | tuple[int, ...],
    BeforeValidator(_chosen),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": GREY},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ],
            "x-words": _WORDS,
        }
    ),
]
"""'grey', or the numbers of channels of the run's images, from 0."""


def count_of(channels: Literal["grey"] | tuple[int, ...] | None, images: int) -> int:
    """The number of channels that a model takes of images with `images` channels; None: all of them."""
    if channels is None:
        return images
    return 1 if channels == GREY else len(channels)


def channels_in_words(count: int) -> str:
    """A number of channels in words."""
    return "1 channel" if count == 1 else f"{count} channels"


def channels_fault(channels: Literal["grey"] | tuple[int, ...] | None, images: int) -> str | None:
    """Why a model cannot take these channels of images with `images` channels; None if it can."""
    if channels is None:
        return None
    if channels == GREY:
        return None if images == 3 else f"'grey' is computed from RGB, and data.channels is {images}"
    above = [one for one in channels if isinstance(one, int) and one >= images]
    if above:
        return f"the images have {images} channels, 0 to {images - 1}, and not {above[0]}"
    return None
