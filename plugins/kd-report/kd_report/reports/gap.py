"""How much of the way from the student alone to the teacher a run has gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import KdError, RunDirectory
from kdcore.inspect import same_results, teachers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OF_THE_METHOD: Final = ("seed", "distiller", "teacher", "task", "teacher_cache")
"""What a run without a teacher may have otherwise and still be the same student on the same data."""


@dataclass(frozen=True)
class Gap:
    """The gap between student and teacher.

    Attributes:
        percent: of it that was closed; None: there is no gap.
        baseline: where it begins, in percent of top-1: the student alone, or guessing.
        vanilla: run directories of the student alone; empty: none is known, and `baseline` is 100 / K.
    """

    percent: float | None
    baseline: float
    vanilla: tuple[Path, ...]


def gap(summary: dict[str, Any], num_classes: int | None, vanilla: list[RunDirectory]) -> Gap | None:
    """(student - baseline) / (teacher - baseline), in top-1; None where one of the two was not measured.

    With several teachers it is the best one.

    The baseline is the mean of the runs of the same student without a teacher. If there is no such run, it is the
    top-1 of guessing, 100 / K: the result is how much of the teacher's lead over guessing the student has.
    """
    student = (summary.get("student") or {}).get("top1")
    measured = [one["top1"] for one in teachers_of(summary).values() if one.get("top1") is not None]
    if student is None or not measured:
        return None
    teacher = max(measured)
    alone = [top1 for run in vanilla if (top1 := _top1(run)) is not None]
    if alone:
        baseline = sum(alone) / len(alone)
    elif num_classes is not None:
        baseline = 100 / num_classes
    else:
        return None
    percent = 100 * (student - baseline) / (teacher - baseline) if teacher > baseline else None
    return Gap(percent, baseline, tuple(run.path for run in vanilla) if alone else ())


def find_vanilla(run: RunDirectory, spec: dict[str, Any]) -> list[RunDirectory]:
    """Finished runs next to this one, of the same student on the same data without a teacher.

    The one with the same seed if there is one, otherwise all.
    """
    found = [(other, said) for other, said in _beside(run) if same_results(spec, said, but=_OF_THE_METHOD)]
    same_seed = [other for other, said in found if said.get("seed") == spec.get("seed")]
    return same_seed or [other for other, _ in found]


def _beside(run: RunDirectory) -> Iterator[tuple[RunDirectory, dict[str, Any]]]:
    try:
        folders = sorted(path for path in run.path.absolute().parent.iterdir() if path.is_dir())
    except OSError:
        return
    for folder in folders:
        other = RunDirectory(folder)
        if folder == run.path.absolute() or not other.exists:
            continue
        try:
            said = other.spec()
            distiller = said.get("distiller")
            if isinstance(distiller, dict) and distiller.get("name") == "vanilla" and other.finished:
                yield other, said
        except KdError:  # damaged: not this run's concern
            continue


def _top1(run: RunDirectory) -> float | None:
    top1 = ((run.summary() or {}).get("student") or {}).get("top1")
    return float(top1) if top1 is not None else None
