"""What `summary.json` says of a run's teachers, and how an encoder is measured."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENCODER_MEASURES: Final = {
    "knn_top1": "k-NN top-1",
    "neighbour_agreement": "shared neighbours",
    "probe_top1": "linear probe top-1",
}
"""The measures of a model without a classifier, in percent, and what people call them."""

CLASS_MEASURES: Final = {
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
}
"""The measures of the predicted classes in addition to top-1, in percent, and what people call them."""

LABEL_MEASURES: Final = {
    "micro_f1": "micro F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "exact_match": "exact match",
}
"""The measures of the predicted labels with several labels an image, in percent, and what people call them."""

TUNED_MEASURES: Final = {
    "tuned_micro_f1": "micro F1 (chosen thresholds)",
    "tuned_macro_f1": "macro F1 (chosen thresholds)",
}
"""The same with a threshold for each label that was chosen on the evaluation images."""

MEASURES: Final = {
    "top1": "top-1",
    "top5": "top-5",
    "agreement": "agreement",
    **CLASS_MEASURES,
    **LABEL_MEASURES,
    **TUNED_MEASURES,
    "map": "mAP",
    **ENCODER_MEASURES,
}
"""Every measure of kd itself, in percent, and what people call it."""


def is_percent(name: str) -> bool:
    """Whether a measure is kd's own, which are in percent: a metric of a plugin has a unit of its own."""
    return name in MEASURES or re.fullmatch(r"top[1-9]\d*", name) is not None


def measure_label(name: str) -> str:
    """What people call a measure: `top-3`, `macro F1`; a metric of a plugin has its own name."""
    return MEASURES.get(name) or (name.replace("top", "top-") if is_percent(name) else name)


def has_several_labels(measured: Mapping[str, Any]) -> bool:
    """Whether what was measured of a model is of images with several labels each."""
    return measured.get("micro_f1") is not None


def headline(measured: Mapping[str, Any]) -> tuple[str, ...]:
    """The measures of a classifier that are shown first.

    They are top-1 and top-5; with several labels mAP and micro F1; without labels the agreement with the teacher.
    """
    if has_several_labels(measured):
        return ("map", "micro_f1")
    if measured.get("top1") is None and measured.get("agreement") is not None:
        return ("agreement",)
    return ("top1", "top5")


MAIN_MEASURES: Final = ("top1", "map", "micro_f1", "knn_top1", "agreement", "neighbour_agreement")
"""What can be the measure of a run's task, those with labels first."""


def main_measure(*measured: Mapping[str, Any]) -> str | None:
    """The first of `MAIN_MEASURES` that one of these models has; None: none of them has any."""
    return next((name for name in MAIN_MEASURES if any(one.get(name) is not None for one in measured)), None)


def teachers_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The part on each teacher, by a label for people: `teacher`, or `teacher 'a'` for each of several."""
    given = summary.get("teacher")
    if isinstance(given, dict):
        return {"teacher": given}
    return {f"teacher '{one['name']}'": one for one in given or ()}
