"""What `summary.json` says of a run's teachers, and how an encoder is measured."""

from __future__ import annotations

import re
from typing import Any, Final

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

MEASURES: Final = {
    "top1": "top-1",
    "top5": "top-5",
    "agreement": "agreement",
    **CLASS_MEASURES,
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


def teachers_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The part on each teacher, by a label for people: `teacher`, or `teacher 'a'` for each of several."""
    given = summary.get("teacher")
    if isinstance(given, dict):
        return {"teacher": given}
    return {f"teacher '{one['name']}'": one for one in given or ()}
