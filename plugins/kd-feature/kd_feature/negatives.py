"""CRD's negatives: for each sample of a batch, training samples of other classes."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import cast

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)


class NegativeSampler(nn.Module):
    """Draws, for each sample, `negatives` different training samples of any other class.

    Each row is a uniform draw without replacement, as in RepDistiller. Rows do not stand for themselves, though:
    a draw puts the training set in one random order, and each row reads it in a circle from a random start,
    leaving out its own class. That costs O(N) memory and time whatever the number of classes, and two rows share
    as many negatives as independent draws would on average.

    What is drawn is a function of the seed and of how often it was called. That count is part of the state, so
    that a resumed run goes on with the same draws, and every process of a run draws the same.

    Args:
        num_samples: size of the training set, N.
        labels: class index of every training sample `[N]`, or None where they are not known. A sample with an
            unknown or a negative label is a class of its own: its negatives are all other samples.
        negatives: how many to draw. More than the largest class leaves over cannot be had without repetition:
            then as many as it leaves, and a message says so.
        seed: of the draws.

    Raises:
        ValueError: N is below 2, the labels do not fit, or all samples are of one class.
    """

    labels: Tensor

    def __init__(self, num_samples: int, labels: Tensor | None, negatives: int, seed: int) -> None:
        super().__init__()
        if num_samples < 2:
            raise ValueError(
                f"the training set has {num_samples} samples; contrast needs at least 2 (train_size)"
            )
        if labels is not None and labels.shape != (num_samples,):
            raise ValueError(
                f"train_labels has shape {list(labels.shape)}, the training set {num_samples} samples"
            )
        self.num_samples = num_samples
        # not in the state: they are the data's
        self.register_buffer("labels", _as_classes(num_samples, labels), persistent=False)
        self.largest_class = int(self.labels.bincount().max())
        available = num_samples - self.largest_class
        if available < 1:
            raise ValueError("all training samples are of one class; contrast needs samples of another")
        if negatives > available:
            _log.warning(
                "crd: %d negatives instead of %d: without its largest class the training set has %d samples",
                available,
                negatives,
                available,
            )
        self.negatives = min(negatives, available)
        self.seed = seed
        self.draws = 0

    def forward(self, index: Tensor) -> Tensor:
        """Positions of samples `[B]` -> `[B, 1 + negatives]`: each sample's own position, then its negatives."""
        device, total = index.device, self.num_samples
        if index.is_meta:  # there is no generator on that device, and no value to draw
            self.draws += 1
            return index.new_empty(len(index), 1 + self.negatives)
        generator = torch.Generator(device).manual_seed(_seed(self.seed, self.draws))
        self.draws += 1
        order = torch.randperm(total, generator=generator, device=device)
        starts = torch.randint(total, (len(index), 1), generator=generator, device=device)
        # among so many in a row there are always enough of other classes
        window = torch.arange(self.negatives + self.largest_class, device=device)
        places = (starts + window) % total
        candidates = order[places]
        other = self.labels[order][places] != self.labels[index].unsqueeze(1)
        rank = other.cumsum(1)
        # the first `negatives` of other classes to columns 1.., all the rest to the last column, which is cut off
        column = torch.where(other & (rank <= self.negatives), rank, self.negatives + 1)
        drawn = index.new_empty(len(index), self.negatives + 2).scatter_(1, column, candidates)
        drawn[:, 0] = index
        return drawn[:, :-1]

    def get_extra_state(self) -> Tensor:
        """How often it was called."""
        return torch.tensor(self.draws)

    def set_extra_state(self, state: object) -> None:
        """Go on from there."""
        self.draws = int(cast("Tensor", state))


def _as_classes(num_samples: int, labels: Tensor | None) -> Tensor:
    # on the CPU even where the rest is built on the meta device: the sizes of the classes are wanted
    if labels is None:
        return torch.arange(num_samples, device="cpu")
    labels = labels.detach().cpu().long()
    alone = labels.amax().clamp(min=-1) + 1 + torch.arange(num_samples, device="cpu")
    _, classes = torch.unique(torch.where(labels < 0, alone, labels), return_inverse=True)
    return cast("Tensor", classes)


def _seed(seed: int, draw: int) -> int:
    return int.from_bytes(blake2b(f"{seed} {draw}".encode(), digest_size=8).digest(), "little") >> 1
