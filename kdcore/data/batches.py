"""The batches that the data gives to a run: for training and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore.data.special_targets import has_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RawBatch:
    """This process's part of one whole batch.

    Attributes:
        images: normalised float32 `[B, C, H, W]`, on the device that the data was built for; `[B, V, C, H, W]` with
            V > 1 views.
        target: class indices `[B]`, on the CPU, -1 without one; with several labels an image 0 and 1 `[B, K]`, float32,
            a row of -1 without known labels; None if no image of the training set has a label.
        index: positions in the training set `[B]`, or None for a stream.
        broken: positions of images that could not be read and were replaced by others.
        partner: for each sample the image of another one of its class, `[B, C, H, W]`, or None.
        key: of a stream in shards, numbers that say where each sample is `[B]`; otherwise None.
    """

    images: Tensor
    target: Tensor | None
    index: Tensor | None
    broken: tuple[int, ...] = ()
    partner: Tensor | None = None
    key: Tensor | None = None

    @property
    def cached_by(self) -> Tensor:
        """What a teacher cache finds the outputs by `[B]`: the positions, or the keys of a stream."""
        found = self.index if self.key is None else self.key
        assert found is not None  # other streams have no cache
        return found


class TrainData:
    """The training set in whole batches.

    Attributes:
        size: N, after `train_samples`.
        labels: the class index of each sample, or the number of its set of labels `[N]`, -1 without one; None if
            unknown without reading the images.
        batch_size: samples of one whole batch, over all processes.
        batches_per_epoch: number of whole batches; the remaining samples are not used in that epoch.
        labelled: whether batches have a target.
        stream: whether batches have no index.
        keyed: whether the samples of a stream have keys, the same in each epoch.
    """

    size: int
    labels: Tensor | None
    batch_size: int
    batches_per_epoch: int
    labelled: bool
    stream = False
    keyed = False

    @property
    def labelled_size(self) -> int | None:
        """The number of samples with a label; None if unknown without reading the images."""
        return None if self.labels is None else int(has_label(self.labels).sum())

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch, starting at batch `skip`. Only the newest of several iterators may be used.

        Raises:
            ValueError: the epoch has fewer than `skip` batches.
            RunFailed: an image cannot be read.
        """
        raise NotImplementedError

    @property
    def kept_bytes(self) -> int:
        """Approximate memory of the decoded images once all were read; 0 if they are not kept."""
        return 0

    def name(self, position: int) -> str:
        """The name of a sample in messages."""
        return f"sample {position}"


class EvalData:
    """This process's share of a split, in a fixed order; over all processes, every sample comes exactly once.

    Iterating gives (images `[B, C, H, W]` on the device, target `[B]` on the CPU, or `[B, K]` with several labels an
    image). The target is -1 if an image is unlabelled, and -2 for a black image that replaces one that cannot be read
    and is not counted. Shares and last batches may differ in size: add up counts, do not average averages.

    Attributes:
        size: samples of this process, or None if a stream does not report it.
        total: samples of all processes, or None.
        labelled: whether there are targets.
        broken: positions of the images that could not be read so far.
    """

    size: int | None
    total: int | None
    labelled: bool
    broken: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        raise NotImplementedError

    @property
    def kept_bytes(self) -> int:
        """Approximate memory of the decoded images once all were read; 0 if they are not kept."""
        return 0

    def name(self, position: int) -> str:
        """The name of a sample in messages."""
        return f"sample {position}"

    def positions(self) -> Tensor | None:
        """The positions in the split of this process's images, in their order; None for a stream."""
        return None


def check_skip(epoch: int, skip: int, batches_per_epoch: int) -> None:
    """Raise ValueError if an epoch has fewer than `skip` batches."""
    if epoch < 0 or not 0 <= skip <= batches_per_epoch:
        raise ValueError(f"epoch {epoch}, skip {skip}: an epoch has {batches_per_epoch} batches")
