"""Stages, feature maps, the generic adapter: all that a model gives in one forward pass."""

from __future__ import annotations

from kdcore.features.extractor import Extractor
from kdcore.features.find import find_adapter
from kdcore.features.heads import set_distilled_training
from kdcore.features.info import model_info
from kdcore.features.logits_only import PlainAdapter
from kdcore.features.timm import TimmAdapter

__all__ = ["Extractor", "PlainAdapter", "TimmAdapter", "find_adapter", "model_info", "set_distilled_training"]
