"""The teachers of a distillation by name, and what each distiller gets of them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from kdcore.distill.passes import detached
from kdcore.distill.teacher_passes import TeacherPasses
from kdcore.errors import Problem, UserError, listed
from kdcore.ops import mean_logits
from kdcore.protocols import ModelInfo, ModelOutput, Requires
from kdcore.spec.members import MEAN, unknown_teacher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from kdcore.distill.adapted_model import AdaptedModel
    from kdcore.protocols import Setup, Stage, StageInfo

Seen = ModelOutput | dict[str, ModelOutput] | None
"""What a distiller gets: one teacher's output, those of all teachers by name, or None without a teacher."""


class Teachers:
    """The teachers of a distillation.

    Args:
        given: each teacher by name, completed.
        in_chans: channels of the images.

    Attributes:
        passes: the teachers by name.
    """

    def __init__(self, given: Mapping[str, AdaptedModel], in_chans: int) -> None:
        self.passes = {name: TeacherPasses(model, in_chans) for name, model in given.items()}
        self._choices: dict[str, str | None] = {}

    @property
    def infos(self) -> dict[str, ModelInfo]:
        """What distillers may know of each teacher."""
        return {name: teacher.info for name, teacher in self.passes.items()}

    def read(self, needs: Mapping[str, Requires], choices: Mapping[str, str | None]) -> None:
        """Prepare the passes of each teacher for the distillers that read it.

        Args:
            needs: what each distiller requires, by the distiller's name.
            choices: the teacher that each distiller chose.
        """
        self._choices = dict(choices)
        for name, teacher in self.passes.items():
            wanted = [
                requires.of_member(name)
                for distiller, requires in needs.items()
                if requires.teacher and choices.get(distiller) in (None, MEAN, name)
            ]
            teacher.read(reduce(Requires.union, wanted, Requires(teacher=False)))

    def compute(self, images: Tensor, *, whole: bool = False) -> dict[str, ModelOutput]:
        """The outputs of all teachers that a distiller reads, for images as the student sees them."""
        return {
            name: teacher.compute(images, whole) for name, teacher in self.passes.items() if teacher.is_read
        }

    def seen(self, distiller: str, requires: Requires, outputs: Mapping[str, ModelOutput]) -> Seen:
        """What one distiller gets of the outputs of all teachers, without gradients unless it asks for them."""
        if not requires.teacher_learns:
            outputs = {
                name: detached(output) if self.passes[name].learns else output
                for name, output in outputs.items()
            }
        if requires.several_teachers:
            return dict(outputs)
        choice = self._choices.get(distiller)
        if choice == MEAN:
            return mean_output(list(outputs.values()))
        if choice is None:
            choice = next(iter(self.passes), None)
        return None if choice is None else outputs.get(choice)


def setup_for(choice: str | None, setup: Setup, where: str) -> Setup:
    """The setup of a distiller that reads the teacher `choice`.

    Args:
        choice: a teacher's name, 'mean', or None for the only one.
        setup: with all teachers.
        where: the place of problems.

    Raises:
        UserError: there is no such teacher, or a mean that is not possible.
    """
    teachers = setup.teachers
    if choice is None:
        only = next(iter(teachers.values())) if len(teachers) == 1 else None
        return replace(setup, teacher=only)
    if choice == MEAN and len(teachers) > 1:
        encoders = [name for name, info in teachers.items() if not info.has_logits]
        if encoders:
            message = (
                f"the mean is that of probabilities, and these teachers are encoders: {listed(encoders)}"
            )
            raise UserError(Problem(f"{where}.teacher", message, MEAN))
        return replace(setup, teacher=_info_of_mean(teachers))
    if choice not in teachers:
        raise UserError(unknown_teacher(choice, list(teachers), f"{where}.teacher"))
    return replace(setup, teacher=teachers[choice])


def mean_output(outputs: Sequence[ModelOutput]) -> ModelOutput:
    """The logarithm of the mean of several teachers' probabilities `[B, K]`, as logits; for each view."""
    logits = [output.logits for output in outputs if output.logits is not None]
    assert len(logits) == len(outputs)  # encoders were refused
    views = zip(*(output.views for output in outputs), strict=True)
    return ModelOutput(mean_logits(logits), views=tuple(mean_output(view) for view in views))


def _info_of_mean(teachers: Mapping[str, ModelInfo]) -> ModelInfo:
    name = f"mean of {', '.join(teachers)}"

    def refuse() -> UserError:
        message = "the mean of several teachers has probabilities only, no features and no embedding"
        return UserError(Problem(name, message, hint="name one of the teachers"))

    def no_stages(stages: Sequence[Stage]) -> tuple[StageInfo, ...]:
        raise refuse()

    def no_embedding() -> int:
        raise refuse()

    return ModelInfo(
        name,
        num_parameters=sum(info.num_parameters for info in teachers.values()),
        classifier=None,
        probe=no_stages,
        probe_embedding=no_embedding,
    )


def logits_by_name(outputs: Mapping[str, ModelOutput]) -> dict[str, Tensor]:
    """The logits of those teachers that gave them."""
    return {name: output.logits for name, output in outputs.items() if output.logits is not None}
