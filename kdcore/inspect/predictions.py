"""Predictions of several models for the same images, in the order of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdcore.data.special_targets import was_read
from kdcore.errors import UserError
from kdcore.features.extractor import Extractor
from kdcore.features.logits_only import PlainAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kdcore.protocols import FeatureAdapter, ModelOutput


@dataclass(frozen=True)
class Predictor:
    """A model that makes predictions.

    Attributes:
        model: gives logits `[B, K]`.
        transform: is applied to the images first (the teacher's own size and normalisation).
        adapter: the model's feature adapter, for the embedding; None: there is no embedding.
        precision: of its passes, if it has its own, as a teacher may; None: that of the other models.
    """

    model: nn.Module
    transform: Callable[[Tensor], Tensor] | None = None
    adapter: FeatureAdapter | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model for N images, in the order of the data; on the CPU.

    Attributes:
        logits: `[N, K]`, float32.
        target: class indices `[N]`, `UNLABELLED` for an image without a label; with several labels an image 0 and 1
            `[N, K]`, float32, or `UNLABELLED` in the whole row.
        position: of each image in the data `[N]`; unreadable images are left out.
        embedding: `[N, D]`, float32, or None.
    """

    logits: Tensor
    target: Tensor
    position: Tensor
    embedding: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)


@torch.no_grad()
def predict(
    predictors: Sequence[Predictor],
    data: Iterable[tuple[Tensor, Tensor]],
    *,
    device: torch.device | str = "cpu",
    embeddings: bool = False,
    precision: str = "fp32",
    channels_last: bool = False,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> list[Predictions]:
    """Predictions of each model for the same images, which are read once.

    Args:
        predictors: models on `device`; they run in evaluation mode and get their own mode back.
        data: batches as `EvalData` gives them.
        device: where the models are.
        embeddings: collect embeddings too, of the models whose adapter gives one.
        precision: of the forward passes, as `train.precision`, of the models without their own.
        channels_last: memory order of the images.
        limit: the largest number of images.
        advance: is called after each batch with its number of images.

    Raises:
        RunFailed: an image cannot be read.
        UserError: a model does not give logits.
    """
    device = torch.device(device)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    collectors = [_Collector(predictor, embeddings) for predictor in predictors]
    targets: list[Tensor] = []
    positions: list[Tensor] = []
    seen = kept = 0
    training = [predictor.model.training for predictor in predictors]
    for predictor in predictors:
        predictor.model.eval()
    try:
        for images, target in data:
            room = len(target) if limit is None else min(len(target), limit - kept)
            images, target = images[:room], target[:room]
            whole = was_read(target)
            moved = images.to(device, non_blocking=True, memory_format=memory_format)
            for collector in collectors:
                with autocast(device, collector.precision or precision):
                    collector.take(moved, whole)
            targets.append(target[whole])
            positions.append(seen + whole.nonzero().flatten())
            seen += len(target)
            kept += int(whole.sum())
            advance(len(target))
            if limit is not None and kept >= limit:
                break
    finally:
        for predictor, mode in zip(predictors, training, strict=True):
            predictor.model.train(mode)
    target = _joined(targets, torch.empty(0, dtype=torch.int64))
    position = _joined(positions, torch.empty(0, dtype=torch.int64))
    return [collector.predictions(target, position) for collector in collectors]


class _Collector:
    """Runs one model and keeps its outputs."""

    def __init__(self, predictor: Predictor, embeddings: bool) -> None:
        self.precision = predictor.precision
        self._transform = predictor.transform
        self._extract = Extractor(
            predictor.model,
            predictor.adapter or PlainAdapter(),
            embedding=embeddings and predictor.adapter is not None,
        )
        self._logits: list[Tensor] = []
        self._embeddings: list[Tensor] = []

    def take(self, images: Tensor, whole: Tensor) -> None:
        output = self._output(images if self._transform is None else self._transform(images))
        assert output.logits is not None  # a whole pass has them
        self._logits.append(output.logits.float().cpu()[whole])
        if output.embedding is not None:
            self._embeddings.append(output.embedding.float().cpu()[whole])

    def _output(self, images: Tensor) -> ModelOutput:
        if self._extract.embedding and not self._logits:
            try:
                return self._extract(images)
            except UserError:  # the adapter knows no embedding of this model: the logits alone
                self._extract.close()
                self._extract = Extractor(self._extract.model, PlainAdapter())
        return self._extract(images)

    def predictions(self, target: Tensor, position: Tensor) -> Predictions:
        self._extract.close()
        return Predictions(
            _joined(self._logits, torch.empty(0, 0)),
            target,
            position,
            torch.cat(self._embeddings) if self._embeddings else None,
        )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The number format of the forward passes on a device, as in `train.precision`."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    if dtype is torch.float16 and device.type == "cpu":  # a run on a GPU, opened on a CPU
        dtype = None
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def _joined(parts: Sequence[Tensor], nothing: Tensor) -> Tensor:
    return torch.cat(list(parts)) if parts else nothing
