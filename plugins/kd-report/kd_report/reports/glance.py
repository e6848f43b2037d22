"""The top of a report: what was run in a sentence, and the result in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kd_report.reports.gap import OF_LABELS
from kdcore.inspect import MAIN_MEASURES, has_several_labels, main_measure, measure_label
from kdcore.plugin import counted, duration, path_end, percent, short_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kd_report.reports.facts import Facts
    from kd_report.reports.gap import Gap

_SCORES: Final = {
    "top1": "Student, top-1",
    "map": "Student, mAP",
    "micro_f1": "Student, micro F1",
    "knn_top1": "Student, k-NN top-1",
    "agreement": "Agreement with the teacher",
    "neighbour_agreement": "Neighbours shared with the teacher",
}
"""The label of the student's score, which is its main measure."""
_MOST: Final = 6  # tiles that stand in one row


@dataclass(frozen=True)
class Tile:
    """One number: what it is, its value, a line on it."""

    label: str
    value: str
    sub: str
    class_: str = ""


def lead(facts: Facts) -> str:
    """The run in a sentence."""
    student = facts.student.get("model") or facts.part("student").get("model")
    known = {label: about.get("model") for label, about in facts.teacher_specs.items()}
    known |= {label: about.get("model") for label, about in facts.teachers.items()}
    teacher = " and ".join(model for model in known.values() if model)
    how = f"learns from {teacher} by {facts.method}" if teacher else f"is trained with {facts.method}"
    if not teacher and facts.method == "vanilla":
        how = "is trained alone"
    size = (facts.summary.get("data") or {}).get("train_size")
    images = f", {size:,} images" if size else ""
    passed = f", {counted(facts.epochs, 'epoch')}" if facts.epochs else ""
    dataset = path_end(str(facts.part("data").get("dataset")))
    return f"{student} {how} on {dataset}{images}{passed}."


def tiles(facts: Facts, gap: Gap | None) -> list[Tile]:
    """The result in numbers; what was not measured has no tile."""
    score = _score(facts)
    found = [] if score is None else [score]
    found += [*_test(facts), *_teachers(facts), *_encoder(facts), *_gap(gap), *_size(facts)]
    student = facts.student
    if student.get("agreement") is not None and _first(student):
        of = "of images and labels" if has_several_labels(student) else "of images: the teacher's first class"
        found.append(Tile("Agreement", percent(student["agreement"]), of))
    for name, what in _first(student.get("ema") or {}):
        found.append(
            Tile("Averaged student", percent(student["ema"][name]), f"{what} of the EMA of the weights")
        )
    seconds = facts.summary.get("wall_seconds")
    if seconds and len(found) < _MOST:
        rate = facts.summary.get("images_per_second")
        found.append(Tile("Time", duration(seconds), f"{rate:,.0f} images/s in training" if rate else ""))
    return found


def _score(facts: Facts) -> Tile | None:
    student = facts.student
    name = main_measure(student)
    if name is None:
        return None
    sub = str(student.get("model"))
    best, epoch = student.get(f"best_{name}"), student.get("best_epoch")
    if best is not None and best > student[name]:
        sub += f"; best {percent(best)} after epoch {epoch}"
    return Tile(
        _SCORES[name],
        percent(student[name]),
        sub,
        "student",
    )


def _test(facts: Facts) -> list[Tile]:
    """The finished student on the images that chose nothing."""
    test = facts.summary.get("test") or {}
    scores = test.get("student") or {}
    sub = f"{test.get('size') or 0:,} images of '{test.get('split')}', once, at the end"
    return [
        Tile(f"Test, {what}", percent(scores[name]), sub, "student")
        for name, what in _first(scores, MAIN_MEASURES)
    ]


def _teachers(facts: Facts) -> list[Tile]:
    return [
        Tile(f"{label.capitalize()}, {what}", percent(about[name]), str(about["model"]), "teacher")
        for label, about in facts.teachers.items()
        for name, what in _first(about)
    ]


def _first(scores: Mapping[str, Any], names: Sequence[str] = OF_LABELS) -> list[tuple[str, str]]:
    """The first of the measures that there is, and what people call it."""
    return [(name, measure_label(name)) for name in names if scores.get(name) is not None][:1]


def _encoder(facts: Facts) -> list[Tile]:
    """The other measures of a student without a classifier."""
    student, shown = facts.student, []
    if student.get("probe_top1") is not None:
        theirs = facts.teacher.get("probe_top1")
        sub = "top-1" if theirs is None else f"top-1; the teacher {percent(theirs)}"
        shown.append(Tile("Linear probe", percent(student["probe_top1"]), sub))
    if student.get("neighbour_agreement") is not None and student.get("knn_top1") is not None:
        sub = "of the nearest images: the teacher's too"
        shown.append(Tile("Neighbours", percent(student["neighbour_agreement"]), sub))
    return shown


def _gap(gap: Gap | None) -> list[Tile]:
    if gap is None:
        return []
    if gap.vanilla:
        runs = gap.vanilla[0].name if len(gap.vanilla) == 1 else f"{len(gap.vanilla)} runs"
        if gap.percent is None:
            return [
                Tile("Gap closed", "none", f"the student alone has {percent(gap.baseline)} ({runs}): no gap")
            ]
        sub = f"from {percent(gap.baseline)} alone ({runs}) to the teacher's {measure_label(gap.measure)}"
        return [Tile("Gap closed", percent(gap.percent, 0), sub)]
    if gap.percent is None:
        return []
    return [
        Tile(
            "Skill kept",
            percent(gap.percent),
            f"of the teacher's lead over guessing ({percent(gap.baseline)})",
        )
    ]


def _size(facts: Facts) -> list[Tile]:
    mine, theirs = facts.student.get("parameters"), facts.teacher.get("parameters")
    if not mine:
        return []
    if not theirs:
        return [Tile("Parameters", short_count(mine), f"{mine:,}")]
    times = theirs / mine
    label = "Smaller" if times >= 1 else "Larger"
    shown = times if times >= 1 else 1 / times
    return [
        Tile(
            label,
            f"{shown:.1f} ×",  # noqa: RUF001  # times
            f"{short_count(mine)} of {short_count(theirs)} parameters",
        )
    ]
