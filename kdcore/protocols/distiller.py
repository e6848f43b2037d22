"""What a distiller is, and what it may be in addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from kdcore.protocols.requires import Requires
    from kdcore.protocols.values import Batch, ModelOutput, Progress


@runtime_checkable
class Distiller(Protocol):
    """One algorithm: turns student and teacher outputs into loss terms. In practice an `nn.Module`.

    Its constructor is called as `(options, setup)`. Its parameters are trained with the student's, and its
    buffers are checkpointed. Subclassing is not required.
    """

    requires: Requires

    def forward(
        self, student: ModelOutput, teacher: Any, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return named scalars, already weighted; the step's loss is the task loss plus their sum.

        `teacher` is None in a run without a teacher, which is only possible if `requires.teacher` is False. With
        `requires.several_teachers` it is a dict of all teachers' outputs by name.
        """
        ...


@runtime_checkable
class PreparesFromTeacher(Protocol):
    """A distiller that looks at the teacher's outputs for the whole training set before the first step.

    For class means, statistics of features, or anything else that it then keeps in buffers.
    """

    def prepare(self, outputs: Iterable[tuple[Any, Batch]]) -> None:
        """Called once per run, without gradients, before step 0; a resumed run restores the buffers instead.

        Args:
            outputs: what the distiller requires of the teacher (of all teachers by name, with
                `requires.several_teachers`), and the samples, in the order of their positions; each
                sample comes once, as it is augmented in epoch 0. Every process gets all samples (`Batch.images` are
                those of this process).
        """
        ...


@runtime_checkable
class ChangesStudent(Protocol):
    """A distiller with a head that belongs to the student: without it, the student gives other predictions."""

    def student(self, model: nn.Module) -> nn.Module:
        """What is evaluated, saved and exported instead of `model`: `[B, C, H, W]` to logits `[B, K]`.

        Args:
            model: the student, or a copy of it, such as its average over the steps.

        Returns:
            A module whose submodules are `model`, the head, and whatever else it needs; it must not copy them.
        """
        ...
