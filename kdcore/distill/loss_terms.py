"""A step's loss terms: that of the task, and those of the distillers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch

from kdcore.distill.gather import WholeBatch
from kdcore.distill.missing_progress import AssumedProgress, warn_missing_progress
from kdcore.distill.passes import whole_logits
from kdcore.distill.some_labels import only_labelled, share_of_mean
from kdcore.distill.terms import checked_terms
from kdcore.protocols import Progress
from kdcore.tasks import TaskLoss

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from kdcore.distill.some_labels import Labelled
    from kdcore.distill.teachers import Teachers
    from kdcore.options import Schedule
    from kdcore.protocols import Batch, Distiller, ModelOutput

_START = Progress(epoch=0.0, step=0, total_steps=1, total_epochs=1)


@dataclass(frozen=True)
class TaskTerm:
    """The weighted loss of a model against the ground truth.

    Attributes:
        weight: its factor.
        loss: of one view.
        views: the mean or the sum over several views.
    """

    weight: float
    loss: TaskLoss
    views: Literal["mean", "sum"]

    def __call__(self, output: ModelOutput, target: Tensor | None, labelled: Labelled | None) -> Tensor:
        """A scalar; 0 if nothing is compared."""
        if target is None or self.weight == 0:
            # keeps the classifier, or an encoder's head, in the graph: DDP waits for a gradient of every parameter
            return 0.0 * whole_logits(output).float().mean()
        views = output.views or (output,)
        losses = torch.stack([self._of(whole_logits(view), target, labelled) for view in views])
        loss = self.weight * (losses.sum() if self.views == "sum" else losses.mean())
        divisor = self.loss.divisor(target, None if labelled is None else labelled.mask)
        if divisor is not None:
            return loss * share_of_mean(divisor)
        return loss if labelled is None else labelled.over_processes(loss)

    def _of(self, logits: Tensor, target: Tensor, labelled: Labelled | None) -> Tensor:
        if labelled is None:
            return self.loss(logits, target)
        return self.loss.of_labelled(logits, target, labelled.mask)


def task_term(
    weight: float,
    loss: TaskLoss | None,
    views: Literal["mean", "sum"],
    *,
    task: str,
    label_smoothing: float,
) -> TaskTerm:
    """The loss of a `Distillation`, which is cross-entropy unless one is given; with several labels binary.

    Raises:
        ValueError: the given loss is for another task, or smooths its labels itself.
    """
    labels = task == "labels"
    if loss is not None and label_smoothing > 0:
        raise ValueError("task_loss has a label_smoothing of its own: give it there")
    if loss is not None and loss.labels != labels:
        raise ValueError(f"task is '{task}', and task_loss has labels={loss.labels}")
    kind: Literal["bce", "cross-entropy"] = "bce" if labels else "cross-entropy"
    return TaskTerm(
        weight, loss or TaskLoss(kind=kind, label_smoothing=label_smoothing, labels=labels), views
    )


class DistillerTerms:
    """Calls the distillers of a `Distillation`.

    Args:
        teachers: what each distiller sees of the teachers' outputs.
        schedules: of the distillers whose weight changes, by name.
    """

    def __init__(self, teachers: Teachers, schedules: Mapping[str, Schedule]) -> None:
        self._teachers, self._schedules = teachers, schedules
        self._warned: set[str] = set()  # distillers that read a progress that was not given

    def __call__(
        self,
        distillers: Iterable[tuple[str, nn.Module]],
        student: ModelOutput,
        taught: Mapping[str, ModelOutput],
        batch: Batch,
        progress: Progress | None,
        labelled: Labelled | None,
    ) -> tuple[dict[str, dict[str, Tensor]], list[Tensor]]:
        """The terms of each distiller, and a zero for each that has none, because no sample has a label."""
        whole = WholeBatch()
        terms: dict[str, dict[str, Tensor]] = {}
        idle: list[Tensor] = []
        for name, distiller in distillers:
            requires = cast("Distiller", distiller).requires
            seen = (student, self._teachers.seen(name, requires, taught), batch)
            if requires.whole_batch:
                seen = whole.for_distiller(requires, *seen)
            skips = labelled is not None and requires.skips_unlabelled
            if skips:
                assert seen[2].labelled is not None
                rows = seen[2].labelled.nonzero().flatten()
                if len(rows) == 0:
                    idle += [0.0 * one.sum() for one in distiller.parameters() if one.requires_grad]
                    continue
                seen = only_labelled(rows, *seen)
            # watching attributes would break a compiled pass
            far = progress or (_START if torch.compiler.is_compiling() else AssumedProgress())
            given = dict(checked_terms(name, distiller(*seen, far), distiller))
            if labelled is not None and skips and not requires.whole_batch:
                given = {term: labelled.over_processes(value) for term, value in given.items()}
            schedule = self._schedules.get(name)
            if schedule is not None:
                factor = schedule.factor(far.epoch, far.total_epochs)
                given = {term: value * factor for term, value in given.items()}
            if isinstance(far, AssumedProgress) and far.read and name not in self._warned:
                self._warned.add(name)
                warn_missing_progress(name, stacklevel=7)  # the caller of the Distillation
            terms[name] = given
        return terms, idle
