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
    from collections.abc import Callable, Mapping

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
        agreement: percent of images with the same top class for model and teacher; with several teachers the mean over
            them; None without a teacher.
        agreements: the same for each of several teachers, by name.
        predictions: the model's top class for each image of this process, in the data's order.
        not_finite: images for which a logit is NaN or infinite.
        metrics: the values of plugins' metrics by name; None for one that failed.
    """

    top1: float | None
    top5: float | None
    agreement: float | None
    predictions: Tensor
    not_finite: int = 0
    agreements: dict[str, float] = field(default_factory=dict)
    metrics: Values = field(default_factory=dict)

    @property
    def ranking(self) -> dict[str, float | None]:
        """The scores that choose the best epoch: the first that was measured decides."""
        return {"top1": self.top1, "agreement": self.agreement}

    def as_dict(self) -> dict[str, Any]:
        """The percentages that were measured, and the metrics of plugins, by name."""
        values = {
            "top1": self.top1,
            "top5": self.top5,
            "agreement": self.agreement,
            "agreements": self.agreements or None,
        }
        return {**{name: value for name, value in values.items() if value is not None}, **self.metrics}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: EvalData,
    accelerator: Accelerator,
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
    teacher_predictions: Mapping[str, Tensor] | None = None,
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
        teacher_predictions: each teacher's top class for each image of this process, to measure the agreement.
        memory_format: memory layout of the images.
        precision: a context that is entered for each batch, inside the accelerator's own; it must be reusable.
        advance: called after each batch.
        shards: the sharded models, if the weights are distributed over the processes.
        metrics: those of plugins; if there are any, the logits of all images are kept on the CPU.
    """
    training = model.training
    model.eval()
    device = accelerator.device
    guided = {name: one.to(device) for name, one in (teacher_predictions or {}).items()}
    # counts: top class right, right class in the top 5, labelled, readable, logits not finite, same as each teacher
    counts = torch.zeros(5 + len(guided), dtype=torch.int64, device=device)
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
        whole = was_read(target)
        same = [((first == one[seen : seen + len(first)]) & whole).sum() for one in guided.values()]
        wrong = ~logits.isfinite().all(dim=1) & whole
        counts += torch.stack(
            [hits[:, 0].sum(), hits.sum(), has_label(target).sum(), whole.sum(), wrong.sum(), *same]
        )
        predictions.append(first)
        if metrics:
            kept.append((logits.float().cpu(), target.cpu()))
        seen += len(first)
        advance()
    model.train(training)
    total = accelerator.reduce(counts, reduction="sum").tolist()
    found = _evaluation(total, predictions, list(guided))
    return replace(found, metrics=_measured(metrics, kept, accelerator)) if metrics else found


def _measured(metrics: Metrics, kept: list[tuple[Tensor, Tensor]], accelerator: Accelerator) -> Values:
    """The metrics over the images of all processes; each process computes them, so that their records are equal."""
    if accelerator.num_processes > 1:
        kept = gather_object(kept)
    if not kept:
        return {}
    logits, target = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return metrics(logits, target)


def _evaluation(counts: list[int], predictions: list[Tensor], teachers: list[str]) -> Evaluation:
    """The percentages, from the counts of all processes and this process's predictions of each batch."""
    top1, top5, labelled, images_seen, not_finite, *agreeing = counts
    agreements: dict[str, float] = {}
    if images_seen:
        agreements = {name: 100 * same / images_seen for name, same in zip(teachers, agreeing, strict=True)}
    return Evaluation(
        top1=100 * top1 / labelled if labelled else None,
        top5=100 * top5 / labelled if labelled else None,
        agreement=sum(agreements.values()) / len(agreements) if agreements else None,
        agreements=agreements if len(agreements) > 1 else {},
        predictions=torch.cat(predictions).cpu() if predictions else torch.empty(0, dtype=torch.int64),
        not_finite=not_finite,
    )
