"""The section on several labels an image: the measures over all labels, and of each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import StudentAndTeacher, dumbbells, figure, numbers
from kd_report.reports.findings import finite_images
from kd_report.sections.scores import measures_figure
from kdcore import ReportSection
from kdcore.inspect import label_scores

if TYPE_CHECKING:
    from markupsafe import Markup

    from kdcore import OpenedRun
    from kdcore.inspect import Scores

_EACH: Final = 40  # labels that have a row in the picture; the table has all


def labels(run: OpenedRun) -> ReportSection | None:
    """Measures of each label; None with one class an image, or without labelled images."""
    if run.student.thresholds is None:
        return None
    student, teacher = run.predictions
    finite = finite_images(student, teacher)
    models = {"student": label_scores(student.logits[finite], student.target[finite])}
    if teacher is not None:
        models["teacher"] = label_scores(teacher.logits[finite], teacher.target[finite])
    if not models["student"].overall:
        return None
    classes = run.student.classes
    names = classes or tuple(str(number) for number in range(len(models["student"].per_class)))
    dropped = int((~finite).sum())
    text = f"{dropped} images are left out: a model's logits for them are not finite." if dropped else ""
    return labels_section(models, names, text)


def labels_section(models: dict[str, Scores], names: tuple[str, ...], text: str = "") -> ReportSection:
    """The section, from the measures of the student, and of the teacher if there is one."""
    title = "Measures over all labels"
    return ReportSection("labels", "Labels", text, (measures_figure(models, title), _of_each(models, names)))


def _of_each(models: dict[str, Scores], names: tuple[str, ...]) -> Markup:
    teacher = models.get("teacher")
    rows = []
    for number, (name, mine) in enumerate(zip(names, models["student"].per_class, strict=True)):
        theirs = None if teacher is None else teacher.per_class[number]["average_precision"]
        rows.append((name, mine["average_precision"], theirs, mine))
    seen = [row for row in rows if row[1] is not None]
    order = sorted(seen, key=lambda row: (row[1] - row[2] if row[2] is not None else row[1], row[0]))
    note = "By the student's distance to the teacher." if teacher is not None else "By average precision."
    if len(order) > _EACH:
        note = f"The {_EACH} lowest of {len(order)} labels. {note}"
    if len(seen) < len(rows):
        note += f" {len(rows) - len(seen)} labels have no image here."
    measured = ("images", "precision", "recall", "f1", "threshold", "tuned_f1")
    table = [
        (name, *(_rounded(value) for value in (own, theirs)), *(_rounded(mine[key]) for key in measured))
        for name, own, theirs, mine in rows
    ]
    header = ["label", "average precision, %", "teacher's, %", "images", "precision, %", "recall, %", "F1, %"]
    header += ["threshold", "F1 at it, %"]
    return figure(
        "Average precision by label",
        dumbbells(
            [StudentAndTeacher(*row[:3]) for row in order[:_EACH]],
            label="average precision by label of student and teacher",
            x_label="average precision, %",
        ),
        legend=[
            ("student mark", "student"),
            *([("teacher mark square", "teacher")] if teacher is not None else []),
        ],
        note=f"{note} Each threshold is the one with the largest F1 on these images.",
        table=numbers(header, table, caption="Measures of each label"),
    )


def _rounded(value: float | None) -> float | int | None:
    return value if value is None or isinstance(value, int) else round(value, 3 if abs(value) < 1 else 1)
