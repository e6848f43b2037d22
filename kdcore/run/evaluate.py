"""Accuracy of a model on the evaluation images, and its agreement with the teacher."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from kdcore.data.special_targets import has_label, was_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator

    from kdcore.data import EvalData
    from kdcore.inspect.metrics import Metrics, Values
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
        metrics: the values of plugins' metrics by name; None for one that failed.
    """

    top1: float | None
    top5: float | None
    agreement: float | None
    predictions: Tensor
    not_finite: int = 0
    metrics: Values = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The percentages that were measured, and the metrics of plugins, by name."""
        values = {"top1": self.top1, "top5": self.top5, "agreement": self.agreement}
        return {**{name: value for name, value in values.items() if value is not None}, **self.metrics}


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
    metrics: Metrics | None = None,
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
        metrics: those of plugins; if there are any, the logits of all images are kept on the CPU.
    """
    training = model.training
    model.eval()
    device = accelerator.device
    # counts: top class right, right class in the top 5, labelled, same as the teacher, readable, logits not finite
    counts = torch.zeros(6, dtype=torch.int64, device=device)
    guided = None if teacher_predictions is None else teacher_predictions.to(device)
    predictions: list[Tensor] = []
    kept: list[tuple[Tensor, Tensor]] = []  # logits and targets, for metrics
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
        if metrics:
            kept.append((logits.float().cpu(), target.cpu()))
        seen += len(first)
        advance()
    model.train(training)
    total = accelerator.reduce(counts, reduction="sum").tolist()
    found = _evaluation(total, predictions, guided=teacher_predictions is not None)
    return replace(found, metrics=_measured(metrics, kept, accelerator)) if metrics else found


def _measured(metrics: Metrics, kept: list[tuple[Tensor, Tensor]], accelerator: Accelerator) -> Values:
    """The metrics over the images of all processes; each process computes them, so that their records are equal."""
    if accelerator.num_processes > 1:
        kept = gather_object(kept)
    if not kept:
        return {}
    logits, target = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return metrics(logits, target)


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
