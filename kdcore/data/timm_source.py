"""Sources for all datasets of timm's factory (`torch/cifar10`, `hfds/...`, `hfids/...`)."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kdcore.data.cache import cache_dir
from kdcore.data.folder import open_folder
from kdcore.data.hf_stream import HfStream
from kdcore.data.registered import WrappedSource
from kdcore.data.source import Source, checked_index, decode, unreadable
from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import KdError, Problem, UserError
from kdcore.spec.timm_datasets import KINDS, TORCH_FOLDERS, check_access

if TYPE_CHECKING:
    from kdcore.data.pixels import Decoded
    from kdcore.spec.models import DataSpec


class ReaderSource(Source):
    """A dataset with one of timm's readers that return undecoded images.

    timm's own dataset silently replaces an image that cannot be read with the next one; this class raises an error.
    """

    fixed = True
    numbered = True

    def __init__(self, dataset: Any, title: str) -> None:
        self._reader = dataset.reader
        self._title = title
        classes: dict[str, int] = getattr(self._reader, "class_to_idx", None) or {}
        if classes:
            self.classes = tuple(sorted(classes, key=lambda name: classes[name]))
        column = self._reader.dataset[self._reader.label_key]
        self.labels = torch.tensor(
            [UNLABELLED if label is None else label for label in column], dtype=torch.int64
        )
        self.labelled = bool((self.labels >= 0).any())
        if self.classes is not None:
            self.num_classes = len(self.classes)
        elif self.labelled:
            self.num_classes = int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        try:
            file, label = self._reader[index]
            with file:
                data = file.read()
        except Exception as error:
            raise unreadable(self.name(index), index, error) from error
        return decode(data, self.name(index), index, self.rule), -1 if label is None else int(label)

    def name(self, index: int) -> str:
        """The dataset and the number of the sample."""
        return f"{self._title}[{index}]"


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


def open_timm(data: DataSpec, split: str, *, where: str, dataset_where: str) -> Source:
    """A split of a dataset of timm's factory, downloaded if the library can do that.

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
            source: Source = HfStream(found, root, split, data.num_classes, samples)
        elif KINDS[prefix].stream:
            source = StreamSource(options, data.num_classes, samples)
        elif prefix == "torch":
            source = WrappedSource(_create(**options), name, None)
        else:
            source = ReaderSource(_create(**options), name)
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
    if source.stream and source.num_classes is None:
        classes_where = dataset_where.rpartition(".")[0] + ".num_classes"
        raise UserError(
            Problem(
                classes_where, f"{name} does not report its number of classes", hint=f"set {classes_where}"
            )
        )
    return source


def _create(**options: Any) -> Any:
    from timm.data.dataset_factory import create_dataset

    if options["root"] is not None:
        Path(options["root"]).mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        return create_dataset(**options, search_split=False, trust_remote_code=False)
