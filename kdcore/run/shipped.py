"""What a run evaluates and saves if a distiller's head belongs to the student."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from timm.utils import ModelEmaV3

from kdcore.errors import Problem, UserError
from kdcore.features.probing import probe
from kdcore.plugins.owner import owned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdcore.distill.distillation import Distillation
    from kdcore.distill.models import RunModels
    from kdcore.spec.models import RunSpec


def check_shipped(distillation: Distillation, models: RunModels, spec: RunSpec) -> None:
    """Check without memory that the student with a distiller's head gives logits.

    Raises:
        UserError: it does not, or its weights would be sharded.
    """
    number = distillation.changes_student
    if number is None:
        return
    name = distillation.names[number]
    if spec.train.fsdp is not None:
        message = f"distiller '{name}' has a head that belongs to the student, and it is outside of the sharded model"
        raise UserError(Problem("train.fsdp", message, spec.train.fsdp, "null"))

    if any(teacher.of_student for teacher in models.teachers.values()):
        message = (
            f"distiller '{name}' has a head that belongs to the student, whose average cannot be the teacher"
        )
        raise UserError(Problem("teacher.of", message, hint="use another teacher"))

    def look(twin: nn.Module, images: Tensor) -> object:
        logits = twin(images)
        shape = getattr(logits, "shape", None)
        return tuple(shape) if shape is not None else type(logits).__name__

    found = probe(distillation.shipped, models.input.image_size, models.student.channels, look)
    if not (isinstance(found, tuple) and found[1:] == (distillation.num_classes,)):
        who = owned("distiller", distillation.distillers[number])
        message = f"{who}: the module that its method 'student' returned gives {found}, not logits [B, K]"
        raise UserError(Problem("distiller", message, allowed=f"[B, {distillation.num_classes}]"))


def averaged_with_head(
    distillation: Distillation, ema: ModelEmaV3 | None, spec: RunSpec
) -> ModelEmaV3 | None:
    """The average of the student together with the head, if a distiller has one; otherwise `ema` as it is."""
    if ema is None or distillation.changes_student is None:
        return ema
    return ModelEmaV3(distillation.shipped_copy(ema.module), decay=cast("float", spec.train.ema))


def parts_of(distillation: Distillation) -> dict[str, Any] | None:
    """Which tensors of a checkpoint the student with a head has, and those that the checkpoint does not have.

    Returns:
        `names`, its tensors by the name in the distillation's state; and `rest`, such as the frozen layers of the
        teacher. None if no head belongs to the student.
    """
    if distillation.changes_student is None:
        return None
    known = {id(value): name for name, value in distillation.state_dict(keep_vars=True).items()}
    state = distillation.shipped.state_dict(keep_vars=True)
    return {
        "names": {name: known[id(value)] for name, value in state.items() if id(value) in known},
        "rest": {name: value for name, value in state.items() if id(value) not in known},
    }
