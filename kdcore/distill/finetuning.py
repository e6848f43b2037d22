"""The spec of a teacher that is trained on the data first, from the weights that know other classes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdcore.models.other_classes import OTHER_CLASSES

if TYPE_CHECKING:
    from kdcore.models.other_classes import OtherClasses
    from kdcore.spec.models import ModelSource, RunSpec

_OF_THE_TEACHER = ("model", "pretrained", "checkpoint", "small_input", "options", "adapter")
_SECTIONS = ("data", "train", "optimizer", "scheduler")


def finetuning_spec(spec: RunSpec, teacher: ModelSource, name: str) -> dict[str, Any]:
    """A spec that trains a teacher on a run's data, starting from the teacher's weights.

    It has the run's data and settings of the training, and no teacher.

    Args:
        spec: the run's.
        teacher: the teacher's section, with a model.
        name: of the new run.
    """
    student = {
        key: value
        for key, value in teacher.model_dump(mode="json", exclude_defaults=True).items()
        if key in _OF_THE_TEACHER
    }
    sections = {key: getattr(spec, key).model_dump(mode="json", exclude_defaults=True) for key in _SECTIONS}
    written = {key: values for key, values in sections.items() if values}
    return {"name": name, "student": student, "distiller": "vanilla", **written}


def with_finetuning_spec(
    error: OtherClasses, spec: RunSpec, teacher: ModelSource, named: str
) -> OtherClasses:
    """The error, with a spec to copy that trains the teacher of this name on the data first."""
    (problem,) = error.problems
    if teacher.model is None or problem.hint != OTHER_CLASSES:
        return error
    name = f"{spec.name}-{named}"
    text = json.dumps(finetuning_spec(spec, teacher, name), ensure_ascii=False)
    steps = f'To train it first, write this to {name}.json, and set the teacher to {{"run": "{name}.json"}}:'
    hint = f"{problem.hint}\n    {steps}\n    {text}"
    return type(error)(replace(problem, hint=hint), error.known)
