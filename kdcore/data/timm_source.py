"""Sources for all datasets of timm's factory (`torch/cifar10`, `hfds/...`, `hfids/...`)."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.data.cache import cache_dir
from kdcore.data.folder import open_folder
from kdcore.data.hf_stream import HfStream
from kdcore.data.label_sets import LabelSets
from kdcore.data.registered import WrappedSource
from kdcore.data.source import Source, checked_index, decode, unreadable
from kdcore.data.special_targets import UNLABELLED, whole_label
from kdcore.errors import KdError, Problem, UserError, listed, nearest
from kdcore.spec.hub_options import HubOptions
from kdcore.spec.timm_datasets import KINDS, TORCH_FOLDERS, check_access, unknown_class_count

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.data.pixels import Decoded
    from kdcore.spec.models import DataSpec


IMAGE: Final = "image"
LABELS: Final = ("label", "labels")
"""The columns of a Hugging Face dataset that are read by default."""


class ReaderSource(Source):
    """A dataset with one of timm's readers that return undecoded images.

    timm's own dataset silently replaces an image that cannot be read with the next one; this class raises an error.
    Lists in the column of labels are several labels an image; None stands for labels that are not known.

    Args:
        dataset: timm's.
        title: its name in messages.
        num_classes: K of lists of numbers without names; None: not known.
        labels: whether labels are read.

    Raises:
        ValueError: the column of labels has something else, or K of lists is not known.
    """

    fixed = True
    numbered = True

    def __init__(
        self, dataset: Any, title: str, num_classes: int | None = None, *, labels: bool = True
    ) -> None:
        self._reader = dataset.reader
        self._title = title
        if not labels:
            self._reader.label_key = self._reader.image_key  # there may be no column of labels
            self.labels, self.labelled = torch.full((len(self._reader),), UNLABELLED), False
            return
        classes: dict[str, int] = getattr(self._reader, "class_to_idx", None) or {}
        if classes:
            self.classes = tuple(sorted(classes, key=lambda name: classes[name]))
        column = list(self._reader.dataset[self._reader.label_key])
        if any(isinstance(label, list) for label in column):
            count = len(classes) or num_classes
            self.label_sets, self.labels = _sets(column, count, self._reader.label_key)
        else:
            self.labels = torch.tensor(_numbers(column, self._reader.label_key), dtype=torch.int64)
        self.labelled = bool((self.labels >= 0).any())
        if self.label_sets is not None:
            self.num_classes = self.label_sets.num_labels
        elif self.classes is not None:
            self.num_classes = len(self.classes)
        elif self.labelled:
            self.num_classes = int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        try:
            file, _ = self._reader[index]
            with file:
                data = file.read()
        except Exception as error:
            raise unreadable(self.name(index), index, error) from error
        assert self.labels is not None
        return decode(data, self.name(index), index, self.rule), int(self.labels[index])

    def name(self, index: int) -> str:
        """The dataset and the number of the sample."""
        return f"{self._title}[{index}]"


def _numbers(column: list[Any], name: str) -> list[int]:
    """The class index of each sample, -1 without one."""
    try:
        return [whole_label(label) for label in column]
    except ValueError as error:
        raise ValueError(f"in its column '{name}' {error}") from error


def _sets(column: list[Any], num_classes: int | None, name: str) -> tuple[LabelSets, Tensor]:
    """The sets of labels of a column of lists of indices, and the number of each sample's `[N]`."""
    if num_classes is None:
        raise ValueError(
            f"the labels in its column '{name}' have no names: set data.num_classes to their number"
        )
    rows = torch.zeros(len(column), num_classes, dtype=torch.int8)
    known = torch.ones(len(column), dtype=torch.bool)
    for number, labels in enumerate(column):
        if labels is None:
            known[number] = False
        elif not isinstance(labels, list) or any(
            not isinstance(label, int) or not 0 <= label < num_classes for label in labels
        ):
            raise ValueError(
                f"its column '{name}' has {labels!r}; several labels an image are a list of indices from 0 to "
                f"{num_classes - 1}"
            )
        else:
            rows[number, labels] = 1
    return LabelSets.of(rows, known)


class StreamSource(Source):
    """A dataset whose samples can only be read one after another: no index, no labels in advance, no subset.

    `open()` creates the iterable dataset again, because timm's readers fix shuffling and batch size when created.
    """

    stream = True

    def __init__(self, options: dict[str, Any], num_classes: int | None, samples: int | None = None) -> None:
        self._options = options
        self._opened = False
        self.title = str(options["name"])
        first = self.open(training=False, seed=0, batch_size=1)
        classes: dict[str, int] = getattr(first.reader, "class_to_idx", None) or {}
        if classes:
            self.classes = tuple(sorted(classes, key=lambda name: classes[name]))
        self.num_classes = len(classes) or num_classes
        self._size = samples or int(getattr(first.reader, "num_samples", 0) or 0)

    def __len__(self) -> int:
        return self._size  # 0: unknown

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        raise TypeError(f"{self.title} is a stream: its samples have no index")

    def open(self, *, training: bool, seed: int, batch_size: int) -> Any:
        """Timm's iterable dataset, shuffled by `seed` and epoch when training."""
        level = logging.root.manager.disable
        if self._opened:  # timm has warned about this dataset, and would warn again in each epoch
            logging.disable(max(level, logging.WARNING))
        self._opened = True
        try:
            return _create(is_training=training, seed=seed, batch_size=batch_size, **self._options)
        finally:
            logging.disable(level)


def open_timm(data: DataSpec, split: str, *, where: str, dataset_where: str, labels: bool = True) -> Source:
    """A split of a dataset of timm's factory, downloaded if the library can do that.

    Without `labels`, a Hugging Face dataset needs no column of labels.

    Raises:
        UserError: the name or split is unknown, a library is missing, or the dataset cannot be opened.
    """
    name = data.dataset
    check_access(name, split, data.root, where=where, dataset_where=dataset_where)
    prefix, _, rest = name.partition("/")
    prefix, rest = prefix.lower(), rest.lower().rpartition("/")[2]
    if prefix == "torch" and rest in TORCH_FOLDERS:
        if data.root is None:
            root_where = dataset_where.rpartition(".")[0] + ".root"
            raise UserError(Problem(root_where, f"{name} needs the folder of the images here"))
        return open_folder(Path(data.root), split, where=where)
    root = data.root
    if prefix == "torch":
        root = str(cache_dir() / "datasets") if root is None else root
    options: dict[str, Any] = {
        "name": name,
        "root": root,
        "split": split,
        "download": prefix in ("torch", "tfds"),
        # readers other than tfds would convert with Pillow alone, which clips 16 bits
        "input_img_mode": ("L" if data.channels == 1 else "RGB") if prefix == "tfds" else "",
    }
    samples = data.epoch_samples if where == "data.train_split" else None
    try:
        if prefix == "hfids":
            found = name.partition("/")[2]
            source: Source = HfStream(found, root, split, data.num_classes, samples, labels=labels)
        elif KINDS[prefix].stream:
            source = StreamSource(options, data.num_classes, samples)
        elif prefix == "torch":
            source = WrappedSource(_create(**options), name, None)
        else:
            section = dataset_where.rpartition(".")[0]
            dataset = _with_columns(options, data, f"{section}.options", labels)
            source = ReaderSource(dataset, name, data.num_classes, labels=labels)
    except KdError:
        raise
    except Exception as error:  # each library has its own errors: files, network, hubs, asserts
        detail = str(error) or type(error).__name__
        raise UserError(
            Problem(
                dataset_where,
                f"{name}, split '{split}', cannot be opened: {detail}",
                hint=f"It was looked for in {root}." if root is not None else None,
            )
        ) from error
    if labels and source.stream and source.num_classes is None:
        raise unknown_class_count(name, dataset_where)
    return source


def _with_columns(options: dict[str, Any], data: DataSpec, where: str, labels: bool) -> Any:
    """A Hugging Face dataset with the columns that `data.options` names, or the usual ones.

    Raises:
        UserError: it has no such column.
    """
    given = HubOptions.model_validate(data.options)
    image, label = given.image or IMAGE, given.label or LABELS[0]
    dataset = _create(**options, input_key=image, target_key=label)
    columns = getattr(dataset.reader.dataset, "column_names", None)
    if columns is None or not labels or label in columns or "," in label or "/" in label:
        return dataset
    if given.label is None and LABELS[1] in columns:
        return _create(**options, input_key=image, target_key=LABELS[1])
    message = f"{data.dataset} has no column '{label}'"
    hint = 'name the column of its labels: "options": {"label": COLUMN}; "task": {"kind": "none"} reads none'
    others = listed(name for name in columns if name != image)
    raise UserError(
        Problem(f"{where}.label", message, given.label, others, nearest(label, columns), hint=hint)
    )


def _create(**options: Any) -> Any:
    from timm.data.dataset_factory import create_dataset

    if options["root"] is not None:
        Path(options["root"]).mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        return create_dataset(**options, search_split=False, trust_remote_code=False)
