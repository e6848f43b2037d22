"""Accuracy of a model on the evaluation images, and its agreement with the teacher."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from kdcore.data.special_targets import has_label, was_read
from kdcore.inspect.bootstrap import RESAMPLES
from kdcore.inspect.class_counts import ClassCounts, count_classes
from kdcore.inspect.scores import class_ranks, class_scores, overall_scores
from kdcore.run.evaluation import Evaluation, Wanted
from kdcore.run.label_tally import LabelTally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator

    from kdcore.data import EvalData
    from kdcore.inspect.metrics import Values
    from kdcore.run.sharding import Shards


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
    wanted: Wanted | None = None,
) -> Evaluation:
    """Evaluate `model` in eval mode; every image counts once, whatever the number of processes.

    Nothing waits for the device between the batches.

    Args:
        model: gives logits `[B, K]`.
        data: the images of this process.
        accelerator: device, precision and the other processes.
        transform: applied to the images first (the teacher's own size and normalisation).
        teacher_predictions: each teacher's `Evaluation.predictions`, to measure the agreement.
        memory_format: memory layout of the images.
        precision: a context that is entered for each batch, inside the accelerator's own; it must be reusable.
        advance: called after each batch.
        shards: the sharded models, if the weights are distributed over the processes.
        wanted: what is measured; None: the least.
    """
    wanted = wanted or Wanted()
    training = model.training
    model.eval()
    device = accelerator.device
    tally = LabelTally(wanted) if wanted.labels else _Tally(wanted)
    call = model if shards is None else shards.caller(model)
    for images, target in data if shards is None else shards.in_step(data):
        images = images.to(device, non_blocking=True, memory_format=memory_format)
        with accelerator.autocast(), precision or contextlib.nullcontext():
            logits = call(images if transform is None else transform(images))
        if target is None:  # this process has no image left: it only helps the others
            continue
        tally.add(logits, target.to(device, non_blocking=True))
        advance()
    model.train(training)
    return tally.evaluation(accelerator, teacher_predictions or {})


class _Tally:
    """What is kept of the batches: a few numbers for each image, on the device."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._top_k = tuple(dict.fromkeys((1, 5, *wanted.top_k)))
        self._classes = 0
        self._rows: list[Tensor] = []  # of each batch [4, B]: predicted class, target, rank of it, finite
        self._logits: list[Tensor] = []

    def add(self, logits: Tensor, target: Tensor) -> None:
        self._classes = logits.shape[1]
        predicted, ranks = class_ranks(logits, target, max(self._top_k))
        self._rows.append(torch.stack([predicted, target, ranks, logits.isfinite().all(dim=1).long()]))
        if self._wanted.map or self._wanted.details_map or self._wanted.metrics:
            self._logits.append(logits.float().cpu())

    def evaluation(self, accelerator: Accelerator, teachers: Mapping[str, Tensor]) -> Evaluation:
        """The result over all processes; all of them call it."""
        device = accelerator.device
        nothing = torch.zeros(4, 0, dtype=torch.int64, device=device)
        rows = torch.cat([nothing, *self._rows], dim=1)
        predicted, target, ranks, finite = rows
        whole, known = was_read(target), has_label(target)
        same = [((predicted == one.to(device)) & whole).sum() for one in teachers.values()]
        hits = [((ranks < min(k, self._classes)) & known).sum() for k in self._top_k]
        wrong = ((finite == 0) & whole).sum()
        classes = accelerator.reduce(torch.tensor(self._classes, device=device), reduction="max")
        counts = count_classes(predicted[known], target[known], int(classes))
        parts = torch.stack([known.sum(), whole.sum(), wrong, *hits, *same])
        sums = accelerator.reduce(
            torch.cat([parts, counts.right, counts.images, counts.predicted]), reduction="sum"
        ).cpu()
        found = self._from_sums(sums, list(teachers), int(classes))
        found = replace(found, predictions=predicted.cpu())
        return self._with_more(found, rows.cpu(), int(classes), accelerator)

    def _from_sums(self, sums: Tensor, teachers: list[str], classes: int) -> Evaluation:
        """The percentages, from the counts of all processes."""
        several = 3 + len(self._top_k) + len(teachers)
        labelled, images, not_finite, *counted = sums[:several].tolist()
        hits, agreeing = counted[: len(self._top_k)], counted[len(self._top_k) :]
        agreements: dict[str, float] = {}
        if images:
            agreements = {name: 100 * same / images for name, same in zip(teachers, agreeing, strict=True)}
        accuracy: dict[int, float] = {}
        scores: Values = {}
        if labelled:
            accuracy = {k: 100 * right / labelled for k, right in zip(self._top_k, hits, strict=True)}
            scores = {f"top{k}": accuracy[k] for k in self._wanted.top_k if k not in (1, 5)}
            scores |= overall_scores(ClassCounts(*sums[several:].view(3, classes)))
        return Evaluation(
            top1=accuracy.get(1),
            top5=accuracy.get(5),
            agreement=sum(agreements.values()) / len(agreements) if agreements else None,
            agreements=agreements if len(agreements) > 1 else {},
            predictions=torch.empty(0, dtype=torch.int64),
            not_finite=not_finite,
            scores=scores,
        )

    def _with_more(
        self, found: Evaluation, rows: Tensor, classes: int, accelerator: Accelerator
    ) -> Evaluation:
        """With what needs each image: each process computes it, so that their records are equal."""
        wanted = self._wanted
        if not (wanted.details or wanted.map or wanted.metrics):
            return found
        logits = torch.cat(self._logits) if self._logits else None
        parts = [(rows, logits)]
        if accelerator.num_processes > 1:
            parts = gather_object(parts)
        predicted, target, ranks, _ = torch.cat([part for part, _ in parts], dim=1)
        kept = [part for _, part in parts if part is not None]
        logits = torch.cat(kept) if kept else None
        if wanted.metrics and logits is not None:
            found = replace(found, metrics=wanted.metrics(logits, target))
        if not (wanted.details or wanted.map):
            return found
        measured = class_scores(
            predicted,
            target,
            ranks,
            classes,
            top_k=[k for k in self._top_k if k < classes],
            logits=logits if wanted.map or wanted.details_map else None,
            resamples=RESAMPLES if wanted.details else 0,
            map_interval=False,
        )
        if wanted.map and measured.overall.get("map") is not None:
            found = replace(found, scores={**found.scores, "map": measured.overall["map"]})
        return replace(found, details=measured) if wanted.details else found
