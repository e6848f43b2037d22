"""Passes of a model: one for each view of the images, and what a pass gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from kdcore.protocols import FeatureMap, ModelOutput

Extract = Callable[[Tensor], ModelOutput]
"""A pass of a model: images `[B, C, H, W]` to its output."""


def turned(images: Tensor, turn: Callable[[Tensor], Tensor] | None) -> Tensor:
    """Images `[B, C, H, W]`, or of several views `[B, V, C, H, W]`, as a model takes them; None: as they are."""
    if turn is None:
        return images
    flat = turn(images.flatten(0, -4))
    return flat.reshape(*images.shape[:-3], *flat.shape[-3:])


def pass_of_views(extract: Extract, images: Tensor) -> ModelOutput:
    """The output for `[B, C, H, W]`, or for `[B, V, C, H, W]` that of the first view with those of all V views.

    Losses are computed from float32 logits, in whatever precision the model ran.
    """
    if images.dim() == 4:
        return _float_logits(extract(images))
    views = tuple(_float_logits(extract(images[:, view])) for view in range(images.shape[1]))
    return replace(views[0], views=views)


def with_partner(output: ModelOutput, extract: Extract, partner: Tensor | None) -> ModelOutput:
    """The student's output, with that for its partners' images `[B, C, H, W]`, which has no gradient."""
    if partner is None:
        return output
    with torch.no_grad():
        return replace(output, partner=_float_logits(extract(partner)))


def whole_logits(output: ModelOutput) -> Tensor:
    """The logits of a pass through the whole model, which always has them."""
    assert output.logits is not None
    return output.logits


def without_logits(output: ModelOutput) -> ModelOutput:
    """The output of an encoder, without what its adapter gives as logits."""
    return replace(output, logits=None, views=tuple(without_logits(view) for view in output.views))


def detached(output: ModelOutput) -> ModelOutput:
    """The output without gradients."""

    def cut(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.detach()

    return replace(
        output,
        logits=cut(output.logits),
        features={
            stage: FeatureMap(one.map.detach(), cut(one.prefix)) for stage, one in output.features.items()
        },
        embedding=cut(output.embedding),
        views=tuple(detached(view) for view in output.views),
    )


def tensors_of(output: ModelOutput) -> Iterator[Tensor]:
    """All tensors of an output, without those of its views."""
    if output.logits is not None:
        yield output.logits
    for feature in output.features.values():
        yield from (feature.map,) if feature.prefix is None else (feature.map, feature.prefix)
    if output.embedding is not None:
        yield output.embedding
    if output.distillation_logits is not None:
        yield output.distillation_logits


def _float_logits(output: ModelOutput) -> ModelOutput:
    half = (torch.float16, torch.bfloat16)
    if output.logits is None or output.logits.dtype not in half:
        return output
    second = output.distillation_logits
    return replace(
        output, logits=output.logits.float(), distillation_logits=None if second is None else second.float()
    )
