"""Half precision: how much it may change logits, and ONNX's form of it, whose images and logits have 32 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TOLERANCE: Final = 0.01
"""The largest allowed difference of a logit, as a share of the largest logit: 16 bits have steps of a thousandth."""


def halve(path: Path) -> None:
    """Replace an ONNX model by its half-precision form, by onnxruntime's converter.

    Operators that have no half-precision form stay as they are, with casts around them.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
