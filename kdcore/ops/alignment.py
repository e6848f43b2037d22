"""The distillers' gradient without the part that opposes the task's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@torch.no_grad()
def align_gradients(
    task: Sequence[Tensor | None], distillation: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The distillers' gradient of each parameter, without what opposes the task loss.

    Over all parameters together: where the product g'k of the task's gradient g and the distillers' gradient k is
    below 0, k becomes k - (g'k / g'g) g, which is at a right angle to g. Otherwise it stays as it is. The task's
    gradient never changes, and the step goes along the sum of both.

    Args:
        task: the task loss's gradient of each parameter; None: it does not reach the parameter.
        distillation: the loss terms' gradient of the same parameters, in the same order.

    Returns:
        Gradients of the same shapes; None only where both are None.

    Raises:
        ValueError: the numbers or shapes of the gradients differ.

    Source: the gradient alignment of Yang et al., "Dual-Head Knowledge Distillation", 2024, and its authors'
    `helper/optimizer.py`: projection as in Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, of one
    of both gradients.
    """
    pairs = list(zip(task, distillation, strict=True))
    for number, (g, k) in enumerate(pairs):
        if g is not None and k is not None and g.shape != k.shape:
            raise ValueError(
                f"gradient {number} of the task has shape {list(g.shape)}, and that of the distillers {list(k.shape)}"
            )
    products = [(g.float() * k.float()).sum() for g, k in pairs if g is not None and k is not None]
    if not products:
        return [torch.zeros_like(g) if k is None and g is not None else k for g, k in pairs]
    product = torch.stack(products).sum()
    size = torch.stack([g.float().square().sum() for g, _ in pairs if g is not None]).sum()
    # without a comparison in Python, so that the GPU is not waited for; no gradient of the task: nothing opposes it
    factor = torch.where(product < 0, -product / size, 0.0)
    return [_moved(k, g, factor) for g, k in pairs]


def _moved(distillation: Tensor | None, task: Tensor | None, factor: Tensor) -> Tensor | None:
    if task is None:
        return distillation
    along = task * factor.to(task.dtype)
    return along if distillation is None else distillation + along
