"""The evaluation of a student without a classifier, and of its teachers: by their embeddings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object

from kdcore.data.special_targets import was_read
from kdcore.inspect.encoder_measures import Embedded, EncoderEvaluation, measure_embeddings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator
    from torch import Tensor, nn

    from kdcore.data import EvalData
    from kdcore.run.sharding import Shards


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """How one model gives the embeddings of images.

    Attributes:
        model: the model; it is called in evaluation mode.
        call: gives the embedding `[B, D]` of images; None: the model itself, an encoder.
        transform: is applied to the images first (the teacher's own size and normalisation).
        memory_format: memory layout of the images.
        precision: a context that is entered for each batch, inside the accelerator's own; it must be reusable.
        shards: the sharded models, if the weights are distributed over the processes.
    """

    model: nn.Module
    call: Callable[[Tensor], Tensor] | None = None
    transform: Callable[[Tensor], Tensor] | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    precision: contextlib.AbstractContextManager[object] | None = None
    shards: Shards | None = None

    @torch.no_grad()
    def __call__(self, data: EvalData, accelerator: Accelerator, advance: Callable[[], None]) -> Embedded:
        """The images of all processes that could be read, in the order of the data."""
        training = self.model.training
        self.model.eval()
        call: Callable[[Tensor], Tensor] = self.call or self.model
        batches = data if self.shards is None else self.shards.in_step(data)
        if self.shards is not None:
            call = self.shards.caller(self.model, call)
        parts: list[tuple[Tensor, Tensor]] = []
        for images, target in batches:
            moved = images.to(accelerator.device, non_blocking=True, memory_format=self.memory_format)
            with accelerator.autocast(), self.precision or contextlib.nullcontext():
                embedding = call(moved if self.transform is None else self.transform(moved))
            if target is None:  # this process has no image left: it only helps the others
                continue
            whole = was_read(target)
            parts.append((embedding.float()[whole.to(embedding.device)], target[whole]))
            advance()
        self.model.train(training)
        if accelerator.num_processes > 1:
            parts = gather_object([(one.cpu(), target) for one, target in parts])
        embeddings = torch.cat([one for one, _ in parts]).to(accelerator.device)
        return Embedded(embeddings, torch.cat([target for _, target in parts]).to(accelerator.device))


@dataclass(frozen=True, kw_only=True)
class EncoderEvaluator:
    """Measures encoders on the images of a run.

    Attributes:
        accelerator: device, precision and the other processes.
        queries: the evaluation images of this process.
        gallery: the labelled training images of this process; None if there are none.
        num_classes: K.
        advance: called after each batch.
    """

    accelerator: Accelerator
    queries: EvalData
    gallery: EvalData | None
    num_classes: int
    advance: Callable[[], None]

    def __call__(
        self, embedder: Embedder, *, teachers: Mapping[str, Tensor] | None = None, probe: bool = False
    ) -> EncoderEvaluation:
        """See `measure_embeddings`; every process gets the same values.

        Raises:
            ValueError: an embedding is NaN or infinite.
        """
        queries = embedder(self.queries, self.accelerator, self.advance)
        gallery = None
        if self.gallery is not None:
            gallery = embedder(self.gallery, self.accelerator, self.advance)
        for images in (queries, gallery):
            if images is not None and not bool(images.embeddings.isfinite().all()):
                raise ValueError("its embedding is NaN or infinite for some of the images")
        return measure_embeddings(queries, gallery, self.num_classes, teachers=teachers, probe=probe)
