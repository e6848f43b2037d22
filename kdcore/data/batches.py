"""What the engine gets from the data: batches to train on, and batches to evaluate on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RawBatch:
    """This process's part of one whole batch.

    Attributes:
        images: normalised float32 `[B, C, H, W]`, on the device that the data was built for; `[B, V, C, H, W]` with
            V > 1 views.
        target: class indices `[B]`, on the CPU, or None where the images are unlabelled.
        index: positions in the training set `[B]`, or None for a stream.
        broken: positions of images that could not be read, for which others stand in.
    """

    images: Tensor
    target: Tensor | None
    index: Tensor | None
    broken: tuple[int, ...] = ()


class TrainData:
    """The training set, in whole batches.

    Attributes:
        size: N, after `train_samples`.
        labels: the class index of each sample `[N]`, or None where not known without reading the images.
        batch_size: samples of one whole batch, over all processes.
        batches_per_epoch: whole batches; what is left over is not used in that epoch.
        labelled: whether batches have a target.
        stream: whether batches have no index.
    """

    size: int
    labels: Tensor | None
    batch_size: int
    batches_per_epoch: int
    labelled: bool
    stream = False

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch from the `skip`-th on. Only the newest of several iterators may be used.

        Raises:
            ValueError: there are not so many batches to skip.
            RunFailed: an image cannot be read.
        """
        raise NotImplementedError

    @property
    def kept_bytes(self) -> int:
        """About what the decoded images take in memory once all were seen; 0: they are not kept."""
        return 0

    def name(self, position: int) -> str:
        """What messages call a sample."""
        return f"sample {position}"


class EvalData:
    """This process's share of a split, in a fixed order; over all processes every sample comes exactly once.

    Iterating gives (images `[B, C, H, W]` on the device, target `[B]` on the CPU). The target is -1 where an image is
    unlabelled, and -2 where a black one stands for an image that cannot be read, which counts nowhere. Shares and last
    batches may be of different size: add up counts, do not average averages.

    Attributes:
        size: samples of this process, or None where a stream does not tell.
        total: samples of all processes, likewise.
        labelled: whether there are targets.
        broken: positions of the images that could not be read, as far as they were met.
    """

    size: int | None
    total: int | None
    labelled: bool
    broken: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        raise NotImplementedError

    @property
    def kept_bytes(self) -> int:
        """About what the decoded images take in memory once all were seen; 0: they are not kept."""
        return 0

    def name(self, position: int) -> str:
        """What messages call a sample."""
        return f"sample {position}"


def check_skip(epoch: int, skip: int, batches_per_epoch: int) -> None:
    """Raises ValueError where an epoch does not have so many batches to skip."""
    if epoch < 0 or not 0 <= skip <= batches_per_epoch:
        raise ValueError(f"epoch {epoch}, skip {skip}: an epoch has {batches_per_epoch} batches")
