"""A split whose labels are not read, as `task.kind: "none"` wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kdcore.data.source import Files, Source
from kdcore.data.special_targets import UNLABELLED

if TYPE_CHECKING:
    from kdcore.data.pixels import Decoded


class HiddenLabels(Source):
    """The samples of a source, all without a label."""

    labelled = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.labels = torch.full((len(source),), UNLABELLED)
        self.weights, self.groups = source.weights, source.groups
        self.in_memory, self.fixed = source.in_memory, source.fixed
        self.numbered, self.shards = source.numbered, source.shards
        self.rule, self.split, self.notes = source.rule, source.split, source.notes

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        return self._source[index][0], UNLABELLED

    def name(self, index: int) -> str:
        """The name in the source."""
        return self._source.name(index)

    def key(self, index: int) -> str | None:
        """The key in the source."""
        return self._source.key(index)

    def files(self) -> Files | None:
        """Sizes and times of the files."""
        return self._source.files()

    def content(self, index: int) -> bytes:
        """The content of the sample."""
        return self._source.content(index)


def hide_labels(source: Source) -> Source:
    """The source without labels and classes."""
    if not source.stream:
        return HiddenLabels(source)
    source.classes, source.num_classes, source.labelled = None, None, False
    return source
