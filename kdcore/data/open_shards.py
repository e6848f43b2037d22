"""`open_shards`: from a folder and a split to the shards of a webdataset, of Parquet or of Arrow."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.column_shards import ArrowShard, Columns, ParquetShard, arrow_table, labels_of
from kdcore.data.shard_order import Shards
from kdcore.data.shards import ShardSource
from kdcore.data.web_shards import WebShard
from kdcore.errors import KdError, Problem, UserError, listed
from kdcore.spec.timm_datasets import check_access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data.shards import Shard
    from kdcore.spec.models import DataSpec

ENDINGS: Final = {
    "wds": (".tar", ".tar.gz", ".tgz"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
}
_INFO: Final = ("_info.json", "info.json")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_MOST_LABELS: Final = 50_000_000  # of more samples, labels are read with the images


@dataclass(frozen=True)
class _Info:
    """What a webdataset's `_info.json` says.

    Attributes:
        files: the shards of the split, relative to the root; None if it does not name the split.
        sizes: the number of samples by shard, of all splits.
        label: see `WebShard`.
    """

    files: list[str] | None = None
    sizes: dict[Path, int] = field(default_factory=dict)
    label: str = ""


@dataclass
class _Found:
    """The parts of a split, one after another."""

    names: list[str] = field(default_factory=list)
    parts: list[Shard] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    loaded: list[int] = field(default_factory=list)
    labels: list[np.ndarray[Any, Any]] | None = field(default_factory=list)
    classes: tuple[str, ...] | None = None

    def add(
        self, name: str, part: Shard, size: int, loaded: int, labels: np.ndarray[Any, Any] | None
    ) -> None:
        """Add a part, unless it is empty."""
        if size:
            self.names.append(name)
            self.parts.append(part)
            self.sizes.append(size)
            self.loaded.append(loaded)
            if self.labels is not None and labels is not None:
                self.labels.append(labels)


def open_shards(
    data: DataSpec, split: str, *, where: str, dataset_where: str, labels: bool = True
) -> ShardSource:
    """A split in shards in the folder `data.root`; without `labels` the number of classes need not be known.

    Raises:
        UserError: the split has no shards, or one of them cannot be read.
    """
    check_access(data.dataset, split, data.root, where=where, dataset_where=dataset_where)
    kind = data.dataset.partition("/")[0].lower()
    root = Path(str(data.root)).absolute()
    info = _info(root, split, dataset_where) if kind == "wds" else _Info()
    paths = _paths(root, split, kind, info, where)
    found = _Found()
    for path in paths:
        try:
            _ADD[kind](found, path, info)
        except KdError as error:
            raise UserError(Problem(dataset_where, str(error))) from error
        except Exception as error:  # each format's library has its own errors
            message = f"the shard {path} cannot be read: {str(error) or type(error).__name__}"
            raise UserError(Problem(dataset_where, message)) from error
        if found.labels is not None and sum(found.sizes) > _MOST_LABELS:
            found.labels = None
    if not found.parts:
        raise UserError(Problem(where, f"the {len(paths)} shards in {root} have no samples", value=split))
    classes = None if found.labels is None else torch.from_numpy(np.concatenate(found.labels))
    sizes, loaded = (np.array(values, dtype=np.int64) for values in (found.sizes, found.loaded))
    shards = Shards(tuple(found.names), sizes, loaded, tuple(paths))
    try:
        source = ShardSource(f"{kind}/", shards, found.parts, classes)
    except KdError as error:
        raise UserError(Problem(dataset_where, str(error))) from error
    source.split = split
    source.classes = found.classes
    source.num_classes = _num_classes(source, data, dataset_where) if labels else None
    return source


def _num_classes(source: ShardSource, data: DataSpec, dataset_where: str) -> int | None:
    if source.classes is not None:
        return len(source.classes)
    if source.labels is not None and source.labelled:
        return int(source.labels.max()) + 1
    if source.labelled and data.num_classes is None:
        where = f"{dataset_where.rpartition('.')[0]}.num_classes"
        message = f"{source.title} does not report its number of classes"
        raise UserError(Problem(where, message, hint=f"set {where}"))
    return data.num_classes if source.labelled else None


# -- files -----------------------------------------------------------------------------------------------------


def _info(root: Path, split: str, where: str) -> _Info:
    file = next((root / name for name in _INFO if (root / name).is_file()), None)
    if file is None:
        return _Info()
    try:
        splits = json.loads(file.read_text())["splits"]
        sizes = {
            root / str(name): int(size)
            for one in splits.values()
            for name, size in zip(one["filenames"], one.get("shard_lengths", ()), strict=False)
        }
        if split not in splits:
            return _Info(None, sizes)
        own = splits[split]
        return _Info([str(name) for name in own["filenames"]], sizes, str(own.get("alt_label", "")))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        message = f"{file} has no splits with 'filenames' and 'shard_lengths': {error}"
        raise UserError(Problem(where, message)) from error


def _paths(root: Path, split: str, kind: str, info: _Info, where: str) -> list[Path]:
    """The files of a split, in the order of their names."""
    endings = ENDINGS[kind]
    pattern = split.partition("|")[0]
    if pattern.lower().endswith(endings):
        names = [name for one in pattern.split("::") for name in expand(one)]
    elif info.files is not None:
        names = info.files
    else:
        names = _named(root, split, endings)
        if not names:
            raise UserError(_no_split(root, split, endings, where))
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        message = f"{len(missing)} of {len(names)} shards are not in {root}: {listed(missing)}"
        raise UserError(Problem(where, message, value=split))
    return [root / name for name in names]


def _named(root: Path, split: str, endings: tuple[str, ...]) -> list[str]:
    """Files like train-0001.tar, train/0001.tar or data/train-0001.parquet."""
    found = []
    for path in _files(root, endings):
        name = path.relative_to(root).as_posix()
        start = name.removeprefix("data/")
        if start.startswith(split) and not start[len(split) : len(split) + 1].isalnum():
            found.append(name)
    return sorted(found)


def _files(root: Path, endings: tuple[str, ...]) -> list[Path]:
    folders = [root, *(entry for entry in sorted(root.iterdir()) if entry.is_dir())]
    return [
        entry
        for folder in folders
        for entry in sorted(folder.iterdir())
        if entry.is_file() and entry.name.lower().endswith(endings)
    ]


def _no_split(root: Path, split: str, endings: tuple[str, ...], where: str) -> Problem:
    there = [path.relative_to(root).as_posix() for path in _files(root, endings)]
    message = (
        f"there are no shards of this split in {root}: no {split}-*{endings[0]}, no {split}/*{endings[0]}"
    )
    hint = f"There are {listed(there)}." if there else f"There is no file that ends in {', '.join(endings)}."
    return Problem(where, message, split, f"a split, or files: '{split}-{{000..009}}{endings[0]}'", hint=hint)


def expand(pattern: str) -> Iterator[str]:
    """The names of a pattern such as 'a-{000..009}.tar' or '{a,b}.tar'."""
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    limits = _RANGE.fullmatch(found[1])
    if limits is None:
        choices = found[1].split(",")
    else:
        first, last = int(limits[1]), int(limits[2])
        choices = [str(number).zfill(len(limits[1])) for number in range(first, last + 1)]
    for choice in choices:
        yield from expand(pattern[: found.start()] + choice + pattern[found.end() :])


# -- parts -----------------------------------------------------------------------------------------------------


def _add_tar(found: _Found, path: Path, info: _Info) -> None:
    part = WebShard(path, info.label)
    size = info.sizes.get(path)
    if size is not None:
        found.labels = None  # they are read with the images
        found.add(path.name, part, size, 0, None)
        return
    opened = part.open()
    found.add(path.name, part, len(opened), 0, opened.labels)


def _add_parquet(found: _Found, path: Path, info: _Info) -> None:
    parquet = import_module("pyarrow.parquet")

    with parquet.ParquetFile(path) as file:
        columns = _columns(found, file.schema_arrow)
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            labels = None
            if found.labels is not None:
                labels = np.full(about.num_rows, -1)
                if columns.label is not None:
                    labels = labels_of(file.read_row_group(group, columns=[columns.label]).column(0))
            name = path.name if file.num_row_groups == 1 else f"{path.name}, row group {group}"
            found.add(name, ParquetShard(path, columns, group), about.num_rows, about.total_byte_size, labels)


def _add_arrow(found: _Found, path: Path, info: _Info) -> None:
    table = arrow_table(path)
    columns = _columns(found, table.schema)
    labels = np.full(len(table), -1) if columns.label is None else labels_of(table.column(columns.label))
    found.add(path.name, ArrowShard(path, columns), len(table), 0, labels)


def _columns(found: _Found, schema: Any) -> Columns:
    columns = Columns.of(schema)
    found.classes = columns.classes or found.classes
    return columns


_ADD: Final = {"wds": _add_tar, "parquet": _add_parquet, "arrow": _add_arrow}
