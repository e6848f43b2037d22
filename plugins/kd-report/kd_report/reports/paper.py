"""The figures for papers: PNG and PDF by matplotlib, one column wide, and the numbers behind them as JSON."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from kd_report.charts.colours import AVERAGED, CYCLE, GREY, LIGHT, STUDENT, TEACHER
from kd_report.charts.matrix import CELLS
from kd_report.charts.svg import clipped
from kd_report.reports.figure_numbers import NUMBERS, as_numbers
from kd_report.sections.classes import EACH, EXTREMES, class_rows
from kd_report.sections.matrices import SIDE, blocks
from kdcore.inspect import main_measure, measure_label
from kdcore.plugin import pip_install, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kd_report.reports.facts import Facts
    from kd_report.reports.findings import Findings

_COLUMN: Final = 3.35  # inches
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text, as publishers require
    "text.parse_math": False,  # the name of a class may contain $
}


def draw(facts: Facts, findings: Findings | None, folder: Path, notes: list[str]) -> tuple[Path, ...]:
    """Write the figures and `numbers.json` into `folder`; `notes` gets a line if matplotlib is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.png"), *folder.glob("*.pdf")):
        old.unlink()
    written = [folder / NUMBERS]
    write_json(written[0], as_numbers(findings))
    if find_spec("matplotlib") is None:
        install = pip_install("kd-report", extra="figures")
        notes.append(f"No figures as PNG and PDF: matplotlib is not installed ({install}).")
        return tuple(written)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about letters that the font does not have
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        for name, figure in _figures(facts, findings):
            for suffix in ("png", "pdf"):
                path = folder / f"{name}.{suffix}"
                figure.savefig(path, dpi=200, metadata={"CreationDate": None} if suffix == "pdf" else None)
                figure.set_layout_engine("none")  # the layout is ready: the next format does not repeat it
                written.append(path)
    return tuple(written)


def _figures(facts: Facts, findings: Findings | None) -> Iterator[tuple[str, Figure]]:
    makers: list[tuple[str, Callable[[], Figure | None]]] = [
        ("accuracy", lambda: _accuracy(facts)),
        ("losses", lambda: _losses(facts)),
    ]
    if findings is not None:
        makers += [
            ("classes", lambda: _classes(findings)),
            ("confusion", lambda: _confusion(findings)),
            ("calibration", lambda: _calibration(findings)),
            ("correlation", lambda: _correlation(findings)),
            ("embeddings", lambda: _embeddings(findings)),
        ]
    for name, make in makers:
        figure = make()
        if figure is not None:
            yield name, figure


def _new(columns: int = 1, width: float = _COLUMN, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [figure.add_subplot(1, columns, index + 1) for index in range(columns)]


def _accuracy(facts: Facts) -> Figure | None:
    # a run that was killed has no summary
    name = main_measure(facts.student, *(record.get("eval") or {} for record in facts.records)) or "agreement"
    curves = [("student", "eval", STUDENT, "-"), ("averaged student", "ema", AVERAGED, "--")]
    figure, (axes,) = _new()
    some = False
    for label, part, colour, dash in curves:
        points = [
            (r["epoch"], value) for r in facts.records if (value := (r.get(part) or {}).get(name)) is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), dash, color=colour, label=label, marker=_marker(points))
            some = True
    if not some:
        return None
    if facts.teacher.get(name) is not None:
        axes.axhline(facts.teacher[name], color=TEACHER, linestyle="-.", label="teacher")
    axes.set(xlabel="epoch", ylabel=f"{measure_label(name)}, %")
    axes.legend()
    return figure


def _losses(facts: Facts) -> Figure | None:
    if not facts.records:
        return None
    names = list(dict.fromkeys(name for r in facts.records for name in (r.get("terms") or {})))
    figure, (axes,) = _new()
    for number, name in enumerate(["task loss", *names]):
        points = [
            (r["epoch"], value)
            for r in facts.records
            if (value := r.get("task_loss") if not number else (r.get("terms") or {}).get(name)) is not None
        ]
        if points:
            colour = CYCLE[number % len(CYCLE)]
            axes.plot(*zip(*points, strict=True), color=colour, label=name, marker=_marker(points))
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    return figure


def _marker(points: list[Any]) -> str | None:
    return "o" if len(points) == 1 else None


def _classes(findings: Findings) -> Figure | None:
    rows = class_rows(findings)
    if not rows:
        return None
    rows = rows if len(rows) <= EACH else rows[:EXTREMES] + rows[-EXTREMES:]
    figure, (axes,) = _new(height=0.6 + 0.16 * len(rows))
    places = range(len(rows))[::-1]
    if rows[0][2] is not None:
        teacher = [row[2] or 0.0 for row in rows]
        axes.hlines(places, [row[1] for row in rows], teacher, color=LIGHT, linewidth=1.5, zorder=1)
        axes.plot(teacher, places, "D", color=TEACHER, markersize=3.5, label="teacher")
    axes.plot([row[1] for row in rows], places, "o", color=STUDENT, markersize=4, label="student")
    axes.set_yticks(list(places), [clipped(row[0], 24) for row in rows])
    axes.set_xlabel("top-1, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _confusion(findings: Findings) -> Figure | None:
    counts = findings.confusion
    if counts is None or len(counts) > SIDE:
        return None
    share = (100 * counts.double() / counts.sum(dim=1, keepdim=True).clamp(min=1)).numpy()
    figure, (axes,) = _new(height=3.1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    if len(counts) <= CELLS:
        axes.set_xticks(range(len(counts)), [clipped(name, 12) for name in findings.names], rotation=90)
        axes.set_yticks(range(len(counts)), [clipped(name, 12) for name in findings.names])
    axes.set(xlabel="student's class", ylabel="true class")
    figure.colorbar(image, ax=axes, shrink=0.8, label="% of the class")
    return figure


def _calibration(findings: Findings) -> Figure | None:
    models = [("student", findings.student, STUDENT)]
    if findings.teacher is not None:
        models.append(("teacher", findings.teacher, TEACHER))
    if models[0][1].calibration is None:
        return None
    figure, all_axes = _new(len(models), _COLUMN * (1 if len(models) == 1 else 1.6))
    for axes, (name, model, colour) in zip(all_axes, models, strict=True):
        found = model.calibration
        assert found is not None
        width = 100 / len(found.counts)
        kept = found.counts > 0
        left = found.edges[:-1][kept].numpy()
        axes.bar(left, found.accuracy[kept].numpy(), width, align="edge", color=colour, edgecolor="white")
        axes.hlines(found.confidence[kept].numpy(), left, left + width, color="black", linewidth=1)
        axes.plot([0, 100], [0, 100], "--", color=GREY, linewidth=0.8)
        axes.set(
            xlim=(0, 100), ylim=(0, 100), title=f"{name}, ECE {found.ece:.1f} %", xlabel="probability, %"
        )
    all_axes[0].set_ylabel("accuracy, %")
    return figure


def _correlation(findings: Findings) -> Figure | None:
    if findings.together is None or findings.together.correlation is None:
        return None
    values = blocks(findings.together.correlation.numpy())
    largest = max(float(abs(values).max()), 1e-9)
    figure, (axes,) = _new(height=2.9)
    image = axes.imshow(values, cmap="RdBu", vmin=-largest, vmax=largest)
    axes.set(xlabel="class", ylabel="class")
    figure.colorbar(image, ax=axes, shrink=0.8, label="student's minus teacher's correlation")
    return figure


def _embeddings(findings: Findings) -> Figure | None:
    maps = [("student", findings.student.map)]
    if findings.teacher is not None:
        maps.append(("teacher", findings.teacher.map))
    drawn = [(name, found) for name, found in maps if found is not None]
    if not drawn:
        return None
    figure, all_axes = _new(len(drawn), _COLUMN * (1 if len(drawn) == 1 else 1.6))
    for axes, (name, found) in zip(all_axes, drawn, strict=True):
        places = found.pca if found.tsne is None else found.tsne
        others = places[found.group < 0]
        axes.scatter(others[:, 0], others[:, 1], s=4, color=LIGHT, linewidths=0)
        for number, k in enumerate(found.groups):
            chosen = places[found.group == k]
            marker = "o" if number < 5 else "^"
            label = clipped(findings.names[k], 16) if axes is all_axes[0] else None
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=6,
                color=CYCLE[number % 5],
                marker=marker,
                linewidths=0,
                label=label,
            )
        axes.set(xticks=[], yticks=[], title=f"{name}, {'PCA' if found.tsne is None else 't-SNE'}")
    figure.legend(loc="outside lower center", ncols=5, handletextpad=0.1, columnspacing=0.8)
    return figure
