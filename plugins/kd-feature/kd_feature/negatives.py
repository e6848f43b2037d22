"""CRD's negatives: for each sample of a batch, training samples of other classes."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import cast

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)


class NegativeSampler(nn.Module):
    """Draws `negatives` different training samples of any other class for each sample.

    Each row is a uniform draw without replacement, as in RepDistiller. But rows are not independent: a call puts the
    training set into one random order, and each row reads it in a circle from a random start, without its own
    class. That costs O(N) memory and time for any number of classes. On average two rows share as many negatives as
    two independent draws.

    To leave a class out, a row is first copied completely. Then the positions with samples of its own class are
    overwritten with samples from after the row's end. So only the copy is work for the whole row; the rest is work
    for one class per row.

    The draws are a function of the seed and of the number of calls. This number is part of the state. So a resumed
    run continues with the same draws, and every process of a run draws the same.

    Args:
        num_samples: size of the training set, N.
        labels: class index of every training sample `[N]`, or None if they are not known. A sample with an unknown
            or a negative label is a class of its own: its negatives are all other samples.
        negatives: how many to draw. If fewer samples are outside the largest class, this smaller number is used,
            with a warning.
        seed: seed of the draws.

    Raises:
        ValueError: N is below 2, the labels have another length, or all samples are of one class.
    """

    members: Tensor
    begin: Tensor
    size: Tensor

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
        classes = _as_classes(num_samples, labels)
        sizes = classes.bincount()
        # not in the state, because they follow from the data: all samples, class by class; where the class of each
        # sample begins among them; and its size
        for name, values in (
            ("members", classes.argsort(stable=True)),
            ("begin", (sizes.cumsum(0) - sizes)[classes]),
            ("size", sizes[classes]),
        ):
            self.register_buffer(name, values.int(), persistent=False)
        self.largest_class = int(sizes.max())
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
        """Draw negatives for samples at positions `[B]`: `[B, 1 + negatives]`, the own position first."""
        device, total = index.device, self.num_samples
        if index.is_meta:  # there is no generator on that device, and no value to draw
            self.draws += 1
            return index.new_empty(len(index), 1 + self.negatives)
        generator = torch.Generator(device).manual_seed(_seed(self.seed, self.draws))
        self.draws += 1
        order = torch.randperm(total, generator=generator, device=device, dtype=torch.int32)
        starts = torch.randint(total, (len(index), 1), generator=generator, device=device)
        end = self.negatives + 1
        drawn = index.new_empty(len(index), end + 1)
        drawn[:, 0] = index
        drawn[:, 1:end] = torch.cat([order, order[:end]]).unfold(0, end - 1, 1)[starts.squeeze(1)]
        behind, places = self._replacements(index, order, starts)
        # members of the class that are not in the row go to the last column, which is cut off
        return drawn.scatter_(1, places, order[behind].to(drawn.dtype))[:, :end]

    def _replacements(self, index: Tensor, order: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """For each member of a sample's own class: its replacement and its column in the row, both `[B, C]`.

        The replacement is a position in the order. The column is the last one + 1 for members that are not in the row.
        """
        device, total, length = index.device, self.num_samples, self.negatives
        # this number of samples after the row's end always has enough of other classes
        count = torch.arange(self.largest_class, device=device)
        reserve = len(count)
        numbers = torch.arange(total, device=device, dtype=order.dtype)
        place = torch.empty_like(order).scatter_(0, order.long(), numbers)
        own = self.members[(self.begin[index].unsqueeze(1) + count).clamp_(max=total - 1)]
        # distance of a member from the row's start; if the class has fewer members, a distance that no row reaches
        at = (place[own.long()] - starts) % total
        at = torch.where(count < self.size[index].unsqueeze(1), at, total)
        within = at < length
        # the reserve without the own class and without gaps
        of_reserve = torch.where((at >= length) & (at < length + reserve), at - length, reserve)
        usable = torch.ones(len(index), reserve + 1, dtype=torch.bool, device=device)
        usable = usable.scatter_(1, of_reserve, False)[:, :reserve]
        rank = torch.where(usable, usable.cumsum(1) - 1, reserve)
        closed = torch.zeros_like(of_reserve[:, :1]).repeat(1, reserve + 1)
        closed.scatter_(1, rank, count.expand_as(rank))
        behind = length + closed.gather(1, (within.cumsum(1) - 1).clamp_(min=0))
        return (starts + behind) % total, torch.where(within, at + 1, length + 1)

    def get_extra_state(self) -> Tensor:
        """The number of calls."""
        return torch.tensor(self.draws)

    def set_extra_state(self, state: object) -> None:
        """Continue from this number of calls."""
        self.draws = int(cast("Tensor", state))


def _as_classes(num_samples: int, labels: Tensor | None) -> Tensor:
    # on the CPU even if the rest is built on the meta device, because the sizes of the classes are needed
    if labels is None:
        return torch.arange(num_samples, device="cpu")
    labels = labels.detach().cpu().long()
    alone = labels.amax().clamp(min=-1) + 1 + torch.arange(num_samples, device="cpu")
    _, classes = torch.unique(torch.where(labels < 0, alone, labels), return_inverse=True)
    return cast("Tensor", classes)


def _seed(seed: int, draw: int) -> int:
    return int.from_bytes(blake2b(f"{seed} {draw}".encode(), digest_size=8).digest(), "little") >> 1
