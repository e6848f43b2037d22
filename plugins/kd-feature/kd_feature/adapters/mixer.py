"""MLP-Mixer, ResMLP and gMLP."""

from __future__ import annotations

from kdcore import TimmAdapter


class MixerAdapter(TimmAdapter):
    """Stages are the outputs of blocks 2, 4, 10 and 12 of 12 (`blocks.1`, `blocks.3`, ...), unnormalised.

    OFA-KD's code has the same stages for Mixer-B/16 and ResMLP-S12. Other depths are in proportion; ResMLP-S24: 4, 8,
    20, 24. The generic adapter has the same stages. There is no class token.
    """
