"""The section on student and teacher together: who is right, and how each relates classes to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import Share, figure, matrix, numbers, shares
from kd_report.reports.look import findings_of
from kd_report.sections.matrices import SIDE, blocks
from kdcore import ReportSection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from torch import Tensor

    from kd_report.reports.findings import Findings, Outcomes
    from kdcore import OpenedRun

_PAIRS: Final = 10


def agreement(run: OpenedRun) -> ReportSection | None:
    """Agreement, and the difference of class correlations."""
    findings = findings_of(run)
    return None if findings is None else agreement_section(findings)


def agreement_section(findings: Findings) -> ReportSection | None:
    """The section, from measures; None without a teacher."""
    both = findings.together
    if both is None:
        return None
    figures = []
    if both.outcomes is not None:
        figures.append(_outcomes(both.outcomes))
    if both.correlation is not None:
        figures.append(_correlation(both.correlation, findings.names))
    if both.teacher_correlation is not None:
        figures.append(_teacher_correlation(both.teacher_correlation, findings.names))
    text = (
        f"On {both.agreement:.1f} % of the images both say the same class. Mean KL divergence of the student's "
        f"probabilities from the teacher's: {both.divergence:.3f} nats."
    )
    return ReportSection("agreement", "Student and teacher", text, tuple(figures))


def _outcomes(outcomes: Outcomes) -> Markup:
    parts = [
        Share("both right", outcomes.both, "part both"),
        Share("only the student", outcomes.student_only, "part student"),
        Share("only the teacher", outcomes.teacher_only, "part teacher"),
        Share("neither", outcomes.none, "part none"),
    ]
    return figure(
        "Who is right",
        shares(parts, label="; ".join(f"{part.name}: {part.percent:.1f} %" for part in parts)),
        legend=[(f"{part.class_} mark square", f"{part.name} {part.percent:.1f} %") for part in parts],
        note="Percent of the images with a class.",
        wide=True,
    )


def _correlation(difference: Tensor, names: Sequence[str]) -> Markup:
    values = difference.numpy()
    size = len(values)
    off = values.copy()
    off[range(size), range(size)] = 0
    pairs = max(1, size * (size - 1))
    mean, largest = float(abs(off).sum() / pairs), float(abs(off).max())
    note = (
        f"Student's minus teacher's Pearson correlation between the logits of each two classes; mean size {mean:.3f}. "
        "Blue: the student ties the two classes more closely than the teacher; vermilion: less. The paler, the more "
        "of the teacher's sense of how classes go together has the student (Tian et al. 2020, figure 2)."
    )
    if size > SIDE:
        note += f" Averaged in blocks to {SIDE} × {SIDE}."  # noqa: RUF001
    strongest = (
        sorted(((abs(off[a, b]), a, b) for a in range(size) for b in range(a) if off[a, b]), reverse=True)[
            :_PAIRS
        ]
        if size <= SIDE
        else []
    )
    rows = [(names[b], names[a], round(float(off[a, b]), 3)) for _, a, b in strongest]
    caption = f"The {len(rows)} pairs of classes that differ most"
    return figure(
        "Difference of class correlations",
        matrix(
            blocks(values),
            label=f"difference of class correlations, mean size {mean:.3f}",
            names=names,
            largest=max(largest, 1e-9),
            rows="class",
            columns="class",
            write=_signed,
        ),
        note=f"{note} Full strength: {largest:.2f}.",
        table=numbers(("class", "class", "difference"), rows, caption=caption) if rows else None,
    )


def _teacher_correlation(correlation: Tensor, names: Sequence[str]) -> Markup:
    return figure(
        "The teacher's class correlations",
        matrix(
            blocks(correlation.numpy()),
            label="the teacher's correlations between the logits of each two classes",
            names=names,
            largest=1.0,
            rows="class",
            columns="class",
            write=lambda value: "" if value > 0.999 else _signed(value),
        ),
        note="In addition to the labels: classes that the teacher sees together (blue) or apart (vermilion).",
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}") if abs(value) >= 0.005 else ""
