"""The section with the images on which student and teacher differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.page import render
from kd_report.reports.look import findings_of
from kd_report.sections.thumbnails import cards
from kdcore import ReportSection

if TYPE_CHECKING:
    from kdcore import OpenedRun


def differ(run: OpenedRun) -> ReportSection | None:
    """The images with the largest divergence, with the predictions of both models; None without a teacher."""
    findings = findings_of(run)
    if findings is None or findings.together is None:
        return None
    shown = cards(findings.together.differing, findings.names, run.image)
    text = (
        f"The {len(shown)} images with the largest KL divergence of the student's probabilities from the teacher's, "
        "the largest first; the right class is marked."
    )
    return ReportSection("differ", "Where they differ most", text, (render("images.html", {"cards": shown}),))
