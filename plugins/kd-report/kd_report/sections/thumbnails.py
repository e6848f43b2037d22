"""Small pictures of the images on which student and teacher differ most."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore import KdError
from kdcore.inspect import eight_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from kd_report.reports.findings import Differing

SIDE: Final = 160  # pixels, of the longer side
_SMALL: Final = 64  # up to here images are kept to the pixel


@dataclass(frozen=True)
class Guess:
    """A class that a model names, and its probability in percent."""

    name: str
    percent: float
    right: bool


@dataclass(frozen=True)
class Card:
    """One image: its picture as a data URI (or None), its class, what both models say, the divergence in nats."""

    picture: str | None
    small: bool
    truth: str | None
    student: tuple[Guess, ...]
    teacher: tuple[Guess, ...]
    divergence: float


def cards(
    differing: Sequence[Differing], names: Sequence[str], image: Callable[[int], Image.Image | None]
) -> list[Card]:
    """The images with what the two models make of them; `image` gives the one at a position."""
    found = []
    for item in differing:
        try:
            whole = image(item.position)
        except (KdError, OSError):  # the image no longer exists: the numbers are shown without it
            whole = None
        truth = None if item.truth is None else names[item.truth]
        student, teacher = (
            tuple(Guess(names[k], percent, k == item.truth) for k, percent in guesses)
            for guesses in (item.student, item.teacher)
        )
        picture = None if whole is None else data_uri(whole)
        small = whole is not None and max(whole.size) <= _SMALL
        found.append(Card(picture, small, truth, student, teacher, item.divergence))
    return found


def data_uri(image: Image.Image) -> str:
    """The image, shrunk where it is large, as the source of an `img`."""
    image = eight_bits(image, "RGB")
    content = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(content, "PNG", optimize=True)
        kind = "png"
    else:
        image = image.copy()
        image.thumbnail((SIDE, SIDE))
        image.save(content, "JPEG", quality=82)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
