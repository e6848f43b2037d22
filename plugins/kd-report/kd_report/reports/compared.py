"""One page for several runs: their results in a table, their curves on common axes, and how their specs differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from kd_report.charts import Curve, StudentAndTeacher, dumbbells, figure, line_chart, numbers
from kd_report.charts.svg import element
from kd_report.page import render, write_page
from kd_report.reports.facts import Facts, value_text
from kd_report.reports.figure_numbers import NUMBERS
from kd_report.reports.gap import find_vanilla, gap
from kd_report.reports.result import ReportResult
from kdcore import ReportSection
from kdcore.inspect import MAIN_MEASURES, main_measure, measure_label
from kdcore.plugin import duration, flat, percent, read_json, short_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from kdcore import RunDirectory

CURVES: Final = 7  # runs with a curve; more are hard to distinguish
ROWS: Final = 30
_DIFFER_IN_NAME: Final = ("name", "output", "report")


def write_comparison(directories: Sequence[RunDirectory], output: Path | None) -> ReportResult:
    """Write the page that compares runs, from their files alone.

    Raises:
        UserError: a run's files are damaged, or the page cannot be written.
    """
    runs = [Facts.read(directory) for directory in directories]
    target = output or directories[0].path.absolute().parent / "compared.html"
    labels = _labels(runs)
    sections = [_results(runs, labels, target.absolute().parent), _curves(runs, labels), _specs(runs, labels)]
    page = render(
        "compared.html",
        {
            "title": f"{len(runs)} runs",
            "lead": _lead(runs, labels),
            "sections": [section for section in sections if section is not None],
        },
    )
    write_page(target, page)
    return ReportResult(target, (), ())


def _labels(runs: Sequence[Facts]) -> list[str]:
    """The runs' names, with as much of their folders as makes them different."""
    names = [run.run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    paths = [str(run.run.path.absolute()) for run in runs]
    common = os.path.commonpath(paths)
    return [Path(os.path.relpath(path, common)).as_posix() for path in paths]


def _measures(runs: Sequence[Facts]) -> list[str]:
    """The measures of the runs' tasks, in the order of MAIN_MEASURES; most runs that are compared have the same."""
    found = {main_measure(run.student) for run in runs}
    return [name for name in MAIN_MEASURES if name in found]


def _lead(runs: Sequence[Facts], labels: Sequence[str]) -> str:
    names = _measures(runs)
    if not names:
        return "No student was measured."
    best = []
    for name in names:
        scored = [
            (value, label)
            for run, label in zip(runs, labels, strict=True)
            if (value := _own(run, name)) is not None
        ]
        value, label = max(scored, key=lambda item: item[0])
        best.append(f"Highest {measure_label(name)} of the student: {percent(value, 2)}, {label}.")
    return " ".join(best)


def _own(run: Facts, name: str) -> float | None:
    """The measure of the student, if it is the one of the run's task."""
    return float(run.student[name]) if main_measure(run.student) == name else None


def _test(run: Facts, name: str) -> float | None:
    """The measure on the test images, if it is the one of the run's task."""
    tested = (run.summary.get("test") or {}).get("student") or {}
    return tested.get(name) if main_measure(run.student) == name else None


def _ordered(runs: Sequence[Facts], names: Sequence[str]) -> list[int]:
    """The numbers of the runs: by their measure, the highest first, and at the end those without any."""

    def key(index: int) -> tuple[int, float]:
        name = main_measure(runs[index].student)
        return (len(names), 0.0) if name is None else (names.index(name), -float(runs[index].student[name]))

    return sorted(range(len(runs)), key=key)


def _results(runs: Sequence[Facts], labels: Sequence[str], folder: Path) -> ReportSection:
    names = _measures(runs)
    order = _ordered(runs, names)
    tested = [name for name in names if any(_test(run, name) is not None for run in runs)]
    header = ["run", "distiller", "student", "parameters"]
    for name in names or ["top1"]:
        header += [measure_label(name), *(["test"] if name in tested else []), "best", "teacher"]
    agreement = [] if "agreement" in names else ["agreement"]
    header += ["gap closed", *agreement, "ECE", "epochs", "images/s", "time"]
    rows = [_row(runs[index], labels[index], folder, names or ["top1"], tested) for index in order]
    note = "The student after its last epoch; best: after its best one. Gap closed: of the way from the same student "
    note += "alone to the teacher, if there is such a run next to this one."
    if tested:
        note += " Test: the finished student on the test images, measured once."
    table = figure("Results", numbers(header, rows, caption="Results of the runs"), note=note, wide=True)
    charts = [_chart(runs, labels, order, name) for name in names]
    return ReportSection("results", "Results", "", (table, *charts))


def _chart(runs: Sequence[Facts], labels: Sequence[str], order: Sequence[int], name: str) -> Markup:
    """Students and their teachers by one measure."""
    pairs = [
        StudentAndTeacher(labels[index], value, runs[index].teacher.get(name))
        for index in order
        if (value := _own(runs[index], name)) is not None
    ]
    legend = [("student mark", "student")]
    if any(pair.teacher is not None for pair in pairs):
        legend.append(("teacher mark square", "its teacher"))
    what = measure_label(name)
    chart = dumbbells(pairs[:ROWS], label=f"{what} of the runs", x_label=f"{what}, %")
    note = f"The {ROWS} highest of {len(pairs)}." if len(pairs) > ROWS else None
    title = what if name in ("map", "knn_top1") else what[0].upper() + what[1:]
    return figure(title, chart, legend=legend, note=note)


def _row(
    run: Facts, label: str, folder: Path, names: Sequence[str], tested: Sequence[str]
) -> tuple[Markup | str | None, ...]:
    """One run in the table of results."""
    student, summary = run.student, run.summary
    closed = gap(summary, run.num_classes, find_vanilla(run.run, run.spec))
    rate, seconds, status = (
        summary.get("images_per_second"),
        summary.get("wall_seconds"),
        summary.get("status"),
    )
    scores: list[str | None] = []
    for name in names:
        own = main_measure(student) == name
        scores.append(percent(_own(run, name), 2))
        scores += [percent(_test(run, name), 2)] if name in tested else []
        scores += [
            percent(one, 2) if own else None for one in (student.get(f"best_{name}"), run.teacher.get(name))
        ]
    return (
        _link(run, label, folder),
        run.method,
        student.get("model"),
        short_count(student["parameters"]) if student.get("parameters") else None,
        *scores,
        percent(closed.percent if closed is not None and closed.vanilla else None),
        *([] if "agreement" in names else [percent(student.get("agreement"))]),
        percent(_ece(run), 2),
        summary.get("epochs") if status == "finished" else f"{run.epochs}, {status}",
        f"{rate:,.0f}" if rate else None,
        duration(seconds) if seconds else None,
    )


def _link(run: Facts, label: str, folder: Path) -> Markup | str:
    page = run.run.report.absolute()
    if not page.is_file():
        return label
    # a folder's name may have letters that mean something in an address, such as '#' and '%'
    path = Path(os.path.relpath(page, folder)).as_posix()
    return element("a", label, href=quote(os.fsencode(path)))


def _ece(run: Facts) -> float | None:
    """As the run's own report found it."""
    try:
        found = read_json(run.run.figures / NUMBERS)["student"]["ece"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(found) if isinstance(found, int | float) else None


def _curves(runs: Sequence[Facts], labels: Sequence[str]) -> ReportSection | None:
    figures = []
    for title, part, name, unit in (
        ("Top-1 on the evaluation images", "eval", "top1", "%"),
        ("mAP on the evaluation images", "eval", "map", "%"),
        ("Micro F1 on the evaluation images", "eval", "micro_f1", "%"),
        ("k-NN top-1 on the evaluation images", "eval", "knn_top1", "%"),
        ("Agreement with the teacher", "eval", "agreement", "%"),
        ("Neighbours shared with the teacher", "eval", "neighbour_agreement", "%"),
        ("Top-1 on the training images", "train", "top1", "%"),
    ):
        found = []
        for run, label in zip(runs, labels, strict=True):
            points = [(r["epoch"], (r.get(part) or {}).get(name)) for r in run.records]
            if any(y is not None for _, y in points):
                found.append((points, label))
        if not found:
            continue
        found.sort(key=lambda item: max(y for _, y in item[0] if y is not None), reverse=True)
        lines = [
            Curve(label, points, f"s{number + 1}") for number, (points, label) in enumerate(found[:CURVES])
        ]
        epochs = sorted({x for line in lines for x, _ in line.points})
        rows = [(epoch, *(dict(line.points).get(epoch) for line in lines)) for epoch in epochs]
        note = f"The {CURVES} highest of {len(found)}." if len(found) > CURVES else None
        figures.append(
            figure(
                title,
                line_chart(lines, label=f"{title} by epoch", x_label="epoch", y_label=unit),
                legend=[(line.class_, line.name) for line in lines],
                note=note,
                table=numbers(("epoch", *(line.name for line in lines)), rows, caption=f"{title} by epoch"),
            )
        )
    return ReportSection("curves", "Training", "", tuple(figures)) if figures else None


def _specs(runs: Sequence[Facts], labels: Sequence[str]) -> ReportSection:
    flattened = [flat(run.spec) for run in runs]
    keys = list(dict.fromkeys(key for spec in flattened for key in spec))
    rows = []
    for key in keys:
        values = [_shown(spec[key]) if key in spec else "\N{EN DASH}" for spec in flattened]
        if key.partition(".")[0] not in _DIFFER_IN_NAME and len(set(values)) > 1:
            rows.append((key, *values))
    if not rows:
        return ReportSection("specs", "How they differ", "Their specs say the same.")
    table = numbers(("", *labels), rows, caption="What the specs say differently")
    return ReportSection(
        "specs", "How they differ", "", (figure("What the specs say differently", table, wide=True),)
    )


def _shown(value: Any) -> str:
    return "none" if value in ({}, []) else value_text(value)
