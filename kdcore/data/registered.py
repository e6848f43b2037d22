"""Datasets that plugins declare (and torchvision's, which look the same) as sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from kdcore.data.source import Source, Unreadable, checked_index, unreadable
from kdcore.errors import KdError, RunFailed
from kdcore.plugins.importing import cause

if TYPE_CHECKING:
    from torch import Tensor


class WrappedSource(Source):
    """A map-style dataset of (PIL image, class index) pairs.

    The dataset may tell more than its samples: `targets` or `labels` (a class index for each sample),
    `classes` (names), `in_memory`, `fixed`.

    Args:
        dataset: the pairs.
        title: what messages call it.
        num_classes: K; None: what the dataset tells.
        plugin: whose code it is, for messages: plugin, name and version; None: a library's.

    Raises:
        ValueError: it has no length or items, is empty, or its labels are no class index for each.
    """

    def __init__(self, dataset: Any, title: str, num_classes: int | None, plugin: str | None = None) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(f"it gave {type(dataset).__name__}, which has no len() or no items")
        if len(dataset) == 0:
            raise ValueError("it is empty")
        self._dataset = dataset
        self._title = title
        self._plugin = plugin
        self.in_memory = bool(getattr(dataset, "in_memory", False))
        self.fixed = bool(getattr(dataset, "fixed", plugin is None))
        self.labels = _labels(dataset)
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, Sequence) and not isinstance(classes, str) and classes:
            self.classes = tuple(str(name) for name in classes)
        if self.labels is not None:
            self.labelled = bool((self.labels >= 0).any())
        else:
            self.labelled = self[0][1] >= 0
        self.num_classes = num_classes or (None if self.classes is None else len(self.classes))
        if self.num_classes is None and self.labels is not None and self.labelled:
            self.num_classes = int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        index = checked_index(index, len(self))
        try:
            image, label = self._dataset[index]
        except KdError:
            raise
        except Exception as error:
            if self._plugin is None or isinstance(error, OSError):  # a file, not the code
                raise unreadable(self.name(index), index, error) from error
            # it may be told by another process, where the exception's traceback is lost
            raise Unreadable(
                f"image {index} cannot be read: {self.name(index)}: {cause(error)}, in the code of {self._plugin}"
            ) from error
        if not isinstance(image, Image.Image):
            kind = type(image).__name__
            raise RunFailed(
                f"{self.name(index)} is {kind}; a dataset gives pairs of PIL image and class index"
            )
        return image, -1 if label is None else int(label)

    def name(self, index: int) -> str:
        """The dataset and the sample's number."""
        return f"{self._title}[{index}]"


def _labels(dataset: Any) -> Tensor | None:
    for attribute in ("targets", "labels"):
        values = getattr(dataset, attribute, None)
        if values is None:
            continue
        try:
            labels = torch.as_tensor(values)  # it may share the dataset's memory
        except (TypeError, ValueError, RuntimeError):
            continue  # something else of that name
        if labels.dim() != 1 or len(labels) != len(dataset) or labels.is_floating_point():
            raise ValueError(
                f"its {attribute} are not one class index for each of the {len(dataset)} samples"
            )
        return labels.to(torch.int64, copy=True)
    return None
