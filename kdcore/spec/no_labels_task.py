"""What a spec with `task.kind: "none"`, whose labels are not read, cannot have. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem
from kdcore.spec.datasets import TABLES
from kdcore.spec.hub_options import is_hub
from kdcore.spec.train_spec import TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.models import RunSpec

_OF_TASK_LOSS: Final = (
    "label_smoothing",
    "loss",
    "class_weights",
    "pos_weight",
    "bce_threshold",
    "focal_gamma",
)
_COLUMNS: Final = ("label", "labels", "label_delimiter", "empty", "classes")
_NONE: Final = "with task.kind 'none' labels are not read"


def no_labels_problems(spec: RunSpec) -> Iterator[Problem]:
    """Fields that need labels, and what needs a score if there is no teacher to agree with."""
    plain = TaskSpec()
    for name in _OF_TASK_LOSS:
        value = getattr(spec.task, name)
        if value != getattr(plain, name):
            message = f"{_NONE}, so there is no task loss"
            yield Problem(f"task.{name}", message, value, _allowed(getattr(plain, name)), hint="leave it out")
    if spec.task.top_k:
        message = f"{_NONE}, so there is no top-k accuracy"
        yield Problem("task.top_k", message, list(spec.task.top_k), "[]", hint="leave it out")
    yield from _of_data(spec)
    for member in spec.members:
        if member.spec.learns:
            message = f"a teacher that learns needs the task loss; {_NONE}"
            yield Problem(f"{member.where}.learns", message, True, "false")
    if not spec.members:
        yield from _without_teacher(spec)


def _of_data(spec: RunSpec) -> Iterator[Problem]:
    data = spec.data
    if data.sampling == "balanced":
        message = f"balanced sampling draws the classes equally often; {_NONE}"
        yield Problem("data.sampling", message, "balanced", "shuffled, weights")
    if data.labelled_fraction is not None:
        message = f"no image counts as labelled: {_NONE}"
        yield Problem("data.labelled_fraction", message, data.labelled_fraction, "null")
    for name in _COLUMNS:
        has_columns = data.dataset.lower().endswith(TABLES) or is_hub(data.dataset)
        if data.options.get(name) is not None and has_columns:
            yield Problem(f"data.options.{name}", _NONE, data.options[name], hint="leave it out")


def _without_teacher(spec: RunSpec) -> Iterator[Problem]:
    train, why = spec.train, f"it needs a score; {_NONE}, and without a teacher nothing is measured"
    if train.patience is not None:
        yield Problem("train.patience", why, train.patience, "null")
    if train.keep == "best":
        yield Problem("train.keep", why, train.keep, "last")


def _allowed(value: Any) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
