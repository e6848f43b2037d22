"""Mixup and CutMix on the device, over the whole batch: a function of seed, epoch and batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from kdcore.data.keyed_randomness import MIX, keyed_numbers
from kdcore.data.special_targets import UNLABELLED, has_label

if TYPE_CHECKING:
    from collections.abc import Sequence

Box = tuple[int, int, int, int]  # top, bottom, left, right


class Mixer:
    """Mixes each image with the one at the mirrored position of the whole batch, and the targets in the same way.

    Mixup (Zhang et al. 2018, eq. 1): x = lam x_i + (1 - lam) x_j with lam ~ Beta(alpha, alpha). CutMix (Yun
    et al. 2019, eq. 1 and 2): a box of area 1 - lam comes from x_j; lam is then the remaining area. With both
    on, each batch uses one of them, with equal probability. As in timm, a batch has one lam.

    Args:
        mixup: alpha of mixup; 0 is off.
        cutmix: alpha of CutMix; 0 is off.
        num_classes: K.
        seed: the seed of the run.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int, *, seed: int) -> None:
        if min(mixup, cutmix) < 0 or max(mixup, cutmix) == 0:
            raise ValueError(
                f"mixup {mixup}, cutmix {cutmix}: neither may be below 0, and one must be above 0"
            )
        self._mixup, self._cutmix = mixup, cutmix
        self._num_classes, self._seed = num_classes, seed

    def __call__(
        self, images: Tensor, target: Tensor | None, epoch: int, batch: int
    ) -> tuple[Tensor, Tensor | None]:
        """Mix this process's part of the whole batch; all processes must call it.

        Args:
            images: `[B, C, H, W]`, or `[B, V, C, H, W]`; all views of a sample are mixed in the same way.
            target: class indices `[B]` (`UNLABELLED`: no class), several labels an image `[B, K]`, or None.
            epoch: the number of the epoch.
            batch: the number of the batch in it.

        Returns:
            The mixed images, and probabilities, or parts of labels, `[B, K]` in float32: None without target, a row of
            `UNLABELLED` for an image that is mixed of one without a class.
        """
        lam, box = self.draw(images.shape[-2:], epoch, batch)
        partner = mirrored(images)
        if box is None:
            mixed = images * lam + partner * (1 - lam)
        else:
            top, bottom, left, right = box
            mixed = images.clone()
            mixed[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
        if target is None:
            return mixed, None
        others = mirrored(target)
        probabilities = self._one_hot(target) * lam + self._one_hot(others) * (1 - lam)
        known = has_label(target) & has_label(others)
        return mixed, torch.where(known.unsqueeze(1), probabilities, UNLABELLED)

    def draw(self, size: Sequence[int], epoch: int, batch: int) -> tuple[float, Box | None]:
        """The share `lam` of the image itself, and the box that comes from the other image (None: mixup)."""
        raw = keyed_numbers(6, MIX, self._seed, epoch, batch)
        uniform = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        cut = self._cutmix > 0 and (self._mixup == 0 or uniform[0] < 0.5)
        # numpy keeps RandomState's stream fixed, but not that of Generator.beta
        state = np.random.RandomState([int(raw[1]) & 0xFFFFFFFF, int(raw[1]) >> 32])
        alpha = self._cutmix if cut else self._mixup
        lam = float(state.beta(alpha, alpha))
        if not cut:
            return lam, None
        height, width = size
        side = math.sqrt(1 - lam)
        top, bottom = _span(height, int(height * side), int(uniform[2] * height))
        left, right = _span(width, int(width * side), int(uniform[3] * width))
        return 1 - (bottom - top) * (right - left) / (height * width), (top, bottom, left, right)

    def _one_hot(self, target: Tensor) -> Tensor:
        if target.dim() == 2:
            return target.float()
        rows = torch.zeros(len(target), self._num_classes, device=target.device)
        return rows.scatter_(1, target.clamp(min=0).unsqueeze(1), 1.0)


def mirrored(values: Tensor) -> Tensor:
    """This process's part of the reversed whole batch.

    Parts are contiguous and of equal size: process r needs the r-th part from the end.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values.flip(0)
    rank, world = dist.get_rank(), dist.get_world_size()
    peer = world - 1 - rank
    if peer == rank:
        return values.flip(0)
    sent = values.contiguous()
    received = torch.empty_like(sent)
    operations = [dist.P2POp(dist.isend, sent, peer), dist.P2POp(dist.irecv, received, peer)]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return received.flip(0)


def _span(length: int, cut: int, centre: int) -> tuple[int, int]:
    return max(0, centre - cut // 2), min(length, centre + cut // 2)
