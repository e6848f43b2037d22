"""Accuracy of a model on the evaluation images, and its agreement with the teacher."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdcore.data.special_targets import has_label, was_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator

    from kdcore.data import EvalData
    from kdcore.run.sharding import Shards


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        top1: percent of labelled images whose class has the highest logit; None if no image is labelled.
        top5: percent whose class is among the five highest; None if no image is labelled.
        agreement: percent of images with the same top class for model and teacher; None without a teacher.
        predictions: the model's top class for each image of this process, in the data's order.
        not_finite: images for which a logit is NaN or infinite.
    """

    top1: float | None
    top5: float | None
    agreement: float | None
    predictions: Tensor
    not_finite: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The percentages that were measured, by name."""
        values = {"top1": self.top1, "top5": self.top5, "agreement": self.agreement}
        return {name: value for name, value in values.items() if value is not None}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: EvalData,
    accelerator: Accelerator,
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
    teacher_predictions: Tensor | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
    precision: contextlib.AbstractContextManager[object] | None = None,
    advance: Callable[[], None] = lambda: None,
    shards: Shards | None = None,
) -> Evaluation:
    """Evaluate `model` in eval mode; every image counts once, whatever the number of processes.

    Args:
        model: gives logits `[B, K]`.
        data: the images of this process.
        accelerator: device, precision and the other processes.
        transform: applied to the images first (the teacher's own size and normalisation).
        teacher_predictions: the teacher's top class for each image of this process, to measure the agreement.
        memory_format: memory layout of the images.
        precision: a context that is entered for each batch, inside the accelerator's own; it must be reusable.
        advance: called after each batch.
        shards: the sharded models, if the weights are distributed over the processes.
    """
    training = model.training
    model.eval()
    device = accelerator.device
    # counts: top class right, right class in the top 5, labelled, same as the teacher, readable, logits not finite
    counts = torch.zeros(6, dtype=torch.int64, device=device)
    guided = None if teacher_predictions is None else teacher_predictions.to(device)
    predictions: list[Tensor] = []
    call = model if shards is None else shards.caller(model)
    seen = 0
    for images, target in data if shards is None else shards.in_step(data):
        images = images.to(device, non_blocking=True, memory_format=memory_format)
        with accelerator.autocast(), precision or contextlib.nullcontext():
            logits = call(images if transform is None else transform(images))
        if target is None:  # this process has no image left: it only helps the others
            continue
        target = target.to(device, non_blocking=True)
        best = logits.float().topk(min(5, logits.shape[1]), dim=1).indices
        hits = best == target.unsqueeze(1)
        first = best[:, 0]
        same = counts.new_zeros(())
        whole = was_read(target)
        if guided is not None:
            same = ((first == guided[seen : seen + len(first)]) & whole).sum()
        wrong = ~logits.isfinite().all(dim=1) & whole
        counts += torch.stack(
            [hits[:, 0].sum(), hits.sum(), has_label(target).sum(), same, whole.sum(), wrong.sum()]
        )
        predictions.append(first)
        seen += len(first)
        advance()
    model.train(training)
    total = accelerator.reduce(counts, reduction="sum").tolist()
    return _evaluation(total, predictions, guided=teacher_predictions is not None)


def _evaluation(counts: list[int], predictions: list[Tensor], *, guided: bool) -> Evaluation:
    """The percentages, from the counts of all processes and this process's predictions of each batch."""
    top1, top5, labelled, agreeing, images_seen, not_finite = counts
    return Evaluation(
        top1=100 * top1 / labelled if labelled else None,
        top5=100 * top5 / labelled if labelled else None,
        agreement=100 * agreeing / images_seen if guided and images_seen else None,
        predictions=torch.cat(predictions).cpu() if predictions else torch.empty(0, dtype=torch.int64),
        not_finite=not_finite,
    )
