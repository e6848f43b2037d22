"""ViT and DeiT, including the distilled DeiT."""

from __future__ import annotations

from kdcore import TimmAdapter


class ViTAdapter(TimmAdapter):
    """Stages are the outputs of blocks 2, 4, 10 and 12 of 12 (`blocks.1`, `blocks.3`, ...), unnormalised.

    OFA-KD's code has the same stages. Other depths are in proportion; 24 blocks: 4, 8, 20, 24. The map has the patches.
    The prefix has all tokens before them: class, distillation, registers. The generic adapter has the same stages. A
    distilled DeiT has two classifiers; its embedding is the class token, which is the input of the first one.
    """
