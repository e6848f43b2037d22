"""MLP-Mixer, ResMLP and gMLP."""

from __future__ import annotations

from kdcore import TimmAdapter


class MixerAdapter(TimmAdapter):
    """Stages are the outputs of blocks 2, 4, 10 and 12 of 12 (`blocks.1`, `blocks.3`, ...), unnormalised.

    So in OFA-KD's code for Mixer-B/16 and ResMLP-S12; other depths in proportion, ResMLP-S24: 4, 8, 20, 24.
    These are the generic adapter's stages too. There is no class token.
    """
