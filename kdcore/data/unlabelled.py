"""`data.unlabelled`: images without labels that are added to the training images."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from kdcore.data.chosen_samples import ChosenSource
from kdcore.data.folder import FolderSource
from kdcore.data.left_out import LeftOut
from kdcore.data.open_archive import open_archive
from kdcore.data.pixels import PixelRule
from kdcore.data.source import Files, Source, checked_index
from kdcore.data.special_targets import UNLABELLED
from kdcore.data.table import open_table
from kdcore.data.walk import images_below, top_level
from kdcore.errors import Problem, UserError
from kdcore.spec.datasets import ARCHIVES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.data.pixels import Decoded
    from kdcore.spec.models import DataSpec

WHERE: Final = "data.unlabelled"
_READING: Final = ("path", "delimiter", "encoding")
"""The options of a table that count for a second table, too."""


class JoinedSource(Source):
    """The samples of a source, and after them those of another one, whose labels are not read.

    Their keys begin with the name of their folder, tar, zip or table.
    """

    def __init__(self, labelled: Source, others: Source, name: str) -> None:
        self._parts, self._name = (labelled, others), name
        self._first = len(labelled)
        self.classes, self.num_classes, self.labelled = (
            labelled.classes,
            labelled.num_classes,
            labelled.labelled,
        )
        self.label_sets = labelled.label_sets
        self.split, self.notes = labelled.split, tuple(dict.fromkeys(labelled.notes + others.notes))
        self.fixed = labelled.fixed and others.fixed
        assert labelled.labels is not None
        self.labels = torch.cat([labelled.labels, torch.full((len(others),), UNLABELLED)])
        if labelled.weights is not None:
            self.weights = torch.cat([labelled.weights, torch.ones(len(others), dtype=torch.float64)])

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        source, own = self._of(checked_index(index, len(self)))
        image, label = source[own]
        return image, label if source is self._parts[0] else UNLABELLED

    def name(self, index: int) -> str:
        """The name in its own source."""
        source, own = self._of(index)
        return source.name(own)

    def key(self, index: int) -> str | None:
        """The key in its own source; see above."""
        source, own = self._of(index)
        key = source.key(own)
        return key if source is self._parts[0] or key is None else f"{self._name}/{key}"

    def files(self) -> Files | None:
        """Sizes and times of all files; None if some samples are not files."""
        found = [source.files() for source in self._parts]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return Files(np.concatenate([one.sizes for one in known]), max(one.modified for one in known))

    def content(self, index: int) -> bytes:
        """The content of the sample."""
        source, own = self._of(index)
        return source.content(own)

    def _of(self, index: int) -> tuple[Source, int]:
        return (self._parts[0], index) if index < self._first else (self._parts[1], index - self._first)


def with_unlabelled(train: Source, measured: Iterable[Source], data: DataSpec) -> Source:
    """The training images, and those of `data.unlabelled` that are neither among them nor in the splits to measure on.

    Raises:
        UserError: the images cannot be listed, there are none, or the dataset is a stream.
        RunFailed: a compressed archive cannot be unpacked into the cache.
    """
    if data.unlabelled is None:
        return train
    if train.stream:
        message = "images cannot be added to a stream"
        raise UserError(Problem(WHERE, message, data.unlabelled, "null"))
    if train.labels is None:
        message = f"the labels of {data.dataset} are not known before its images are read"
        hint = "the dataset needs an attribute 'labels' with all labels"
        raise UserError(Problem(WHERE, message, data.unlabelled, hint=hint))
    path = Path(data.unlabelled)
    others = _opened(path, data)
    others.rule = PixelRule.of(data)
    names = set().union(*map(_files, (train, *measured)))
    keep = [index for index in range(len(others)) if os.path.abspath(others.name(index)) not in names]  # noqa: PTH100
    if not keep:
        message = f"there are no images in {path}"
        if len(others):
            message = f"all {len(others):,} images in {path} are those of the data already"
        raise UserError(Problem(WHERE, message, data.unlabelled))
    if len(keep) < len(others):
        left = len(others) - len(keep)
        note = f"{path}: {left:,} of {len(others):,} images are left out: they are in the data already"
        notes = (*others.notes, note)
        others = ChosenSource(others, np.array(keep, dtype=np.int64))
        others.notes = notes
    return JoinedSource(train, others, path.name)


def _files(source: Source) -> set[str]:
    """The absolute paths of a source's files, as far as it has any."""
    return {os.path.abspath(source.name(index)) for index in range(len(source))}  # noqa: PTH100  # a million times


def _opened(path: Path, data: DataSpec) -> Source:
    """The images of a folder, tar, zip or table."""
    lower = str(path).lower()
    try:
        if lower.endswith(TABLES):
            own = data.options if data.dataset.lower().endswith(TABLES) else {}
            options = {name: own[name] for name in _READING if own.get(name) is not None}
            plain = data.model_copy(update={"options": options, "sampling": "shuffled"})
            return open_table(path, plain, "", where=WHERE, labels=False)
        if lower.endswith(ARCHIVES):
            return open_archive(path, "", where=WHERE, dataset_where=WHERE, labels=False)
    except UserError as error:
        raise UserError(dataclasses.replace(problem, where=WHERE) for problem in error.problems) from error
    left = LeftOut()
    try:
        folders, images = top_level(path, left)
        files = [str(path / name) for name in images]
        for folder in folders:
            files += images_below(path, folder, left)
    except OSError as error:
        raise UserError(Problem(WHERE, f"the images cannot be listed: {error}", value=str(path))) from error
    source = FolderSource(files, [UNLABELLED] * len(files), None, path)
    source.notes = left.notes(str(path))
    return source
