"""The dataset of loader processes: (epoch, position) keys in, batches out, errors as values."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from PIL import UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from kdcore.data.broken import reason
from kdcore.data.keyed_randomness import ALL, AUGMENT, kept_generators, mix64, seed_generators, seed_sample
from kdcore.data.modes import UnknownRange
from kdcore.data.sending import ByValue
from kdcore.data.source import Refused, Unreadable
from kdcore.data.special_targets import BROKEN
from kdcore.errors import KdError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.data.draws import Positions
    from kdcore.data.keyed_randomness import Draws
    from kdcore.data.memory import ImageMemory
    from kdcore.data.partners import Partners
    from kdcore.data.sampler import Key
    from kdcore.data.source import Source
    from kdcore.data.steps import Fixed, Steps

_OF_PARTNER = 1 << 32  # in place of the number of a view

Columns = list[Tensor]
"""Images, target, index; the partners' images if samples have some; if broken images are skipped, their positions.
The images are the output of `Steps.vary`: uint8 before normalising, or float32."""


@dataclass(frozen=True)
class SampleFailure:
    """An error in a loader process; an exception would arrive with its traceback as text."""

    message: str
    refused: bool = False  # the user has to change the image

    def error(self) -> RunFailed:
        """The exception for this failure."""
        return Refused(self.message) if self.refused else RunFailed(self.message)


class KeyedSamples(ByValue, Dataset[Columns | SampleFailure]):
    """Samples by (epoch, position): a result depends only on the key and the seed.

    Args:
        source: the source of images and labels.
        positions: the chosen positions in the source, or None for all.
        steps: the image transforms before normalising.
        seed: the seed of the run.
        views: augmented views of each sample; above 1, images are `[V, C, H, W]`.
        num_classes: K, to check labels; None: not checked.
        broken: what happens to an image that cannot be read. 'fail': the batch fails; 'replace': the next position
            that can be read replaces it; 'mark': a black image with target `BROKEN` replaces it.
        partners: draws another sample of its class for each; None: samples come alone.

    Attributes:
        memory: stores decoded images.
    """

    memory: ImageMemory | None = None

    def __init__(
        self,
        source: Source,
        positions: Positions | None,
        steps: Steps,
        seed: int,
        views: int = 1,
        num_classes: int | None = None,
        broken: Literal["fail", "replace", "mark"] = "fail",
        partners: Partners | None = None,
    ) -> None:
        self.source, self._positions, self._steps = source, positions, steps
        self._seed, self._views, self._num_classes = seed, views, num_classes
        self._broken, self.partners = broken, partners
        self._key = mix64(AUGMENT, seed)  # the first keys of each sample, as for `seed_sample`
        # a plugin's dataset may draw random numbers, too
        self._draws: Draws = steps.draws if source.fixed else ALL

    def __len__(self) -> int:
        return len(self.source) if self._positions is None else len(self._positions)

    def __getitem__(self, key: Key) -> Columns | SampleFailure:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> Columns | SampleFailure:
        """A whole batch: the loader calls this."""
        try:
            with kept_generators(self._draws):
                if self._broken == "fail":
                    return list(default_collate([self._sample(*key) for key in keys]))
                broken: set[int] = set()
                samples = [self._whole_sample(*key, broken) for key in keys]
                return [*default_collate(samples), torch.tensor(sorted(broken), dtype=torch.int64)]
        except KdError as error:
            return SampleFailure(str(error), isinstance(error, Refused))
        except Exception as error:
            return SampleFailure(unexpected(error))

    @property
    def kept_bytes(self) -> int:
        """Approximate memory of all images once they were read; 0 if they are not kept, or were already in memory."""
        return 0 if self.memory is None or self.source.in_memory else self.memory.expected

    @property
    def takes_all(self) -> bool:
        """Whether they are all samples of the source, in its order."""
        return self._positions is None

    def source_index(self, position: int) -> int:
        """The position in the source for a position of the training set."""
        return position if self._positions is None else int(self._positions[position])

    def name(self, position: int) -> str:
        """The name in messages of the sample at a position of the training set."""
        return self.source.name(self.source_index(position))

    def _whole_sample(self, epoch: int, position: int, broken: set[int]) -> tuple[Any, ...]:
        """The sample, or the replacement of a broken one, which depends only on the position."""
        last = ""
        for step in range(len(self)):
            candidate = (position + step) % len(self)
            try:
                return self._sample(epoch, candidate)
            except Unreadable as error:
                last = str(error).partition("\n")[0]
                broken.add(candidate)
                if self._broken == "mark":
                    black = self._steps.vary(self._steps.fixed(self._steps.rule.blank()))
                    return black, BROKEN, candidate
        raise RunFailed(f"none of the {len(self)} images can be read; {last}")

    def read(self, position: int) -> tuple[Fixed, int]:
        """An image after the fixed steps, and its label; decoded again each time.

        Raises:
            Unreadable: it cannot be decoded or converted.
            RunFailed: its label is not one of the classes; or only some images have a label, and the dataset does not
                say which.
        """
        index = self.source_index(position)
        image, label = self.source[index]
        if self._num_classes is not None and label >= self._num_classes:
            message = f"has class {label}, but there are only {self._num_classes} classes{self.source.by}"
            raise RunFailed(f"image {index}: {self.source.name(index)} {message}")
        if self.source.labels is None and (label >= 0) != self.source.labelled:
            has, first = ("no label", "has one") if label < 0 else ("a label", "has none")
            raise RunFailed(
                f"image {index}: {self.source.name(index)} has {has}, and the first one {first}; a dataset of which "
                "only some images have a label needs an attribute 'labels' with all labels, -1 for an image without"
                f"{self.source.by}"
            )
        try:
            return self._steps.fixed(image), label
        except UnknownRange as error:
            raise Refused(f"image {index} cannot be used: {self.source.name(index)}: {error}") from error
        except Exception as error:
            raise self._untransformed(index, error) from error

    def _sample(self, epoch: int, position: int) -> tuple[Any, ...]:
        sample = self._augmented(epoch, position)
        if self.partners is None:
            return sample
        return *sample, self._partner(epoch, position, self.partners(epoch, position))

    def _partner(self, epoch: int, position: int, partner: int) -> Tensor:
        """The partner's image, as the first view is augmented; the sample's own if it cannot be read."""
        if self._draws:
            seed_generators(mix64(epoch, position, _OF_PARTNER, state=self._key), self._draws)
        try:
            fixed, _ = self._fixed(partner)
        except Unreadable:
            if self._broken == "fail":
                raise
            fixed, _ = self._fixed(position)
        return self._steps.of_view(0).vary(fixed)

    def _augmented(self, epoch: int, position: int) -> tuple[Tensor, int, int]:
        if self._draws:
            seed_generators(mix64(epoch, position, 0, state=self._key), self._draws)
        fixed, label = self._fixed(position)
        try:
            return varied(fixed, self._steps, self._views, self._seed, epoch, position), label, position
        except Exception as error:
            raise self._untransformed(self.source_index(position), error) from error

    def _fixed(self, position: int) -> tuple[Fixed, int]:
        """An image after the fixed steps, and its label; from memory if it is there."""
        kept = None if self.memory is None else self.memory.get(position)
        if kept is not None:
            return kept
        fixed, label = self.read(position)
        if self.memory is not None:
            self.memory.put(position, fixed, label)
        return fixed, label

    def _untransformed(self, index: int, error: Exception) -> Unreadable:
        return Unreadable(f"image {index} cannot be transformed: {self.source.name(index)}: {error}")


def varied(fixed: Fixed, steps: Steps, views: int, *keys: int) -> Tensor:
    """`[C, H, W]`, or `[V, C, H, W]` of V > 1 views; the first view continues with the current seeds."""
    images = [steps.of_view(0).vary(fixed)]
    for view in range(1, views):
        seed_sample(*keys, view, draws=steps.draws)
        images.append(steps.of_view(view).vary(fixed))
    return images[0] if views == 1 else torch.stack(images)


def unexpected(error: Exception) -> str:
    """An unexpected error in one line, with its place."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, UnidentifiedImageError):
        return f"an image cannot be read: {reason(error)}"
    return f"the images cannot be read: {type(error).__name__}: {error}{place}"


def same(batch: Any) -> Any:
    """The collate function of loaders whose dataset returns whole batches."""
    return batch
