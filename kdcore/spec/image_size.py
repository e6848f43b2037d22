"""The size of a model's input: a side in pixels, or height and width. Needs no torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST: Final = 8  # pixels
_SIDE: Final = {"type": "integer", "minimum": SMALLEST}
_WORDS: Final = f"a whole number, {SMALLEST} or more, or [height, width]"


def _checked(value: Any) -> Any:
    """A side, or height and width; two equal numbers become one, so that both spellings are the same size."""
    found = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(found) != 2 or any(type(side) is not int for side in found):
        raise ValueError("an image size is a whole number of pixels, or [height, width]")
    if min(found) < SMALLEST:
        raise ValueError(f"each side must have {SMALLEST} pixels or more")
    return found[0] if found[0] == found[1] else found


ImageSize = Annotated[
    int | tuple[int, int],
    BeforeValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}],
            "x-words": _WORDS,
        }
    ),
]
"""A field of a spec: a number for both sides, or height and width."""


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of an image size."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def size_text(size: int | Sequence[int]) -> str:
    """An image size as people write it: `224` or `48x96`, the height first."""
    height, width = sides(size)
    return str(height) if height == width else f"{height}x{width}"


def read_image_size(text: str, where: str) -> int | tuple[int, int]:
    """An image size that somebody typed: `224`, or height and width as `48x96`.

    Raises:
        UserError: it is another text; `where` is the flag or the question.
    """
    found = re.fullmatch(r"(\d{1,6})(?:\s*[xX×]\s*(\d{1,6}))?", text.strip())  # noqa: RUF001  # as people write it
    size = [] if found is None else [int(side) for side in found.groups() if side is not None]
    if not size or min(size) < SMALLEST:
        allowed = f"whole numbers from {SMALLEST}, or height and width such as 48x96"
        raise UserError(Problem(where, "not an image size", text, allowed))
    height, width = size[0], size[-1]
    return height if height == width else (height, width)
