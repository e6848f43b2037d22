"""The measures of an opened run's predictions, which its sections share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from kd_report.reports.findings import Findings, find

if TYPE_CHECKING:
    from kdcore import OpenedRun

_found: Final[WeakKeyDictionary[OpenedRun, Findings | None]] = WeakKeyDictionary()


def findings_of(run: OpenedRun, *, tsne: bool = False) -> Findings | None:
    """The measures of a run's predictions, made once; None if there is no image with finite logits.

    With several labels an image it is None too: these measures are of images with one class each.

    Args:
        run: the run.
        tsne: whether to make t-SNE maps too, which take seconds; it counts in the first call for this run.
    """
    if run.student.thresholds is not None:
        return None
    if run not in _found:
        student, teacher = run.predictions
        _found[run] = find(student, teacher, run.student.classes, tsne=tsne)
    return _found[run]
