"""From images to batches: sources of images, and training and evaluation data that depend on keys only."""

from __future__ import annotations

from kdcore.data.batches import EvalData, RawBatch, TrainData
from kdcore.data.evaluate import build_eval_data
from kdcore.data.inputs import InputConfig, resolve_input
from kdcore.data.opening import check_same_classes, open_split
from kdcore.data.source import Source
from kdcore.data.train import build_train_data

__all__ = [
    "EvalData",
    "InputConfig",
    "RawBatch",
    "Source",
    "TrainData",
    "build_eval_data",
    "build_train_data",
    "check_same_classes",
    "open_split",
    "resolve_input",
]
