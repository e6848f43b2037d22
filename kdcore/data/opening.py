"""`open_split`: from what a spec says to a source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.data.folder import open_folder
from kdcore.data.held_out import held_out
from kdcore.data.hidden_labels import hide_labels
from kdcore.data.open_archive import open_archive
from kdcore.data.open_shards import open_shards
from kdcore.data.pixels import PixelRule
from kdcore.data.registered import WrappedSource
from kdcore.data.source import Unreadable
from kdcore.data.table import open_table
from kdcore.data.timm_source import open_timm
from kdcore.errors import KdError, Problem, RunFailed, UserError, listed
from kdcore.plugins.importing import cause
from kdcore.spec.data_spec import HELD_OUT
from kdcore.spec.datasets import ImageFiles, ImageTable, TimmDataset, resolve_dataset
from kdcore.spec.resolve import arguments, resolve_options
from kdcore.spec.timm_datasets import SHARDS

if TYPE_CHECKING:
    from kdcore.data.source import Source
    from kdcore.entries import DatasetEntry
    from kdcore.plugins import Plugins, Provided
    from kdcore.spec.models import DataSpec


def open_split(data: DataSpec, split: str, *, plugins: Plugins, where: str, labels: bool = True) -> Source:
    """One split of the spec's dataset: registered, files of images, shards, or known to timm's factory.

    `where` is the split's place in the spec, such as `data.train_split`; problems with the dataset are reported at
    `data.dataset`. Without `labels`, no label is read: the images of a folder or archive are all those below the split,
    and its folders are not classes.

    Raises:
        UserError: no such dataset or split, it cannot be opened, or K is not what `data.num_classes` says.
        RunFailed: a compressed archive cannot be unpacked.
    """
    if data.eval_fraction is not None and split in (HELD_OUT, data.train_split):
        whole = data.model_copy(update={"eval_fraction": None})
        source = open_split(whole, data.train_split, plugins=plugins, where="data.train_split", labels=labels)
        train, evaluation = held_out(source, data.eval_fraction)
        evaluation.split = HELD_OUT
        return evaluation if split == HELD_OUT else train
    section = where.rpartition(".")[0] or where
    dataset_where = f"{section}.dataset"
    source = _open(data, split, plugins, where, dataset_where, labels)
    source.split, source.rule = source.split or split, PixelRule.of(data)
    if not labels:
        return hide_labels(source)
    if source.num_classes is None and source.labelled:
        source.num_classes = data.num_classes
    if data.num_classes is not None and source.num_classes not in (None, data.num_classes):
        known_exactly = source.classes is not None or source.num_classes > data.num_classes
        if known_exactly:
            message = f"{data.dataset} has {source.num_classes} classes"
            raise UserError(Problem(f"{section}.num_classes", message, value=data.num_classes))
        source.num_classes = data.num_classes  # counted from labels: this split may lack the last classes
    return source


def check_same_classes(train: Source, evaluation: Source, *, where: str) -> None:
    """Raises UserError where two splits have classes of different names or number."""
    if train.classes is not None and evaluation.classes is not None:
        missing = set(train.classes) - set(evaluation.classes)
        extra = set(evaluation.classes) - set(train.classes)
        parts = [f"it lacks {listed(missing)}"] if missing else []
        parts += [f"it has {listed(extra)}, which the training split lacks"] if extra else []
        if not parts and train.classes != evaluation.classes:
            parts = ["they come in another order"]
        if parts:
            raise UserError(
                Problem(where, f"its classes are not those of the training split: {'; '.join(parts)}")
            )
    counts = (train.num_classes, evaluation.num_classes)
    exact = train.classes is not None and evaluation.classes is not None
    if exact and counts[0] != counts[1] and None not in counts:
        raise UserError(Problem(where, f"it has {counts[1]} classes, the training split {counts[0]}"))


def _open(
    data: DataSpec, split: str, plugins: Plugins, where: str, dataset_where: str, labels: bool
) -> Source:
    found = resolve_dataset(data, Path.cwd(), plugins, dataset_where)
    if isinstance(found, TimmDataset):
        if found.name.partition("/")[0].lower() in SHARDS:
            return open_shards(data, split, where=where, dataset_where=dataset_where, labels=labels)
        return open_timm(data, split, where=where, dataset_where=dataset_where, labels=labels)
    if isinstance(found, ImageFiles):
        if found.is_folder:
            return open_folder(found.path, split, where=where, labels=labels)
        return open_archive(found.path, split, where=where, dataset_where=dataset_where, labels=labels)
    if isinstance(found, ImageTable):
        return open_table(found.path, data, split, where=where, labels=labels)
    return _open_registered(found, data, split, plugins, where, dataset_where)


def _open_registered(
    provided: Provided[DatasetEntry],
    data: DataSpec,
    split: str,
    plugins: Plugins,
    where: str,
    dataset_where: str,
) -> Source:
    target = plugins.load(provided, dataset_where)
    section = dataset_where.rpartition(".")[0]
    options = resolve_options(provided, data.options, plugins, f"{section}.options")
    given = data.options if options is None else arguments(options)
    by = f"{provided.qualified} {provided.plugin.version}"
    try:
        opened = target(data.root, split, **given)
        return _wrapped(opened, provided, by, where)
    except UserError as error:
        raise UserError(
            dataclasses.replace(problem, where=problem.where or where) for problem in error.problems
        ) from error
    except KdError:
        raise
    except Exception as error:
        # with ValueError and OSError a dataset says what is wrong; anything else is a mistake in its code
        detail = str(error) if isinstance(error, ValueError | OSError) and str(error) else cause(error)
        problem = Problem(where, f"dataset {by} cannot be opened: {detail}", value=split)
        raise UserError(problem) from error


def _wrapped(opened: object, provided: Provided[DatasetEntry], by: str, where: str) -> Source:
    try:
        return WrappedSource(opened, provided.entry.name, provided.entry.num_classes, by)
    except Unreadable:  # a file may be at fault
        raise
    except RunFailed as error:  # what the dataset gives is of the wrong kind
        raise UserError(Problem(where, f"{error}")) from error
