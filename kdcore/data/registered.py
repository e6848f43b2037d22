"""Sources for the datasets of plugins, and for torchvision's, which have the same form."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kdcore.data.label_sets import LabelSets, note_on_partial
from kdcore.data.source import Source, Unreadable, checked_index, unreadable
from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import KdError, RunFailed, shown
from kdcore.plugins.importing import cause

if TYPE_CHECKING:
    from kdcore.data.pixels import Decoded


class WrappedSource(Source):
    """A map-style dataset of (PIL image, class index) pairs; -1 or None instead of an index: no label.

    With several labels an image it has an attribute `targets` or `labels`, `[N, K]`, of 0 and 1, or of -1 in the whole
    row of a sample whose labels are not known; the second value of its pairs is then not read.

    The dataset may have more attributes: `targets` or `labels` (a class index for each sample), `classes` (names),
    `weights` (a number for each sample), `in_memory`, `fixed`. It needs the first one if only some samples have a
    label.

    Args:
        dataset: the pairs.
        title: its name in messages.
        num_classes: K; None: the number that the dataset reports.
        plugin: the plugin of the dataset, for messages: name and version; None: it belongs to a library.

    Its length is that of the moment when it is opened: the order of the samples depends on it.

    Raises:
        ValueError: it has no length or items, is empty, its labels are not one class index per sample, or it has names
            of another number of classes.
        RunFailed: its first sample is not such a pair.
    """

    numbered = True

    def __init__(self, dataset: Any, title: str, num_classes: int | None, plugin: str | None = None) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(f"it gave {type(dataset).__name__}, which does not have len() or items")
        self._size = len(dataset)
        if self._size == 0:
            raise ValueError("it is empty")
        self._dataset = dataset
        self._title = title
        self._plugin = plugin
        self.by = "" if plugin is None else f" (dataset {plugin})"
        self.in_memory = bool(getattr(dataset, "in_memory", False))
        self.fixed = bool(getattr(dataset, "fixed", plugin is None))
        self.labels, self.label_sets = _labels(dataset)
        self.weights = _weights(dataset)
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str) and len(classes):
            self.classes = tuple(str(name) for name in classes)
        if num_classes is not None and self.classes is not None and len(self.classes) != num_classes:
            raise ValueError(
                f"its attribute 'classes' has {len(self.classes)} names, and it is declared with {num_classes} classes"
            )
        if self.labels is not None:
            self.labelled = bool((self.labels >= 0).any())
        else:
            self.labelled = self[0][1] >= 0
        if self.label_sets is not None and self.labels is not None:
            self.notes = note_on_partial(title, self.label_sets, self.labels, self.classes)
        self.num_classes = num_classes or (None if self.classes is None else len(self.classes))
        if self.num_classes is None and self.labels is not None and self.labelled:
            sets = self.label_sets
            self.num_classes = int(self.labels.max()) + 1 if sets is None else sets.num_labels

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, self._size)
        try:
            sample = self._dataset[index]
        except KdError:
            raise
        except Exception as error:
            if self._plugin is None or isinstance(error, OSError):  # the file is at fault, not the code
                raise unreadable(self.name(index), index, error) from error
            # the error may be shown by another process, without the traceback
            raise Unreadable(
                f"image {index} cannot be read: {self.name(index)}: {cause(error)}, in the code of {self._plugin}"
                f"{self._new_length()}"
            ) from error
        image, label = self._pair(sample, index)
        if self.label_sets is not None and self.labels is not None:
            return image, int(self.labels[index])
        return image, self._class_index(label, index)

    def _pair(self, sample: Any, index: int) -> tuple[Decoded, Any]:
        """A sample of the dataset; raises RunFailed if it is not a pair of an image and something else."""
        try:
            image, label = sample
        except (TypeError, ValueError):
            raise self._no_pair(f"{self.name(index)} is {_kind(sample)}") from None
        if not isinstance(image, Image.Image | np.ndarray):
            raise self._no_pair(f"the image of {self.name(index)} is {_kind(image)}")
        return image, label

    def _no_pair(self, found: str) -> RunFailed:
        return RunFailed(f"{found}; a dataset must give pairs of PIL image and class index{self.by}")

    def _class_index(self, label: Any, index: int) -> int:
        """A label as a class index; raises RunFailed if it is none."""
        if label is None:
            return UNLABELLED
        if isinstance(label, Tensor) and label.numel() == 1:
            label = label.item()
        try:
            number = operator.index(label)
        except TypeError:
            whole = isinstance(label, float | np.floating) and float(label).is_integer()
            number = int(label) if whole else UNLABELLED - 1
        if number < UNLABELLED:
            raise RunFailed(
                f"{self.name(index)} has the label {shown(label)}; a label must be a class index from 0, or -1 or "
                f"None for an image without one{self.by}"
            )
        return number

    def _new_length(self) -> str:
        """For a message: that the dataset has another length than when it was opened."""
        now = len(self._dataset)
        return "" if now == self._size else f"; len() was {self._size} when it was opened, and is {now} now"

    def name(self, index: int) -> str:
        """The dataset and the number of the sample."""
        return f"{self._title}[{index}]"


def _kind(value: Any) -> str:
    """A value for a message: its type, and of several values their number."""
    return (
        f"a {type(value).__name__} of {len(value)}"
        if isinstance(value, tuple | list)
        else type(value).__name__
    )


def _weights(dataset: Any) -> Tensor | None:
    try:
        weights = torch.as_tensor(getattr(dataset, "weights", None), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None  # it has none, or an attribute with this name and another meaning
    return weights.clone() if weights.shape == (len(dataset),) else None


def _labels(dataset: Any) -> tuple[Tensor | None, LabelSets | None]:
    """The labels `[N]` if they are known, and with several labels an image their sets."""
    for attribute in ("targets", "labels"):
        values = getattr(dataset, attribute, None)
        if values is None:
            continue
        if isinstance(values, list | tuple):
            values = [UNLABELLED if value is None else value for value in values]
        try:
            labels = torch.as_tensor(values)  # may share the dataset's memory
        except (TypeError, ValueError, RuntimeError):
            continue  # an attribute with this name and another meaning
        if labels.dim() == 2 and len(labels) == len(dataset) and labels.shape[1] > 1:
            sets, numbers = LabelSets.of(*_rows(labels, attribute))
            return numbers, sets
        if labels.dim() != 1 or len(labels) != len(dataset) or labels.is_floating_point():
            raise ValueError(
                f"its {attribute} are not one class index for each of the {len(dataset)} samples"
            )
        if int(labels.min()) < UNLABELLED:
            raise ValueError(
                f"its {attribute} have {int(labels.min())}; a label is a class index from 0, or -1 for none"
            )
        return labels.to(torch.int64, copy=True), None
    return None, None


def _rows(labels: Tensor, attribute: str) -> tuple[Tensor, Tensor]:
    """The labels `[N, K]` of 0, 1 and -1 for one that is not known, and which samples have known ones."""
    missing = (labels == UNLABELLED).all(dim=1)
    if not bool(((labels == 0) | (labels == 1) | (labels == UNLABELLED)).all()):
        raise ValueError(
            f"its {attribute} are {list(labels.shape)}: several labels an image, so they must be 0 or 1, or -1 for a "
            "label that is not known"
        )
    return labels, ~missing
