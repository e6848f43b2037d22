"""The outputs and the batch of all processes, for distillers that relate samples to each other."""

from __future__ import annotations

from kdcore.ops import gather
from kdcore.protocols import Batch, FeatureMap, ModelOutput


def gather_output(output: ModelOutput) -> ModelOutput:
    """A model's output for the whole batch."""
    return ModelOutput(
        None if output.logits is None else gather(output.logits),
        {
            stage: FeatureMap(gather(one.map), None if one.prefix is None else gather(one.prefix))
            for stage, one in output.features.items()
        },
        None if output.embedding is None else gather(output.embedding),
        tuple(gather_output(view) for view in output.views),
    )


def gather_batch(batch: Batch) -> Batch:
    """The whole batch; images are not gathered, since no loss over samples reads them."""
    return Batch(
        batch.images,
        None if batch.target is None else gather(batch.target),
        None if batch.index is None else gather(batch.index),
    )
