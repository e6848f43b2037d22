"""`open_shards`: from a folder and a split to the shards of a webdataset, of Parquet or of Arrow."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.column_shards import ArrowShard, Columns, ParquetShard, arrow_table, labels_of
from kdcore.data.shard_files import ShardInfo, paths_of, read_info
from kdcore.data.shard_order import Shards
from kdcore.data.shards import ShardSource
from kdcore.data.web_shards import IMAGES, WebShard
from kdcore.errors import KdError, Problem, UserError, listed
from kdcore.spec.timm_datasets import check_access, unknown_class_count

if TYPE_CHECKING:
    from kdcore.data.shards import Shard
    from kdcore.spec.models import DataSpec

_MOST_LABELS: Final = 50_000_000  # of more samples, labels are read with the images


@dataclass
class _Found:
    """The parts of a split, one after another; without `read_labels`, nothing is read of their labels."""

    read_labels: bool = True
    names: list[str] = field(default_factory=list)
    parts: list[Shard] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    loaded: list[int] = field(default_factory=list)
    labels: list[np.ndarray[Any, Any]] | None = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    unread: int = 0
    first_unread: str = ""
    joined: list[str] = field(default_factory=list)

    def left_out(self) -> str:
        """What is said of files whose names are not those of a sample's image; empty if there are none."""
        if not self.unread:
            return ""
        files = "1 file" if self.unread == 1 else f"{self.unread:,} files"
        first = "" if self.unread == 1 else "the first is "
        return (
            f"left out: {files} ({first}{self.first_unread}): a webdataset's image is KEY and one of these endings, "
            f"with no other dot in its name: {', '.join(f'.{kind}' for kind in IMAGES)}"
        )

    def more_behind(self) -> str:
        """What is said of tars that have more data after their end; empty if there are none."""
        if not self.joined:
            return ""
        return (
            f"{listed(self.joined, 5)}: there is more data after the end of the tar, which is not read; was it made by "
            "joining several tars?"
        )

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
    """A split in shards in the folder `data.root`; without `labels` none is read, so they may be of any kind.

    Raises:
        UserError: the split has no shards, or one of them cannot be read.
    """
    check_access(data.dataset, split, data.root, where=where, dataset_where=dataset_where)
    kind = data.dataset.partition("/")[0].lower()
    root = Path(str(data.root)).absolute()
    info = read_info(root, split, dataset_where) if kind == "wds" else ShardInfo()
    paths = paths_of(root, split, kind, info, where)
    found = _Found(read_labels=labels)
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
        message = f"the {len(paths)} shards in {root} have no samples"
        raise UserError(Problem(where, message, value=split, hint=found.left_out() or None))
    classes = None if found.labels is None else torch.from_numpy(np.concatenate(found.labels))
    sizes, loaded = (np.array(values, dtype=np.int64) for values in (found.sizes, found.loaded))
    shards = Shards(tuple(found.names), sizes, loaded, tuple(paths))
    try:
        source = ShardSource(f"{kind}/", shards, found.parts, classes)
    except KdError as error:
        raise UserError(Problem(dataset_where, str(error))) from error
    source.split = split
    source.classes = found.classes
    said = (found.left_out(), found.more_behind())
    source.notes = tuple(f"{root}, split '{split}': {text}" for text in said if text)
    source.num_classes = _num_classes(source, data, dataset_where) if labels else None
    return source


def _num_classes(source: ShardSource, data: DataSpec, dataset_where: str) -> int | None:
    if source.classes is not None:
        return len(source.classes)
    if source.labels is not None and source.labelled:
        return int(source.labels.max()) + 1
    if source.labelled and data.num_classes is None:
        raise unknown_class_count(source.title, dataset_where)
    return data.num_classes if source.labelled else None


def _add_tar(found: _Found, path: Path, info: ShardInfo) -> None:
    part = WebShard(path, info.label, found.read_labels)
    size = info.sizes.get(path)
    if size is not None:
        found.labels = None  # they are read with the images
        found.add(path.name, part, size, 0, None)
        return
    opened = part.open()
    found.add(path.name, part, len(opened), 0, opened.labels)
    unread = opened.unread
    if unread.files and not found.unread:
        found.first_unread = f"{path.name}:{unread.first}"
    found.unread += unread.files
    if unread.behind:
        found.joined.append(path.name)


def _add_parquet(found: _Found, path: Path, info: ShardInfo) -> None:
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


def _add_arrow(found: _Found, path: Path, info: ShardInfo) -> None:
    table = arrow_table(path)
    columns = _columns(found, table.schema)
    labels = np.full(len(table), -1) if columns.label is None else labels_of(table.column(columns.label))
    found.add(path.name, ArrowShard(path, columns), len(table), 0, labels)


def _columns(found: _Found, schema: Any) -> Columns:
    columns = Columns.of(schema, labels=found.read_labels)
    found.classes = columns.classes or found.classes
    return columns


_ADD: Final = {"wds": _add_tar, "parquet": _add_parquet, "arrow": _add_arrow}
