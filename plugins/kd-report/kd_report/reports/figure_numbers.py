"""The numbers behind the figures, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_report.sections.matrices import SIDE

if TYPE_CHECKING:
    from kd_report.reports.findings import Findings, ModelFindings

NUMBERS: Final = "numbers.json"


def as_numbers(findings: Findings | None) -> dict[str, Any]:
    """What the figures show, for other programs."""
    if findings is None:
        return {}
    both, confusion = findings.together, findings.confusion
    found: dict[str, Any] = {
        "images": findings.images,
        "classes": list(findings.names),
        "student": _of_model(findings.student),
        "teacher": None if findings.teacher is None else _of_model(findings.teacher),
    }
    if confusion is not None and len(confusion) <= SIDE:
        found["confusion"] = confusion.tolist()
    if both is not None:
        found["agreement"], found["divergence"] = both.agreement, both.divergence
        found["outcomes"] = None if both.outcomes is None else dict(vars(both.outcomes))
        if both.correlation is not None and len(both.correlation) <= SIDE:
            found["correlation_difference"] = both.correlation.tolist()
    return found


def _of_model(model: ModelFindings) -> dict[str, Any]:
    found: dict[str, Any] = {"top1": model.top1, "top5": model.top5, "nll": model.nll}
    if model.scores.overall:
        found["scores"], found["intervals"] = model.scores.overall, model.scores.intervals
        found["per_class"] = list(model.scores.per_class)
    if model.calibration is not None:
        parts = model.calibration
        found["ece"] = parts.ece
        found["calibration"] = {
            name: getattr(parts, name).tolist() for name in ("edges", "counts", "accuracy", "confidence")
        }
    if model.by_class is not None:
        found["by_class"] = model.by_class.percent.tolist()
        found["class_images"] = model.by_class.counts.tolist()
    return found
