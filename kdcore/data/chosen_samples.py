"""Some samples of a source, such as the images of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kdcore.data.source import Files, Source, checked_index
from kdcore.data.subset import balanced_draw, draw_labels

if TYPE_CHECKING:
    from kdcore.data.draws import Positions
    from kdcore.data.pixels import Decoded


class ChosenSource(Source):
    """The samples of a source at some positions, in the order of the positions."""

    def __init__(self, source: Source, positions: Positions) -> None:
        self._source, self._positions = source, positions
        self.classes, self.num_classes = source.classes, source.num_classes
        self.labelled, self.in_memory, self.fixed = source.labelled, source.in_memory, source.fixed
        self.split, self.notes = source.split, source.notes
        chosen = torch.from_numpy(np.asarray(positions, dtype=np.int64))
        if source.labels is not None:
            self.labels = source.labels[chosen]
        self.label_sets = source.label_sets
        if source.weights is not None:
            self.weights = source.weights[chosen]

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        return self._source[int(self._positions[checked_index(index, len(self))])]

    def name(self, index: int) -> str:
        """The name of the sample in the whole source."""
        return self._source.name(int(self._positions[index]))

    def key(self, index: int) -> str | None:
        """The key of the sample in the whole source."""
        return self._source.key(int(self._positions[index]))

    def files(self) -> Files | None:
        """Sizes and times of these samples' files."""
        found = self._source.files()
        if found is None:
            return None
        return Files(found.sizes[np.asarray(self._positions, dtype=np.int64)], found.modified)

    def content(self, index: int) -> bytes:
        """The content of the sample in the whole source."""
        return self._source.content(int(self._positions[index]))


def at_most(source: Source, most: int | None) -> Source:
    """The source itself, or `most` of its samples: balanced over classes if they are known, otherwise evenly spaced.

    The choice is always the same; a stream is returned whole.
    """
    if most is None or source.stream or len(source) <= most:
        return source
    if source.labels is None:
        return ChosenSource(source, np.linspace(0, len(source) - 1, most).round().astype(np.int64))
    return ChosenSource(source, np.sort(balanced_draw(draw_labels(source), 0)[:most]))
