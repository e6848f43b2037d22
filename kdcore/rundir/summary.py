"""What `summary.json` says of a run's teachers, and how an encoder is measured."""

from __future__ import annotations

from typing import Any, Final

ENCODER_MEASURES: Final = {
    "knn_top1": "k-NN top-1",
    "neighbour_agreement": "shared neighbours",
    "probe_top1": "linear probe top-1",
}
"""The measures of a model without a classifier, in percent, and what people call them."""


def teachers_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The part on each teacher, by a label for people: `teacher`, or `teacher 'a'` for each of several."""
    given = summary.get("teacher")
    if isinstance(given, dict):
        return {"teacher": given}
    return {f"teacher '{one['name']}'": one for one in given or ()}
