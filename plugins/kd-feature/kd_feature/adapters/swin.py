"""Swin and Swin V2."""

from __future__ import annotations

from kdcore import TimmAdapter


class SwinAdapter(TimmAdapter):
    """Stage i is the output of `layers.{i-1}`, turned to `[B, C, H, W]`, in front of the final norm.

    So in OFA-KD's code, which takes the last block of each level, in front of the patch merging: timm puts
    the merging first in the next level. These are the generic adapter's stages too. There is no class token.
    """
