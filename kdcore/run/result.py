"""The result of a run."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore.rundir.summary import headline, measure_label, teachers_of
from kdcore.text import has_top_5

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect.image_predictor import ImagePredictor
    from kdcore.models import LoadedStudent


@dataclass(frozen=True, repr=False)
class RunResult:
    """The result of a run.

    Attributes:
        directory: the run directory.
        summary: the content of `summary.json`.
        metrics: one record per epoch, as in `metrics.jsonl`.
    """

    directory: Path
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]

    def student(self) -> LoadedStudent:
        """The final student, loaded from the run directory.

        Raises:
            UserError: the student is no longer there.
        """
        from kdcore.models import load_student

        return load_student(self.directory)

    def predictor(self, device: str = "cpu") -> ImagePredictor:
        """The final student for other images: `predict` and `predict_proba`, in scikit-learn's shapes.

        Raises:
            UserError: the run is not finished, or the student is no longer there.
        """
        from kdcore.inspect import open_run_student

        return open_run_student(self.directory).predictor(device)

    def __repr__(self) -> str:
        student = self.summary.get("student") or {}
        first = headline(student)[0]
        score = "" if student.get(first) is None else f", {measure_label(first)} {student[first]:.2f} %"
        return f"RunResult({str(self.directory)!r}{score})"

    def _repr_html_(self) -> str:
        """A table of the accuracies for notebooks."""
        student = self.summary.get("student")
        models = {**teachers_of(self.summary), **({"student": student} if student else {})}
        five = has_top_5((self.summary.get("data") or {}).get("num_classes"))
        first, *others = headline(student or {})
        shown = {first: measure_label(first)} | {
            name: measure_label(name)
            for name in others
            if (five or name != "top5") and any(about.get(name) is not None for about in models.values())
        }
        rows = [_row_html(role, about, tuple(shown)) for role, about in models.items()]
        heads = "".join(f"<th>{label}</th>" for label in ("", "model", "parameters", *shown.values()))
        head = f"<tr>{heads}</tr>"
        return f"<table>{head}{''.join(rows)}</table><code>{html.escape(str(self.directory))}</code>"


def _row_html(role: str, about: dict[str, Any], names: tuple[str, ...]) -> str:
    scores = ["" if about.get(name) is None else f"{about[name]:.2f} %" for name in names]
    cells = [about["model"], f"{about['parameters']:,}", *scores]
    return f"<tr><th>{role}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
