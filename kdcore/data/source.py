"""`Source`: one split of a dataset in the form that kd uses, and the decoding of images."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdcore.data.arrays import NUMPY, TIFF, read_npy, read_tiff
from kdcore.data.broken import SKIP, reason
from kdcore.data.modes import UnknownRange
from kdcore.data.pixels import Decoded, PixelRule, mode_of, size_of
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kdcore.data.label_sets import LabelSets
    from kdcore.data.shard_order import Shards

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_BITS, _PNG_COLOUR = 24, 25  # places in the file
_GAP: Final = rb"\s+(?:#[^\n]*\n\s*)*"
_NETPBM: Final = re.compile(rb"P[2356]" + 2 * (_GAP + rb"\d+") + _GAP + rb"(\d+)\s")


class Unreadable(RunFailed):
    """An image is missing or cannot be decoded; with `data.skip_broken` the run continues without it."""


class Refused(Unreadable):
    """An image is complete, but of a kind that kd does not train on: the user has to change it."""

    exit_code = 2


@dataclass(frozen=True)
class Files:
    """The file system's information about the samples of a split.

    Attributes:
        sizes: size of each sample's file in bytes `[N]`, int64; -1 if it is missing.
        modified: the latest modification time of a file, in nanoseconds since the epoch.
    """

    sizes: np.ndarray[Any, np.dtype[np.int64]]
    modified: int


class Source:
    """One split of a dataset: `len()`, and `[i]` -> (image, class index or -1 when unlabelled).

    An image is Pillow's, or an array `[H, W]` or `[H, W, C]` of a file that is one.

    Attributes:
        rule: how the values of its images become 8 bits.
        classes: names of the classes in the order of their indices, or None if unknown.
        num_classes: K, or None if unknown.
        labels: the class index of every sample `[N]`, -1 without one, if known without decoding an image, or None.
        label_sets: with several labels an image, the sets of labels that occur: labels are their numbers, and classes
            the names of the labels. None: an image has one class.
        labelled: False if no sample has a class; with True, `labels` says which have none. All have one if it is None.
        weights: how often each sample is drawn with `data.sampling: "weights"`, relative to the others `[N]`, float64;
            None: it has no weights.
        stream: True if samples can only be read one after another; see `kdcore.data.stream`.
        in_memory: True for a small set that is already decoded, so that loader processes would not help.
        by: for messages, the plugin whose code it is: " (dataset kd-mine/mine 1.0)"; otherwise empty.
        split: the split's name on disk: for a folder its name, whichever synonym found it.
        notes: information for the user about this split, such as files that are left out; one line each.
        groups: the group of every sample `[N]`, int64; samples of one group are not divided by `data.eval_fraction`.
            None: they have no groups.
        fixed: True if a sample is known to be always the same and reading it draws no random numbers.
        numbered: True if a sample's name is only its number.
        shards: the large files that the samples are in, if an epoch should read one after another; None: samples may be
            read in any order.
    """

    rule: PixelRule = PixelRule()
    classes: tuple[str, ...] | None = None
    num_classes: int | None = None
    labels: Tensor | None = None
    label_sets: LabelSets | None = None
    labelled: bool = True
    groups: np.ndarray[Any, np.dtype[np.int64]] | None = None
    weights: Tensor | None = None
    stream: bool = False
    in_memory: bool = False
    fixed: bool = False
    numbered: bool = False
    shards: Shards | None = None
    by: str = ""
    split: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """The name of this sample in messages: its file if it has one."""
        return f"sample {index}"

    def key(self, index: int) -> str | None:
        """The sample's file relative to the data's root, with '/'; None if it is not a file."""
        return None

    def short_name(self, index: int) -> str:
        """The name of this sample where many are listed: its key, or its name if it has none."""
        return self.key(index) or self.name(index)

    def targets(self, labels: Tensor) -> Tensor:
        """What losses and measures read, for labels `[B]`: the same, or with several labels an image `[B, K]`."""
        return labels if self.label_sets is None else self.label_sets.targets(labels)

    def label_numbers(self, num_classes: int | None) -> int | None:
        """How many different labels there are: K classes, or the sets of labels; None if K is not known."""
        return num_classes if self.label_sets is None else len(self.label_sets)

    def read_labels(self) -> list[int]:
        """The class index of every sample `[N]`, -1 without one, if `labels` is None: by reading all samples.

        Raises:
            RunFailed: an image cannot be read.
        """
        return [self[index][1] for index in range(len(self))]

    def files(self) -> Files | None:
        """Sizes and times of the samples' files; None if samples are not files."""
        return None

    def content(self, index: int) -> bytes:
        """The content of the sample: its file's bytes, or its pixels and label if it is not a file.

        Raises:
            RunFailed: it cannot be read.
        """
        image, label = self[index]
        height, width = size_of(image)
        return f"{mode_of(image)} {(width, height)} {label};".encode() + image.tobytes()


class Names:
    """A list of names in two arrays: millions of Python strings would be copied to every loader process."""

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return self._text[start : self._ends[index]].decode("utf-8", "surrogateescape")


def checked_index(index: int, size: int) -> int:
    """`index` as a position from 0.

    Raises:
        IndexError: it is out of range (this also ends a `for` loop over a source).
    """
    if not -size <= index < size:
        raise IndexError(f"index {index} of {size} samples")
    return index % size


def decode(data: bytes, name: str, index: int, rule: PixelRule = PixelRule()) -> Decoded:  # noqa: B008  # frozen
    """Decode an image file completely: to Pillow's image, or to an array where the file is one.

    Raises:
        Refused: its values or channels are not what the rule wants.
        RunFailed: the data is not an image or is truncated; the message names file and index.
    """
    try:
        return _decoded(data, rule)
    except UnknownRange as error:
        raise Refused(f"image {index} cannot be used: {name}: {error}") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise unreadable(name, index, error, data) from error


def _decoded(data: bytes, rule: PixelRule) -> Decoded:
    if data.startswith(NUMPY):
        return read_npy(data, rule)
    if rule.exact:
        if data.startswith(TIFF):
            return read_tiff(data)
        if rule.value_range is not None and _pillow_scales(data):
            raise UnknownRange(
                "Pillow scales its values when it reads them, so that data.value_range cannot be used\n"
                "    Save it as TIFF or .npy."
            )
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        if not data.startswith(TIFF) or find_spec("tifffile") is None:
            raise
        return _tiff_without_pillow(data, error)
    image.load()
    return image


def _tiff_without_pillow(data: bytes, error: Exception) -> Decoded:
    """A TIFF that Pillow does not know, such as floating-point RGB; a damaged one raises Pillow's error."""
    try:
        return read_tiff(data)
    except UnknownRange:
        raise
    except Exception:
        raise error from None


def _pillow_scales(data: bytes) -> bool:
    """Whether Pillow scales its values: a PNG with 16 bits, unless it is grey alone; PGM and PPM with more than 8."""
    if data.startswith(_PNG):
        return len(data) > _PNG_COLOUR and data[_PNG_BITS] == 16 and data[_PNG_COLOUR] in (2, 4, 6)
    found = _NETPBM.match(data)
    return found is not None and (int(found[1]) > 255 if data[1] in b"36" else 255 < int(found[1]) < 65535)


def unreadable(name: str, index: int, error: Exception, data: bytes | None = None) -> Unreadable:
    """The error for an image that cannot be read; `data` is the file's content where it is known."""
    return Unreadable(f"image {index} cannot be read: {name}: {reason(error, data)}\n    {SKIP}")
