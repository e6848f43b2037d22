"""A linear probe: multinomial logistic regression on frozen embeddings, the usual measure of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from kdcore.data.subset import balanced_draw

if TYPE_CHECKING:
    from torch import Tensor

PENALTIES: Final = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""The weights of the L2 penalty that are tried, from strong to weak."""
_HELD_OUT: Final = 5  # one of this number of images helps to choose the penalty
_STEPS: Final = 100  # of L-BFGS for each penalty; each one starts from the weights of the stronger one
_CHUNK: Final = 16 * 2**20  # logits that are held at once


@dataclass(frozen=True)
class Probe:
    """A linear classifier on standardised embeddings.

    Attributes:
        mean: of the embeddings `[D]`.
        deviation: of the embeddings `[D]`.
        weight: `[K, D]`.
        bias: `[K]`.
        penalty: the chosen weight of the L2 penalty.
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def __call__(self, embeddings: Tensor) -> Tensor:
        """The class of each embedding `[N]`."""
        rows = max(1, _CHUNK // len(self.bias))
        parts = [
            self._logits(embeddings[start : start + rows]).argmax(dim=1)
            for start in range(0, len(embeddings), rows)
        ]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)

    def _logits(self, embeddings: Tensor) -> Tensor:
        return F.linear((embeddings.float() - self.mean) / self.deviation, self.weight, self.bias)


@torch.no_grad()
def fit_probe(embeddings: Tensor, labels: Tensor, num_classes: int) -> Probe:
    """Fit a linear classifier to embeddings.

    The loss is the mean cross-entropy plus penalty / 2 times the squared weights (the bias is free), minimised by
    L-BFGS with a line search from zeros: convex and without random numbers. Each embedding dimension is standardised. A
    fifth of the images, drawn evenly over the classes, chooses the penalty of `PENALTIES` by accuracy (of equal ones
    the strongest); then all images are fitted with it.

    Args:
        embeddings: `[N, D]`.
        labels: the class index of each `[N]`.
        num_classes: K.

    Raises:
        ValueError: there are fewer than two images, or the shapes do not fit.
    """
    if embeddings.dim() != 2 or labels.shape != embeddings.shape[:1] or len(labels) < 2:
        raise ValueError(
            f"embeddings {list(embeddings.shape)} and labels {list(labels.shape)} must be [N, D] and [N] with N of 2 "
            "or more"
        )
    order = torch.from_numpy(balanced_draw(labels.cpu().numpy(), 0)).to(labels.device)
    held = max(1, len(labels) // _HELD_OUT)
    chosen, rest = order[:held], order[held:]
    best, penalty = -1, PENALTIES[0]
    start: Probe | None = None
    for tried in PENALTIES:
        start = _fitted(embeddings[rest], labels[rest], num_classes, tried, start)
        right = int((start(embeddings[chosen]) == labels[chosen]).sum())
        if right > best:
            best, penalty = right, tried
    return _fitted(embeddings, labels, num_classes, penalty, None)


@torch.no_grad()
def _fitted(
    embeddings: Tensor, labels: Tensor, num_classes: int, penalty: float, start: Probe | None
) -> Probe:
    data = embeddings.float()
    mean, deviation = data.mean(dim=0), data.std(dim=0, correction=0)
    deviation = torch.where(deviation > 1e-6 * mean.abs() + 1e-12, deviation, 1.0)  # a constant stays one
    data = (data - mean) / deviation
    weight = data.new_zeros(num_classes, data.shape[1]) if start is None else start.weight.clone()
    bias = data.new_zeros(num_classes) if start is None else start.bias.clone()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_STEPS,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    rows = max(1, _CHUNK // num_classes)

    def closure() -> Tensor:
        # the gradient by hand: of a softmax it is the probabilities minus the targets
        weight.grad, bias.grad = penalty * weight, torch.zeros_like(bias)
        loss = penalty / 2 * weight.square().sum()
        for start in range(0, len(data), rows):
            part, target = data[start : start + rows], labels[start : start + rows, None]
            scores = torch.log_softmax(F.linear(part, weight, bias), dim=1)
            loss -= scores.gather(1, target).sum() / len(data)
            slope = scores.exp_().scatter_add_(1, target, -torch.ones_like(scores[:, :1])) / len(data)
            weight.grad += slope.T @ part
            bias.grad += slope.sum(dim=0)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Probe(mean, deviation, weight, bias, penalty)
