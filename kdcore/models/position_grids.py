"""Position embeddings of inputs that are not square, which cannot be resized: their grid is not in the file."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

POSITIONS: Final = re.compile(r"(absolute_)?pos(ition|itional)?_embed(ding|dings)?")
"""The last part of the names of absolute position embeddings."""


def size_option(role: str) -> str:
    """The field of the spec, or the flag, that sets the input size of a model at a place such as `teacher[1]`."""
    if role == "student":
        return "data.image_size"
    return f"{role}.image_size" if re.fullmatch(r"teacher(\[\d+\])?", role) else "--image-size"


def unknown_grid(model: nn.Module, weights: Mapping[str, Tensor]) -> int | None:
    """The number of patches of position embeddings `[1, N, C]` that is not a square; None: there are none such."""
    prefix = getattr(model, "num_prefix_tokens", 0)
    for name, value in weights.items():
        if not POSITIONS.fullmatch(name.rpartition(".")[2]) or value.dim() not in (2, 3):
            continue
        patches = value.shape[-2] - (prefix if isinstance(prefix, int) else 0)
        if patches > 0 and math.isqrt(patches) ** 2 != patches:
            return patches
    return None
