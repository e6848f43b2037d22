"""Swin and Swin V2."""

from __future__ import annotations

from kdcore import TimmAdapter


class SwinAdapter(TimmAdapter):
    """Stage i is the output of `layers.{i-1}`, transposed to `[B, C, H, W]`, before the final norm.

    OFA-KD's code has the same stages: the last block of each level, before the patch merging. In timm the merging is
    the first part of the next level. The generic adapter has the same stages. There is no class token.
    """
