"""The teacher that `--teacher` names: a run, a student's folder, or a model with timm's weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore import OpenedModel, UserError
from kdcore.inspect import ModelSource, build_model, check_class_names, find_adapter, teacher_view

if TYPE_CHECKING:
    import torch

    from kdcore import InputConfig
    from kdcore.plugin import Plugins


@dataclass(frozen=True, kw_only=True)
class StudentSide:
    """What the teacher must fit: the student's input, and the classes; `classes` is None if the names are not known."""

    input: InputConfig
    channels: int
    num_classes: int
    classes: tuple[str, ...] | None


def named_teacher(
    named: str, student: StudentSide, device: torch.device, plugins: Plugins
) -> tuple[OpenedModel, tuple[str, ...]]:
    """The teacher on a device, and warnings.

    Raises:
        UserError: there is no such teacher, or it has other classes.
    """
    there = Path(named).exists()
    spec = ModelSource(checkpoint=named) if there else ModelSource(model=named, pretrained=True)
    try:
        built = build_model(
            spec,
            num_classes=student.num_classes,
            in_chans=student.channels,
            image_size=None,
            plugins=plugins,
            where="teacher",
            keep_classifier=True,
        )
    except UserError as error:
        raise UserError(
            replace(problem, where="--teacher", value=named, allowed="a run directory, or a model of timm's")
            for problem in error.problems
        ) from error
    check_class_names(built.class_names, student.classes, "--teacher", value=named)
    opened = OpenedModel(
        name=built.name,
        model=built.model.to(device).eval(),
        transform=teacher_view(student.input, built, device),
        adapter=find_adapter(built.model, None, plugins, "model.adapter"),
        input=built.input,
    )
    return opened, built.warnings
