"""The section on classes: accuracy of each, what the student takes for what, confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import StudentAndTeacher, dumbbells, figure, matrix, numbers
from kd_report.charts.matrix import CELLS
from kd_report.reports.look import findings_of
from kd_report.sections.matrices import SIDE
from kd_report.sections.scores import measures_figure
from kdcore import ReportSection
from kdcore.plugin import has_top_5

if TYPE_CHECKING:
    from markupsafe import Markup

    from kd_report.reports.findings import Findings
    from kdcore import OpenedRun

EACH: Final = 20  # classes up to which each has its row
EXTREMES: Final = 10  # otherwise this number from either end


def classes(run: OpenedRun) -> ReportSection | None:
    """Accuracy of each class, and what is taken for what."""
    findings = findings_of(run)
    return None if findings is None else classes_section(findings)


def classes_section(findings: Findings) -> ReportSection | None:
    """The section, from measures; None without labels."""
    mine = findings.student.by_class
    if mine is None:
        return None
    figures = [_scores(findings), _by_class(findings)]
    if findings.confused:
        figures.append(_confused(findings))
    confusion = _confusion(findings)
    if confusion is not None:
        figures.append(confusion)
    return ReportSection("classes", "Classes", "", tuple(figures))


def _scores(findings: Findings) -> Markup:
    """The measures over all classes, with their intervals."""
    models = {who: model.scores for who, model in findings.models}
    without = () if has_top_5(len(findings.names)) else ("top5",)
    return measures_figure(models, "Measures over all classes", without=without)


def _by_class(findings: Findings) -> Markup:
    rows = order = class_rows(findings)
    theirs = None if findings.teacher is None else findings.teacher.by_class
    note = "By the student's distance to the teacher." if theirs is not None else "By accuracy."
    shown = order
    if len(rows) > EACH:
        shown = order[:EXTREMES] + order[-EXTREMES:]
        note = (
            f"{2 * EXTREMES} of {len(rows)} classes: the {EXTREMES} furthest behind the teacher and the "
            f"{EXTREMES} furthest ahead."
            if theirs is not None
            else f"{2 * EXTREMES} of {len(rows)} classes: the {EXTREMES} lowest and the {EXTREMES} highest."
        )
    missing = len(findings.names) - len(rows)
    if missing:
        note += f" {missing} classes have no image here."
    fewest = min(row[3] for row in rows)
    if fewest < 20:  # one image more or less is 5 points and more
        note += f" The smallest class has {fewest} image{'s' if fewest > 1 else ''}: percentages are rough."
    table = order if len(order) <= 200 else order[:100] + order[-100:]
    caption = "Accuracy by class" + (" (100 from either end)" if len(order) > 200 else "")
    return figure(
        "Accuracy by class",
        dumbbells(
            [StudentAndTeacher(*row[:3]) for row in shown],
            label="accuracy by class of student and teacher",
            x_label="top-1, %",
        ),
        legend=[
            ("student mark", "student"),
            *([("teacher mark square", "teacher")] if theirs is not None else []),
        ],
        note=note,
        table=numbers(
            ("class", "student, %", "teacher, %", "images", "precision, %", "F1, %", "average precision, %"),
            [(*row[:4], *_more_of(findings, row[4])) for row in table],
            caption=caption,
        ),
    )


def _more_of(findings: Findings, index: int) -> list[float | None]:
    """The student's precision, F1 and average precision of a class, rounded."""
    about = findings.student.scores.per_class[index]
    found = [about.get(measure) for measure in ("precision", "f1", "average_precision")]
    return [None if value is None else round(value, 1) for value in found]


def class_rows(findings: Findings) -> list[tuple[str, float, float | None, int, int]]:
    """Name, student's and teacher's accuracy, images, index: the classes furthest behind the teacher first."""
    mine = findings.student.by_class
    theirs = None if findings.teacher is None else findings.teacher.by_class
    if mine is None:
        return []
    rows = [
        (
            findings.names[k],
            float(mine.percent[k]),
            None if theirs is None else float(theirs.percent[k]),
            int(mine.counts[k]),
            k,
        )
        for k in mine.seen.nonzero().flatten().tolist()
    ]
    return sorted(rows, key=lambda row: (row[1] - row[2] if row[2] is not None else row[1], row[0]))


def _confusion(findings: Findings) -> Markup | None:
    if findings.confusion is None:
        return None
    counts = findings.confusion
    size = len(counts)
    totals = counts.sum(dim=1)
    percent = (100 * counts.double() / totals.clamp(min=1).unsqueeze(1)).numpy()
    if size > SIDE:
        return None
    note = "Each row is a class: the share of its images that the student takes for each column's class."
    caption = "Share of each class's images, in percent, by the student's first class"
    table = None
    if size <= CELLS:
        rows = [(findings.names[k], *(round(float(value), 1) for value in percent[k])) for k in range(size)]
        table = numbers(("class", *findings.names), rows, caption=caption)
    return figure(
        "Confusion of the student",
        matrix(
            percent,
            label="confusion matrix of the student",
            names=findings.names,
            largest=100.0,
            rows="true class",
            columns="student's class",
            write=lambda value: f"{value:.0f}" if value >= 0.5 else "",
            empty=(totals == 0).numpy(),
        ),
        note=note,
        table=table,
    )


def _confused(findings: Findings) -> Markup:
    with_teacher = findings.teacher is not None
    header = ["true", "taken for", "images", "% of class"]
    rows: list[tuple[object, ...]] = []
    for item in findings.confused:
        row = (findings.names[item.truth], findings.names[item.taken_for], item.images, f"{item.percent:.1f}")
        rows.append((*row, item.teacher_images) if with_teacher else row)
    if with_teacher:
        header.append("teacher")
    title = "Most frequent mistakes of the student"
    note = (
        "Last column: how many images of the class the teacher takes for the same." if with_teacher else None
    )
    return figure(title, numbers(header, rows, caption=title), note=note)
