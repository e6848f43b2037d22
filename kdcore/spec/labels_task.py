"""What does not go with `task.kind`: distillers of another task, and several labels an image. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.entries import DistillerEntry
from kdcore.errors import Problem, listed
from kdcore.spec.members import MEAN
from kdcore.spec.no_labels_task import no_labels_problems
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kdcore.plugins import Plugins
    from kdcore.spec.loaded import ResolvedDistiller
    from kdcore.spec.models import RunSpec

LABELS: Final = "labels"
_MOST: Final = 200  # distillers in a message: all of them
_SEVERAL: Final = 'with task.kind "labels" an image has several labels'


def task_problems(
    spec: RunSpec, distillers: Sequence[ResolvedDistiller], places: Sequence[str], plugins: Plugins
) -> Iterator[Problem]:
    """What does not go together with `task.kind`.

    Args:
        spec: the spec.
        distillers: those that are right.
        places: where each of them stands in the spec.
        plugins: for the distillers that would work.
    """
    kind = spec.task.kind
    for resolved, where in zip(distillers, places, strict=True):
        if not resolved.provided.entry.works_with(kind):
            works = (
                item.entry.name
                for item in plugins.all(DistillerEntry)
                if item.entry.works_with(kind) and item.entry.kind != "baseline"
            )
            allowed = f"with task.kind '{kind}' work: {listed(works, _MOST)}"
            yield Problem(where, _why_not(resolved.provided.entry, kind), resolved.name, allowed)
    if kind == NO_LABELS:
        yield from no_labels_problems(spec)
    elif kind == LABELS:
        yield from _several_labels(spec, distillers, places)
    elif spec.task.pos_weight is not None:
        message = "this is for several labels an image, and task.kind is 'classes'"
        yield Problem("task.pos_weight", message, allowed="null", hint="use task.class_weights")


def _why_not(entry: DistillerEntry, kind: str) -> str:
    if kind == LABELS:
        return f"distiller '{entry.name}' is for images of one class each"
    if kind == NO_LABELS and "learning-teacher" in (entry.needs or ()):
        return f"the teacher of distiller '{entry.name}' learns from labels, and with task.kind 'none' there are none"
    if kind == NO_LABELS and entry.works_with("classes"):
        return f"distiller '{entry.name}' reads labels, and with task.kind 'none' there are none"
    return f"distiller '{entry.name}' is for the task {' and '.join(map(repr, entry.tasks or ()))}"


def _several_labels(
    spec: RunSpec, distillers: Sequence[ResolvedDistiller], places: Sequence[str]
) -> Iterator[Problem]:
    for resolved, where in zip(distillers, places, strict=True):
        if resolved.teacher == MEAN:
            message = f"the mean of teachers is that of probabilities of classes; {_SEVERAL}"
            yield Problem(f"{where}.teacher", message, MEAN, "a teacher's name")
    yield from _loss(spec)
    if not spec.student.classifier:
        message = f"a student without a classifier is measured by the classes of its neighbours; {_SEVERAL}"
        yield Problem("student.classifier", message, False, "true")
    if spec.task.top_k:
        message = f"top-k accuracy is for images of one class; {_SEVERAL}"
        yield Problem("task.top_k", message, list(spec.task.top_k), "[]")
    if spec.data.sampling == "balanced":
        message = f"balanced sampling draws the classes equally often; {_SEVERAL}"
        hint = 'give weights in a table, or "task": {"pos_weight": "balanced"}'
        yield Problem("data.sampling", message, "balanced", "shuffled, weights", hint=hint)


def _loss(spec: RunSpec) -> Iterator[Problem]:
    if spec.task.loss == "cross-entropy":
        message = f"cross-entropy is for one class an image; {_SEVERAL}"
        yield Problem("task.loss", message, spec.task.loss, "bce, focal")
    if spec.task.class_weights == "balanced":
        message = f"balanced class weights are for one class an image; {_SEVERAL}"
        hint = 'for rare labels, "task": {"pos_weight": "balanced"}'
        yield Problem("task.class_weights", message, "balanced", "a number for each label", hint=hint)
