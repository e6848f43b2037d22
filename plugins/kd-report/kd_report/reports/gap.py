"""How much of the way from the student alone to the teacher a run has gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import KdError, RunDirectory
from kdcore.inspect import main_measure, same_results, teachers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kdcore.inspect import Source

_OF_THE_METHOD: Final = ("seed", "distiller", "teacher", "task.weight", "teacher_cache")
"""What a run without a teacher may have otherwise and still be the same student on the same data."""
_GUESSED: Final = ("top1", "knn_top1")
"""The measures of which guessing gives 100 / K."""
OF_LABELS: Final = ("top1", "map", "micro_f1", "knn_top1")
"""The measures that student and teacher both have: an agreement is of the two."""


@dataclass(frozen=True)
class Gap:
    """The gap between student and teacher.

    Attributes:
        measure: in which it is: `top1`, with several labels an image `map` or `micro_f1`, for an encoder `knn_top1`.
        percent: of it that was closed; None: there is no gap.
        baseline: where it begins, in percent: the student alone, or guessing.
        vanilla: run directories of the student alone; empty: none is known, and `baseline` is guessing.
    """

    measure: str
    percent: float | None
    baseline: float
    vanilla: tuple[Path, ...]


def gap(
    summary: dict[str, Any],
    num_classes: int | None,
    vanilla: list[RunDirectory],
    chance_map: float | None = None,
) -> Gap | None:
    """(student - baseline) / (teacher - baseline) in the measure of the run's task; None where one was not measured.

    With several teachers it is the best one.

    The baseline is the mean of the runs of the same student without a teacher. If there is no such run, it is that of
    guessing: the top-1 is 100 / K, and the mAP `chance_map`. The result is then how much of the teacher's lead over
    guessing the student has. Without a value of guessing there is no gap without such a run.

    Args:
        summary: of the run.
        num_classes: K; None: not known.
        vanilla: the runs of the student alone.
        chance_map: as `map_of_guessing`; None: not known.
    """
    student = summary.get("student") or {}
    name = main_measure(student)
    if name not in OF_LABELS:
        return None
    measured = [one[name] for one in teachers_of(summary).values() if one.get(name) is not None]
    if not measured:
        return None
    teacher = max(measured)
    alone = [value for run in vanilla if (value := _value(run, name)) is not None]
    if alone:
        baseline = sum(alone) / len(alone)
    elif num_classes and name in _GUESSED:
        baseline = 100 / num_classes
    elif name == "map" and chance_map is not None:
        baseline = chance_map
    else:
        return None
    percent = 100 * (student[name] - baseline) / (teacher - baseline) if teacher > baseline else None
    return Gap(name, percent, baseline, tuple(run.path for run in vanilla) if alone else ())


def map_of_guessing(images: Source) -> float | None:
    """The mAP of equal scores for all images, in percent; None unless images have several labels.

    The average precision of such scores is the share of the images that have the label, among those for which it is
    known. Labels that no image has do not count.
    """
    if images.label_sets is None or images.labels is None:
        return None
    counts = images.label_sets.counts(images.labels).double()
    seen = counts > 0
    if not bool(seen.any()):
        return None
    return 100 * float((counts[seen] / images.label_sets.known(images.labels)[seen]).mean())


def find_vanilla(run: RunDirectory, spec: dict[str, Any]) -> list[RunDirectory]:
    """Finished runs next to this one, of the same student on the same data without a teacher.

    The one with the same seed if there is one, otherwise all; none for a student of a user's own training loop.
    """
    if run.own_loop:
        return []
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
            if other.own_loop:  # how it was trained is not known
                continue
            said = other.spec()
            distiller = said.get("distiller")
            if isinstance(distiller, dict) and distiller.get("name") == "vanilla" and other.finished:
                yield other, said
        except KdError:  # damaged: not this run's concern
            continue


def _value(run: RunDirectory, name: str) -> float | None:
    found = ((run.summary() or {}).get("student") or {}).get(name)
    return float(found) if found is not None else None
