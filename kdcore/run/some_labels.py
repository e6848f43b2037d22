"""What a run cannot do if only some of its training images have a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.distill.distillation import Distillation
    from kdcore.spec.models import DataSpec


def check_mixing(distillation: Distillation, data: DataSpec) -> None:
    """Raises UserError if mixed images are compared with labels: most are mixed of a labelled image and another one."""
    if distillation.task_weight == 0 and not distillation.requires.reads_labels:
        return
    if problems := list(_mixed(data, distillation.partly_labelled)):
        raise UserError(problems)


def _mixed(data: DataSpec, partly: bool) -> Iterator[Problem]:
    for name in ("mixup", "cutmix"):
        value = getattr(data, name)
        if value > 0:
            which = (
                "labels of some training images are known"
                if partly
                else "of the training images have a label"
            )
            message = f"only some {which}, and an image mixed with another one has none"
            hint = "set it to 0; or let nothing read the labels: task.weight 0, and distillers that do not need labels"
            yield Problem(f"data.{name}", message, value, "0", hint=hint)
