"""The table of `kd eval`: a row for each measure, and how student and teacher compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.inspect import has_several_labels, measure_label
from kdcore.plugin import byte_size, short_count, size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kd_report.eval.result import EvalResult, ModelScores

_ONLY_IN_JSON: Final = ("weighted_precision", "weighted_recall", "weighted_f1")  # --json has every measure


def title(result: EvalResult) -> str:
    """Which images were used."""
    labels = "" if result.labelled == result.images else f", {result.labelled:,} of them with labels"
    return f"{result.images:,} images of {result.dataset}, split {result.split}{labels}; {result.precision}"


def teacher_rows(result: EvalResult) -> list[tuple[str, ...]]:
    """A row for each of several teachers: name, model, parameters, and its measures."""
    return [
        (
            name,
            each.name,
            f"{each.parameters:,}",
            *(_number(value, "%") for value in (each.top1, each.ece)),
            _number(each.nll, ""),
        )
        for name, each in result.teachers.items()
    ]


def rows(result: EvalResult) -> list[tuple[str, ...]]:
    """A row for each measure: its name, the student's value, and with a teacher its value and how they compare."""
    student, teacher = result.student, result.teacher
    found = [
        _row("model", student, teacher, lambda each: each.name),
        _ratio("parameters", student, teacher, lambda each: each.parameters, lambda n: f"{n:,}"),
        _ratio("multiply-adds (MACs)", student, teacher, lambda each: each.macs, short_count),
        _ratio("weights", student, teacher, lambda each: each.weights_bytes, byte_size),
        _row("input", student, teacher, lambda each: size_text(each.image_size)),
        _gap("top-1", student, teacher, lambda each: each.top1, "%", _with_interval("top1")),
        _gap("top-5", student, teacher, lambda each: each.top5, "%", _with_interval("top5")),
        *_more(student, teacher),
        _gap("ECE", student, teacher, lambda each: each.ece, "%"),
        _gap("NLL", student, teacher, lambda each: each.nll, ""),
    ]
    for name in dict.fromkeys((*student.metrics, *(() if teacher is None else teacher.metrics))):
        found.append(
            _gap(
                name,
                student,
                teacher,
                lambda each, name=name: each.metrics.get(name),
                "",
                lambda found, each: f"{found:.4g}",
            )
        )
    several = has_several_labels(student.scores)
    if student.top5 is None and (teacher is None or teacher.top5 is None):
        found = [row for row in found if row[0] != "top-5"]
    if several:
        found = [row for row in found if row[0] not in ("top-1", "ECE", "NLL")]
    if teacher is not None:
        found.append(("agrees with the teacher", _number(result.agreement, "%"), "", ""))
    if teacher is not None and not several:
        found.append(("KL from the teacher", _number(result.divergence, ""), "", ""))
    for index, speed in enumerate(student.speed):
        size = speed.batch_size
        images = "1 image" if size == 1 else f"{size} images"

        def at(each: ModelScores, index: int = index) -> Any:
            return each.speed[index]

        found += [
            _ratio(
                f"ms per image, {'alone' if size == 1 else f'of {size}'}",
                student,
                teacher,
                lambda each: at(each).milliseconds_per_image,
                lambda ms: f"{ms:.3g}",
                lambda each: "  ({:.3g} to {:.3g})".format(
                    *(ms / at(each).batch_size for ms in at(each).quartiles)
                ),
            ),
            _ratio(f"memory for {images}", student, teacher, lambda each: at(each).memory_bytes, byte_size),
        ]
    return [row if teacher is not None else row[:2] for row in found]


def _more(student: ModelScores, teacher: ModelScores | None) -> list[tuple[str, ...]]:
    """A row for each of the other measures of the classes."""
    names = [name for name in student.scores if name not in _ONLY_IN_JSON]
    return [
        _gap(
            measure_label(name),
            student,
            teacher,
            lambda each, name=name: each.scores.get(name),
            "%",
            _with_interval(name),
        )
        for name in names
    ]


def _with_interval(name: str) -> Callable[[float, ModelScores], str]:
    """Writes a percentage with its confidence interval: `91.20 %  (89.9 to 92.4)`."""

    def shown(value: float, each: ModelScores) -> str:
        ends = each.intervals.get(name)
        return _number(value, "%") + ("" if ends is None else f"  ({ends[0]:.1f} to {ends[1]:.1f})")

    return shown


def _row(label: str, student: ModelScores, teacher: ModelScores | None, value: Any) -> tuple[str, ...]:
    return (label, value(student), "" if teacher is None else value(teacher), "")


def _ratio(
    label: str,
    student: ModelScores,
    teacher: ModelScores | None,
    value: Any,
    shown: Any,
    more: Any = lambda each: "",
) -> tuple[str, ...]:
    values = [None if each is None else value(each) for each in (student, teacher)]
    texts = [
        "" if each is None or found is None else shown(found) + more(each)
        for each, found in zip((student, teacher), values, strict=True)
    ]
    own, other = values
    return (label, *texts, f"{own / other:.3g}" if own is not None and other else "")


def _gap(
    label: str, student: ModelScores, teacher: ModelScores | None, value: Any, unit: str, shown: Any = None
) -> tuple[str, ...]:
    values = [None if each is None else value(each) for each in (student, teacher)]
    own, other = values
    gap = f"{own - other:+.3g}" if own is not None and other is not None else ""
    shown = shown or (lambda found, each: _number(found, unit))
    texts = [
        "" if found is None else shown(found, each)
        for found, each in zip(values, (student, teacher), strict=True)
    ]
    return (label, *texts, gap)


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.2f} {unit}" if unit else f"{value:.3f}"
