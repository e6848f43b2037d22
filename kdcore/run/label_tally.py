"""What an evaluation keeps of the batches with several labels an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object

from kdcore.data.special_targets import has_label, was_read
from kdcore.inspect.bootstrap import RESAMPLES
from kdcore.inspect.class_counts import ClassCounts
from kdcore.inspect.several_labels import count_labels, label_averages, label_scores
from kdcore.run.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator
    from torch import Tensor

    from kdcore.run.evaluation import Wanted


class LabelTally:
    """Predicted labels and targets on the device, and logits on the CPU where a measure reads them."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._classes = 0
        self._predicted: list[Tensor] = []  # [B, K], boolean
        self._targets: list[Tensor] = []  # [B, K], int8
        self._finite: list[Tensor] = []
        self._logits: list[Tensor] = []

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Keep what is needed of one batch."""
        self._classes = logits.shape[1]
        self._predicted.append(logits > 0)
        if target.dim() == 1:  # no image has known labels
            target = target.unsqueeze(1).expand(-1, self._classes)
        self._targets.append(target.to(torch.int8))
        self._finite.append(logits.isfinite().all(dim=1))
        if self._wanted.map or self._wanted.details or self._wanted.metrics:
            self._logits.append(logits.float().cpu())

    def evaluation(self, accelerator: Accelerator, teachers: Mapping[str, Tensor]) -> Evaluation:
        """The result over all processes; all of them call it."""
        device = accelerator.device
        classes = int(accelerator.reduce(torch.tensor(self._classes, device=device), reduction="max"))
        nothing = torch.zeros(0, classes, device=device)
        predicted = torch.cat([nothing.bool(), *self._predicted])
        target = torch.cat([nothing.to(torch.int8), *self._targets])
        finite = torch.cat([nothing.bool().all(dim=1), *self._finite])
        whole, known = was_read(target), has_label(target)
        same = [((predicted == one.to(device)) & whole.unsqueeze(1)).sum() for one in teachers.values()]
        exact = ((predicted == (target > 0)) | (target < 0)).all(dim=1) & known
        counts = count_labels(predicted[known], target[known])
        parts = torch.stack([known.sum(), whole.sum(), (~finite & whole).sum(), exact.sum(), *same])
        sums = accelerator.reduce(
            torch.cat([parts, counts.right, counts.images, counts.predicted]), reduction="sum"
        ).cpu()
        labelled, images, not_finite, right, *agreeing = sums[: 4 + len(same)].tolist()
        agreements = {
            name: 100 * count / (images * classes)
            for name, count in zip(teachers, agreeing, strict=True)
            if images
        }
        scores: dict[str, float | None] = {}
        if labelled:
            averages = label_averages(ClassCounts(*sums[4 + len(same) :].view(3, classes)))
            scores = {name: float(value) for name, value in averages.items()}
            scores["exact_match"] = 100 * right / labelled
        found = Evaluation(
            top1=None,
            top5=None,
            agreement=sum(agreements.values()) / len(agreements) if agreements else None,
            agreements=agreements if len(agreements) > 1 else {},
            predictions=predicted.cpu(),
            not_finite=not_finite,
            scores=scores,
            labels=True,
        )
        return self._with_more(found, target.cpu(), accelerator) if labelled else found

    def _with_more(self, found: Evaluation, target: Tensor, accelerator: Accelerator) -> Evaluation:
        """With what needs the logits of all images: each process computes it, so that their records are equal."""
        wanted = self._wanted
        parts = [(torch.cat(self._logits), target)] if self._logits else []
        if accelerator.num_processes > 1:
            parts = gather_object(parts)
        if not parts:
            return found
        logits, target = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        if wanted.metrics:
            found = replace(found, metrics=wanted.metrics(logits, target))
        if not (wanted.map or wanted.details):
            return found
        measured = label_scores(
            logits,
            target,
            thresholds=wanted.thresholds,
            tuned=wanted.details,
            resamples=RESAMPLES if wanted.details else 0,
            map_interval=False,
        )
        precision = {"map": measured.overall["map"]} if wanted.map else {}
        found = replace(found, scores={**precision, **found.scores})
        return replace(found, details=measured) if wanted.details else found
