"""The records that plugins declare: frozen, without torch, checked when they are created."""

from __future__ import annotations

from kdcore.entries.checks import Paper
from kdcore.entries.distiller import KINDS, PAIRS, DistillerEntry, Kind, Pair, Suits
from kdcore.entries.needs import NEEDS
from kdcore.entries.others import (
    AdapterEntry,
    CommandEntry,
    DatasetEntry,
    Entry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    ModelEntry,
    RecipeEntry,
    SectionEntry,
    TransformEntry,
)
from kdcore.task_kinds import TASKS

AnyEntry = (
    DistillerEntry
    | AdapterEntry
    | DatasetEntry
    | ModelEntry
    | TransformEntry
    | CommandEntry
    | RecipeEntry
    | ExporterEntry
    | MetricEntry
    | SectionEntry
    | LauncherEntry
)

__all__ = [
    "KINDS",
    "NEEDS",
    "PAIRS",
    "TASKS",
    "AdapterEntry",
    "AnyEntry",
    "CommandEntry",
    "DatasetEntry",
    "DistillerEntry",
    "Entry",
    "ExporterEntry",
    "Kind",
    "LauncherEntry",
    "MetricEntry",
    "ModelEntry",
    "Pair",
    "Paper",
    "RecipeEntry",
    "SectionEntry",
    "Suits",
    "TransformEntry",
]
