"""Reports for kdcore: the page of a run, the page that compares runs, `kd eval`, and the charts of pages.

`from kd_report import report` imports what it needs when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_report.eval.evaluate import evaluate as evaluate
    from kd_report.eval.result import EvalResult as EvalResult
    from kd_report.eval.result import ModelScores as ModelScores
    from kd_report.eval.speed import Speed as Speed
    from kd_report.reports.report import report as report
    from kd_report.reports.result import ReportResult as ReportResult

_MODULES: Final = {
    "EvalResult": "kd_report.eval.result",
    "ModelScores": "kd_report.eval.result",
    "ReportResult": "kd_report.reports.result",
    "Speed": "kd_report.eval.speed",
    "evaluate": "kd_report.eval.evaluate",
    "report": "kd_report.reports.report",
}
__all__ = ["EvalResult", "ModelScores", "ReportResult", "Speed", "evaluate", "report"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
