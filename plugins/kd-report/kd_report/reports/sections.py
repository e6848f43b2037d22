"""The sections on images: figures with their numbers, and a sentence that says how to read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import (
    Cloud,
    Share,
    StudentAndTeacher,
    dumbbells,
    figure,
    matrix,
    numbers,
    reliability,
    scatter,
    shares,
)
from kd_report.charts.matrix import CELLS
from kd_report.charts.scatter import SHAPES
from kd_report.section import ReportSection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from markupsafe import Markup
    from numpy.typing import NDArray
    from torch import Tensor

    from kd_report.reports.findings import Findings, ModelFindings, Outcomes
    from kd_report.reports.maps import EmbeddingMap

EACH: Final = 20  # classes up to which each has its row
EXTREMES: Final = 10  # otherwise this number from either end
SIDE: Final = 200  # most pixels of a matrix; larger ones are averaged in blocks
COLOURS: Final = 5
_PAIRS: Final = 10


def classes(findings: Findings) -> ReportSection | None:
    """Accuracy of each class, and what is taken for what."""
    mine = findings.student.by_class
    if mine is None:
        return None
    figures = [_by_class(findings)]
    if findings.confused:
        figures.append(_confused(findings))
    confusion = _confusion(findings)
    if confusion is not None:
        figures.append(confusion)
    return ReportSection("classes", "Classes", "", figures)


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
        table=numbers(("class", "student, %", "teacher, %", "images"), table, caption=caption),
    )


def class_rows(findings: Findings) -> list[tuple[str, float, float | None, int]]:
    """Name, student's and teacher's accuracy, images: the classes furthest behind the teacher first."""
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


def calibration(findings: Findings) -> ReportSection | None:
    """Reliability diagrams."""
    figures = []
    for name, model in _models(findings):
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
    return ReportSection("calibration", "Calibration", text, figures) if figures else None


def _models(findings: Findings) -> list[tuple[str, ModelFindings]]:
    found = [("student", findings.student)]
    return found if findings.teacher is None else [*found, ("teacher", findings.teacher)]


def together(findings: Findings) -> ReportSection | None:
    """Agreement, and the difference of class correlations."""
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
    return ReportSection("agreement", "Student and teacher", text, figures)


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


def blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages in blocks, so that no side has more than `SIDE`."""
    import numpy as np

    size = len(values)
    if size <= SIDE:
        return values
    edges = np.linspace(0, size, SIDE + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(values, edges, axis=0), edges, axis=1)
    widths = np.diff(np.append(edges, size))
    averaged: NDArray[np.float64] = sums / np.outer(widths, widths)
    return averaged


def maps(findings: Findings) -> ReportSection | None:
    """Embeddings in the plane."""
    figures = []
    text = ""
    for kind in ("tsne", "pca"):
        for name, model in _models(findings):
            if model.map is None or (kind == "tsne" and model.map.tsne is None):
                continue
            figures.append(_map(name, model.map, kind, findings))
            text = _map_text(model.map, findings)
    return ReportSection("embeddings", "Embeddings", text, figures) if figures else None


def _map(name: str, drawn: EmbeddingMap, kind: str, findings: Findings) -> Markup:
    places = drawn.pca if kind == "pca" or drawn.tsne is None else drawn.tsne
    clouds = []
    others = places[drawn.group < 0]
    if len(others):
        clouds.append(Cloud("other classes", [(float(a), float(b)) for a, b in others], "rest"))
    for number, k in enumerate(drawn.groups):
        chosen = places[drawn.group == k]
        points = [(float(a), float(b)) for a, b in chosen]
        shape = SHAPES[number // COLOURS % len(SHAPES)]
        clouds.append(Cloud(findings.names[k], points, f"m{number % COLOURS}", shape))
    title = f"{name.capitalize()}, {'PCA' if kind == 'pca' else 't-SNE'}"
    note = f"The two components hold {drawn.explained:.0f} % of the variance." if kind == "pca" else None
    if drawn.of == "logits":
        note = f"{note or ''} Of the logits: no adapter knows the model's embedding.".strip()
    return figure(
        title,
        scatter(clouds, label=f"map of the {name}'s {drawn.of}: {len(places)} images, {title}"),
        legend=[(f"{cloud.class_} dot {cloud.shape}", cloud.name) for cloud in clouds],
        note=note,
    )


def _map_text(drawn: EmbeddingMap, findings: Findings) -> str:
    by = "true class" if findings.labelled else "teacher's class" if findings.teacher else "student's class"
    text = f"{len(drawn.group)} images as each model sees them, marked by their {by}: what lies together looks alike."
    if len(findings.names) > len(drawn.groups):
        text += f" {len(drawn.groups)} of {len(findings.names)} classes have a mark of their own; the others are grey."
    return text
