"""The dataset that loader processes see: (epoch, position) keys in, batches out, errors as values."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from kdcore.data.keyed import kept_generators, seed_sample
from kdcore.data.source import Unreadable
from kdcore.errors import KdError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.data.sampler import Key, Positions
    from kdcore.data.source import Source
    from kdcore.data.transforms import Transform

Columns = list[Tensor]  # images, target, index; where broken images are skipped, the positions of those too
BROKEN = -2
"""The target of an image that evaluation leaves out."""


@dataclass(frozen=True)
class Failure:
    """What went wrong in a loader process: an exception would arrive there with its traceback as text."""

    message: str


class KeyedSamples(Dataset[Columns | Failure]):
    """Samples by (epoch, position): what a key gives depends on nothing but the key and the seed.

    Args:
        source: where images and labels come from.
        positions: the chosen positions in the source, or None for all.
        transform: PIL image -> `[C, H, W]`.
        seed: the run's.
        views: augmented views of each sample; above 1, images are `[V, C, H, W]`.
        num_classes: K, to check labels against; None: not checked.
        broken: what becomes of an image that cannot be read. 'fail': the batch does; 'replace': the next position
            that can be read stands in for it; 'mark': a black image with target `BROKEN` does.
    """

    def __init__(
        self,
        source: Source,
        positions: Positions | None,
        transform: Transform,
        seed: int,
        views: int = 1,
        num_classes: int | None = None,
        broken: Literal["fail", "replace", "mark"] = "fail",
    ) -> None:
        self._source, self._positions, self._transform = source, positions, transform
        self._seed, self._views, self._num_classes = seed, views, num_classes
        self._broken = broken

    def __len__(self) -> int:
        return len(self._source) if self._positions is None else len(self._positions)

    def __getitem__(self, key: Key) -> Columns | Failure:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> Columns | Failure:
        """A whole batch, as the loader asks for it."""
        try:
            with kept_generators():
                if self._broken == "fail":
                    return list(default_collate([self._sample(*key) for key in keys]))
                broken: set[int] = set()
                samples = [self._whole_sample(*key, broken) for key in keys]
                return [*default_collate(samples), torch.tensor(sorted(broken), dtype=torch.int64)]
        except KdError as error:
            return Failure(str(error))
        except Exception as error:
            return Failure(unexpected(error))

    def source_index(self, position: int) -> int:
        """Where in the source a position of the training set is."""
        return position if self._positions is None else int(self._positions[position])

    def name(self, position: int) -> str:
        """What messages call the sample at a position of the training set."""
        return self._source.name(self.source_index(position))

    def _whole_sample(self, epoch: int, position: int, broken: set[int]) -> tuple[Tensor, int, int]:
        """The sample, or what stands in for a broken one: a function of the position, whoever asks and when."""
        for step in range(len(self)):
            candidate = (position + step) % len(self)
            try:
                return self._sample(epoch, candidate)
            except Unreadable:
                broken.add(candidate)
                if self._broken == "mark":
                    black = self._transform(Image.new("RGB", (32, 32)))
                    return black, BROKEN, candidate
        raise RunFailed(f"none of the {len(self)} images can be read, the first being {self.name(0)}")

    def _sample(self, epoch: int, position: int) -> tuple[Tensor, int, int]:
        index = self.source_index(position)
        seed_sample(self._seed, epoch, position, 0)
        image, label = self._source[index]
        if self._num_classes is not None and label >= self._num_classes:
            message = f"has class {label}, and there are only {self._num_classes}"
            raise RunFailed(f"image {index}: {self._source.name(index)} {message}")
        try:
            images = augmented(image, self._transform, self._views, self._seed, epoch, position)
        except Exception as error:
            name = self._source.name(index)
            raise Unreadable(f"image {index} cannot be transformed: {name}: {error}") from error
        return images, label, position


def augmented(image: Image.Image, transform: Transform, views: int, *keys: int) -> Tensor:
    """`[C, H, W]`, or `[V, C, H, W]` of V > 1 views; the first goes on from the seeds that are set."""
    images = [transform(image)]
    for view in range(1, views):
        seed_sample(*keys, view)
        images.append(transform(image))
    return images[0] if views == 1 else torch.stack(images)


def unexpected(error: Exception) -> str:
    """An error that nobody foresaw, in one line with its place."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"the images cannot be read: {type(error).__name__}: {error}{place}"


def same(batch: Any) -> Any:
    """The collate function of loaders whose dataset gives whole batches."""
    return batch
