"""Predictions for images that belong to no data set: from files, PIL images or arrays, in scikit-learn's shapes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kdcore.data.broken import reason
from kdcore.data.modes import UnknownRange
from kdcore.data.pixels import Decoded, PixelRule
from kdcore.data.source import Unreadable, decode
from kdcore.errors import Problem, RunFailed, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

Picture = str | os.PathLike[str] | Image.Image | np.ndarray[Any, np.dtype[np.uint8]]
"""A file, a PIL image, or pixels `[H, W]` or `[H, W, C]`, uint8."""
_THREADS = 8
_AHEAD = 2  # batches that are prepared while one is computed
_NAMED = 3  # broken images in a message


@dataclass(frozen=True)
class Outputs:
    """What a model gave for a batch of n images.

    Attributes:
        logits: `[n, K]`, float32; None for an encoder.
        embedding: `[n, D]`, float32; None if nobody asked for it.
    """

    logits: NDArray[np.float32] | None
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class PredictedBatch:
    """Some of the images, in their order.

    Attributes:
        position: of each image that could be read, from 0 `[n]`.
        outputs: what the model gave for them.
        broken: why the others could not be read, by position.
    """

    position: tuple[int, ...]
    outputs: Outputs
    broken: dict[int, str] = field(default_factory=dict)


class ImagePredictor:
    """A trained student, its preprocessing and its classes: images in, predictions out.

    Args:
        prepare: from a PIL image, or an array `[H, W, C]` of a file that is one, to the model's input `[C, H, W]`,
            float32.
        call: from a batch of them `[B, C, H, W]`, and whether to add the embedding, to the outputs.
        num_classes: K; 0 for an encoder.
        classes: the names of the classes; None: not known.
        rule: how the values of files become 8 bits.
        thresholds: with several labels an image, the probability above which it gets each label `[K]`; None: an image
            has one class.

    Attributes:
        classes_: the class names `[K]`, or the class indices if no names are known; empty for an encoder.
    """

    def __init__(
        self,
        prepare: Callable[[Any], NDArray[np.float32]],
        call: Callable[[NDArray[np.float32], bool], Outputs],
        *,
        num_classes: int,
        classes: Sequence[str] | None,
        thresholds: Sequence[float] | None = None,
        rule: PixelRule = PixelRule(),  # noqa: B008  # frozen
    ) -> None:
        self.thresholds = None if thresholds is None else np.asarray(thresholds, np.float64)
        self._prepare, self._call, self.num_classes, self._rule = prepare, call, num_classes, rule
        self.classes_: NDArray[Any] = np.arange(num_classes) if classes is None else np.array(list(classes))

    def predict(self, images: Sequence[Picture]) -> NDArray[Any]:
        """The most likely class of each image `[N]`: its name, or its index if no names are known.

        With several labels an image 1 for each label that it gets and 0 for the others `[N, K]`, int64.

        Raises:
            RunFailed: an image cannot be read.
            UserError: the student is an encoder, or this is not a sequence of images.
        """
        probabilities = self.predict_proba(images)
        if self.thresholds is not None:
            return (probabilities > self.thresholds).astype(np.int64)
        names: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return names

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities for logits, both `[N, K]`: of one class, or of each label."""
        return softmax(logits) if self.thresholds is None else sigmoid(logits)

    def predict_proba(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """The probability of each class for each image `[N, K]`.

        Raises:
            RunFailed: an image cannot be read.
            UserError: the student is an encoder, or this is not a sequence of images.
        """
        self.require_classes()
        parts = [
            self.probabilities(one.logits)
            for one in self._whole(images, embedding=False)
            if one.logits is not None
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.num_classes), np.float32)

    def transform(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """The embedding of each image `[N, D]`.

        Raises:
            RunFailed: an image cannot be read, or the model gives no embedding.
            UserError: this is not a sequence of images.
        """
        parts = [one.embedding for one in self._whole(images, embedding=True) if one.embedding is not None]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def require_classes(self) -> None:
        """Raises UserError for an encoder."""
        if self.num_classes == 0:
            message = "the student is an encoder: it has no classes to predict, only an embedding"
            raise UserError(Problem("student", message))

    def batches(
        self, images: Sequence[Picture], *, embedding: bool = False, batch_size: int = 64
    ) -> Iterator[PredictedBatch]:
        """Predictions batch by batch; images are read and prepared in threads, ahead of the model.

        Raises:
            RunFailed: the model gives no embedding.
        """
        threads = min(_THREADS, os.cpu_count() or 1)
        waiting: deque[list[tuple[int, Future[NDArray[np.float32] | str]]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for start in range(0, len(images), batch_size):
                    positions = range(start, min(start + batch_size, len(images)))
                    waiting.append([(one, pool.submit(self._read, images[one])) for one in positions])
                    if len(waiting) > _AHEAD:
                        yield self._computed(waiting.popleft(), embedding)
                while waiting:
                    yield self._computed(waiting.popleft(), embedding)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _whole(self, images: Sequence[Picture], *, embedding: bool) -> Iterator[Outputs]:
        """The outputs for images that must all be readable."""
        if isinstance(images, str | os.PathLike) or not isinstance(images, Sequence | np.ndarray):
            message = "it must be a list of images: paths, PIL images or arrays of pixels"
            raise UserError(Problem("images", message, type(images).__name__, hint="for one image: [image]"))
        for batch in self.batches(images, embedding=embedding):
            if batch.broken:
                named = [_titled(images[one], one, why) for one, why in list(batch.broken.items())[:_NAMED]]
                more = len(batch.broken) - len(named)
                raise RunFailed("; ".join(named) + (f"; and {more} more" if more else ""))
            yield batch.outputs

    def _computed(
        self, prepared: Iterable[tuple[int, Future[NDArray[np.float32] | str]]], embedding: bool
    ) -> PredictedBatch:
        whole: dict[int, NDArray[np.float32]] = {}
        broken: dict[int, str] = {}
        for position, future in prepared:
            found = future.result()
            if isinstance(found, str):
                broken[position] = found
            else:
                whole[position] = found
        outputs = self._call(np.stack(list(whole.values())), embedding) if whole else Outputs(None)
        return PredictedBatch(tuple(whole), outputs, broken)

    def _read(self, picture: Picture) -> NDArray[np.float32] | str:
        """The model's input, or why there is none."""
        try:
            return self._prepare(_opened(picture, self._rule))
        except (OSError, Unreadable, UnknownRange, ValueError) as error:
            return str(error).partition("\n")[0]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities `[N, K]`, in log space."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return np.exp(wide).astype(np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability of each label `[N, K]`; logits of any size."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    found: NDArray[np.float64] = np.where(logits >= 0, 1, small) / (1 + small)
    return found.astype(np.float32)


def _opened(picture: Picture, rule: PixelRule) -> Decoded:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, np.ndarray):
        if rule.exact:
            return picture
        channels = picture.shape[2] if picture.ndim == 3 else 1
        if (
            picture.dtype != np.uint8
            or picture.ndim not in (2, 3)
            or not picture.size
            or not 0 < channels < 5
        ):
            found = f"{picture.dtype} {list(picture.shape)}"
            raise ValueError(
                f"pixels must be uint8 [H, W] or [H, W, C] of up to 4 channels, and these are {found}"
            )
        return Image.fromarray(picture[:, :, 0] if picture.shape[2:] == (1,) else picture)
    try:
        path = os.fspath(picture)
    except TypeError:
        kind = type(picture).__name__
        raise ValueError(f"it must be a path, a PIL image or an array of pixels, not a {kind}") from None
    data = Path(path).read_bytes()
    try:
        return decode(data, str(picture), 0, rule)
    except Unreadable as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ValueError(reason(cause, data)) from error


def _titled(picture: Picture, position: int, why: str) -> str:
    name = f" ({os.fspath(picture)})" if isinstance(picture, str | os.PathLike) else ""
    return f"image {position}{name} cannot be read: {why}"
