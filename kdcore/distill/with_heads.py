"""The student of a run together with the head of the distiller that belongs to it, as a model with a name.

A run whose distiller has a method `student` saves this model: its folder names it, and the options say from what it is
built. So everything that opens, evaluates, exports or teaches with a student works for it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.distill.adapted_model import AdaptedModel
from kdcore.distill.distillation import Distillation
from kdcore.errors import Problem, UserError
from kdcore.features import find_adapter
from kdcore.models import build_model
from kdcore.models.transformed import named_model
from kdcore.plugins import get_plugins
from kdcore.spec.models import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from kdcore.distill.models import PlacedModel, RunModels
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec

NAME: Final = "student-with-heads"


@dataclass(frozen=True)
class ShippedModel:
    """What a run's student is called in its folder.

    Attributes:
        name: of the model, as a spec would name it.
        options: of the model.
        small_input: whether it is the small-input variant.
        distiller: the distiller whose head it has, `plugin/name`; None: it is the student as it was built.
    """

    name: str
    options: dict[str, Any]
    small_input: bool
    distiller: str | None = None


def shipped_model(loaded: LoadedSpec, distillation: Distillation, models: RunModels) -> ShippedModel:
    """The name and the options of what a run ships."""
    spec = loaded.spec.student
    number = distillation.changes_student
    if number is None:
        named = named_model(models.student.built)
        return ShippedModel(named.name, named.options, named.small_input)
    resolved = loaded.distillers[number]
    qualified = resolved.provided.qualified
    options = {
        "student": _described(models.student, spec.adapter, models.input.image_size),
        "teacher": _of_teacher(resolved.teacher, models, loaded),
        "distiller": {"name": qualified, **resolved.options.model_dump(mode="json")},
    }
    return ShippedModel(NAME, options, small_input=False, distiller=qualified)


def _described(placed: PlacedModel, adapter: str | None, size: tuple[int, int]) -> dict[str, Any]:
    named = named_model(placed.built)
    return {
        "model": named.name,
        "small_input": named.small_input,
        "options": named.options,
        "adapter": adapter,
        "image_size": list(size),
        "channels": placed.channels,
    }


def _of_teacher(chosen: str | None, models: RunModels, loaded: LoadedSpec) -> dict[str, Any] | None:
    """The teacher that the distiller reads: the one that it names, or the only one."""
    members = loaded.spec.members
    for member in members:
        if chosen == member.name or len(members) == 1:
            teacher = models.teachers[member.name]
            described = _described(teacher, member.spec.adapter, teacher.built.input.image_size)
            return {**described, "classifier": teacher.classifier}
    return None


def with_heads(
    num_classes: int,
    in_chans: int,
    *,
    student: Mapping[str, Any] | None = None,
    distiller: Mapping[str, Any] | None = None,
    teacher: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The student with the head of a distiller, with initial weights: those of its folder replace all of them.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        student: `model`, `small_input`, `options`, `adapter`, `image_size` and `channels` of the student without
            the head.
        distiller: `name` and options of the distiller.
        teacher: the same of the teacher that it learned from, and `classifier`; None: it had none.

    Raises:
        UserError: student or distiller is missing, the distiller's plugin is missing, or it has no head for the
            student.
    """
    if student is None or distiller is None:
        missing = "student" if student is None else "distiller"
        message = "this model is built from the options that a run writes, and one is missing"
        hint = "name the folder of a finished student as the checkpoint of this model"
        raise UserError(Problem(f"options.{missing}", message, hint=hint))
    plugins, device = get_plugins(), torch.get_default_device()
    size = _size(student["image_size"])
    learner = _adapted(student, num_classes, in_chans, plugins, device)
    guide = None if teacher is None else _adapted(teacher, num_classes, in_chans, plugins, device)
    with torch.device("cpu"):  # a distiller may compute something while it is built
        distillation = Distillation(
            learner,
            guide,
            [dict(distiller)],
            num_classes=num_classes,
            image_size=size,
            train_size=1,
            task_weight=1.0,
            in_chans=in_chans,
        )
    if distillation.changes_student is None:
        message = f"distiller '{distiller['name']}' has no head that belongs to the student"
        raise UserError(Problem("options.distiller", message))
    return distillation.shipped


def _adapted(
    given: Mapping[str, Any], num_classes: int, in_chans: int, plugins: Plugins, device: torch.device
) -> AdaptedModel:
    size, classifier = _size(given["image_size"]), bool(given.get("classifier", True))
    channels = given.get("channels", in_chans)
    fields = {name: given[name] for name in ("model", "small_input", "options")}
    built = build_model(
        ModelSpec.model_validate(fields),
        num_classes=num_classes if classifier else 0,
        in_chans=channels,
        image_size=size,
        plugins=plugins,
        where="model",
        device=device,
        load_weights=False,
    )
    adapter = find_adapter(built.model, given.get("adapter"), plugins, "model.adapter")
    return AdaptedModel(
        model=built.model, adapter=adapter, channels=channels, image_size=size, classifier=classifier
    )


def _size(given: Sequence[int]) -> tuple[int, int]:
    height, width = given
    return height, width
