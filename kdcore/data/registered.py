"""Sources for the datasets of plugins, and for torchvision's, which have the same form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from kdcore.data.label_sets import LabelSets, note_on_partial
from kdcore.data.source import Source, Unreadable, checked_index, unreadable
from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import KdError, RunFailed
from kdcore.plugins.importing import cause

if TYPE_CHECKING:
    from torch import Tensor

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

    Raises:
        ValueError: it has no length or items, is empty, or its labels are not one class index per sample.
    """

    numbered = True

    def __init__(self, dataset: Any, title: str, num_classes: int | None, plugin: str | None = None) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(f"it gave {type(dataset).__name__}, which does not have len() or items")
        if len(dataset) == 0:
            raise ValueError("it is empty")
        self._dataset = dataset
        self._title = title
        self._plugin = plugin
        self.in_memory = bool(getattr(dataset, "in_memory", False))
        self.fixed = bool(getattr(dataset, "fixed", plugin is None))
        self.labels, self.label_sets = _labels(dataset)
        self.weights = _weights(dataset)
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, Sequence) and not isinstance(classes, str) and classes:
            self.classes = tuple(str(name) for name in classes)
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
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        try:
            image, label = self._dataset[index]
        except KdError:
            raise
        except Exception as error:
            if self._plugin is None or isinstance(error, OSError):  # the file is at fault, not the code
                raise unreadable(self.name(index), index, error) from error
            # the error may be shown by another process, without the traceback
            raise Unreadable(
                f"image {index} cannot be read: {self.name(index)}: {cause(error)}, in the code of {self._plugin}"
            ) from error
        if not isinstance(image, Image.Image | np.ndarray):
            kind = type(image).__name__
            raise RunFailed(
                f"{self.name(index)} is {kind}; a dataset must give pairs of PIL image and class index"
            )
        if self.label_sets is not None and self.labels is not None:
            return image, int(self.labels[index])
        return image, UNLABELLED if label is None else int(label)

    def name(self, index: int) -> str:
        """The dataset and the number of the sample."""
        return f"{self._title}[{index}]"


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
