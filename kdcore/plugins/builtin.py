"""What the core itself declares: the baseline, the digits, and the adapter that serves every timm model."""

from __future__ import annotations

from kdcore.entries import AdapterEntry, DatasetEntry, DistillerEntry
from kdcore.hookspecs import hookimpl


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """Training without a teacher, for comparison."""
    return [
        DistillerEntry(
            name="vanilla",
            kind="baseline",
            summary="No distillation: the student learns from the ground truth alone.",
            target="kdcore.engine.vanilla:Vanilla",
            options="kdcore.engine.vanilla_options:VanillaOptions",
            formula="0 (the task loss is all there is)",
        )
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The adapter for models that no other adapter is declared for."""
    return [
        AdapterEntry(
            name="timm",
            summary="Every timm model that gives intermediate features; serves what no other adapter does.",
            target="kdcore.features.timm:TimmAdapter",
        )
    ]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    """A dataset that needs no network."""
    return [
        DatasetEntry(
            name="digits",
            summary="1797 hand-written digits of 8x8 pixels, from scikit-learn.",
            target="kdcore.data.digits:Digits",
            num_classes=10,
        )
    ]
