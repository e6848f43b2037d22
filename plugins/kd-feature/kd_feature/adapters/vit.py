"""ViT and DeiT, the distilled DeiT included."""

from __future__ import annotations

from kdcore import TimmAdapter


class ViTAdapter(TimmAdapter):
    """Stages are the outputs of blocks 2, 4, 10 and 12 of 12 (`blocks.1`, `blocks.3`, ...), unnormalised.

    So in OFA-KD's code; other depths in proportion, 24 blocks: 4, 8, 20, 24. The map has the patches, the
    prefix all tokens in front of them: class, distillation, registers. These are the generic adapter's
    stages too. With a distilled DeiT's two classifiers the embedding is the class token, which enters the first.
    """
