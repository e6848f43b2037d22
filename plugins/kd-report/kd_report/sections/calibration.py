"""The section on calibration: reliability diagrams of student and teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.charts import figure, numbers, reliability
from kd_report.reports.look import findings_of
from kdcore import ReportSection

if TYPE_CHECKING:
    from kd_report.reports.findings import Findings
    from kdcore import OpenedRun


def calibration(run: OpenedRun) -> ReportSection | None:
    """Reliability diagrams."""
    findings = findings_of(run)
    return None if findings is None else calibration_section(findings)


def calibration_section(findings: Findings) -> ReportSection | None:
    """The section, from measures; None without labels."""
    figures = []
    for name, model in findings.models:
        found = model.calibration
        if found is None:
            continue
        parts = [found.counts.tolist(), found.accuracy.tolist(), found.confidence.tolist()]
        edges = found.edges.tolist()
        rows = [
            (f"{low:.0f} to {high:.0f} %", count, round(right, 2), round(sure, 2))
            for low, high, count, right, sure in zip(edges[:-1], edges[1:], *parts, strict=True)
            if count
        ]
        likelihood = "" if model.nll is None else f", NLL {model.nll:.3f}"
        figures.append(
            figure(
                f"{name.capitalize()}: ECE {found.ece:.2f} %{likelihood}",
                reliability(
                    edges,
                    *parts,
                    label=f"reliability diagram of the {name}: expected calibration error {found.ece:.2f} %",
                    class_=name,
                ),
                table=numbers(
                    ("probability", "images", "accuracy, %", "confidence, %"),
                    rows,
                    caption=f"Calibration of the {name} by bin",
                ),
            )
        )
    text = (
        "Is a model that says 80 % right in 80 % of the cases? Bars below the diagonal are over-confident. "
        "ECE is the mean distance between accuracy (bar) and confidence (tick) over 15 bins (Guo et al. 2017)."
    )
    return ReportSection("calibration", "Calibration", text, tuple(figures)) if figures else None
