"""Shards of Parquet and Arrow: a column of images and a column of class indices, as Hugging Face writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kdcore.data.draws import Positions

IMAGE_COLUMNS: Final = ("image", "img", "jpg", "png")
LABEL_COLUMNS: Final = ("label", "labels", "fine_label", "cls", "target")


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read.

    Attributes:
        image: encoded images: binary, or a struct with a field 'bytes'.
        label: class indices; None: the samples have no labels.
        classes: names of the classes, or None if the file does not say them.
    """

    image: str
    label: str | None
    classes: tuple[str, ...] | None

    @classmethod
    def of(cls, schema: Any, *, labels: bool = True) -> Columns:
        """From a file's schema; without `labels`, its labels may be of any kind.

        Raises:
            ValueError: it has no column of images, or its labels are not class indices.
        """
        kinds = import_module("pyarrow.types")

        image, label = image_and_label(schema.names)
        label = label if labels else None
        kind = schema.field(image).type
        binary = [kind] if not kinds.is_struct(kind) else [one.type for one in kind if one.name == "bytes"]
        if not any(kinds.is_binary(one) or kinds.is_large_binary(one) for one in binary):
            raise ValueError(f"its column '{image}' is {kind}, not the bytes of image files")
        if label is not None and not kinds.is_integer(schema.field(label).type):
            raise ValueError(f"its column '{label}' is {schema.field(label).type}, not a class index")
        return cls(image, label, _class_names(schema, label))

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        return [self.image] if self.label is None else [self.image, self.label]


@dataclass(frozen=True)
class ParquetShard:
    """A row group of a Parquet file."""

    path: Path
    columns: Columns
    group: int

    def open(self) -> OpenRows:
        """Read the row group into memory."""
        parquet = import_module("pyarrow.parquet")

        with parquet.ParquetFile(self.path) as file:
            return OpenRows(
                self.path, file.read_row_group(self.group, columns=self.columns.names), self.columns
            )


@dataclass(frozen=True)
class ArrowShard:
    """An Arrow file, as `save_to_disk` of Hugging Face's datasets writes it; it is mapped into memory, not read."""

    path: Path
    columns: Columns

    def open(self) -> OpenRows:
        """Map the file."""
        return OpenRows(self.path, arrow_table(self.path).select(self.columns.names), self.columns)


class OpenRows:
    """The rows of a table with a column of images."""

    def __init__(self, path: Path, table: Any, columns: Columns) -> None:
        self._path = path
        self._images = table.column(columns.image)
        self._labels = None if columns.label is None else labels_of(table.column(columns.label))

    def __len__(self) -> int:
        return len(self._images)

    def content(self, number: int) -> bytes:
        """The bytes of an image file."""
        value = self._images[number].as_py()
        if isinstance(value, dict):
            value = value["bytes"]
        if value is None:
            raise RunFailed(f"{self._path}: row {number} has no bytes of an image")
        found: bytes = value
        return found

    def label(self, number: int) -> int:
        """Its class index."""
        return UNLABELLED if self._labels is None else int(self._labels[number])

    def key(self, number: int) -> str:
        """The row's number."""
        return f"row {number}"


def image_and_label(names: Sequence[str]) -> tuple[str, str | None]:
    """The columns of images and of classes among these; raises ValueError if there are no images."""
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    if image is None:
        raise ValueError(f"it has no column {', '.join(IMAGE_COLUMNS)}; its columns: {', '.join(names)}")
    return image, next((name for name in LABEL_COLUMNS if name in names), None)


def labels_of(column: Any) -> Positions:
    """Class indices `[n]`, -1 where a cell is empty."""
    found: Positions = column.fill_null(UNLABELLED).to_numpy().astype(np.int64)
    return found


def arrow_table(path: Path) -> Any:
    """A file of Arrow's stream or file format, mapped into memory."""
    pa = import_module("pyarrow")

    mapped = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(mapped).read_all()


def _class_names(schema: Any, label: str | None) -> tuple[str, ...] | None:
    """The names that Hugging Face's datasets keep in a schema."""
    kept = (schema.metadata or {}).get(b"huggingface")
    if kept is None or label is None:
        return None
    try:
        names = json.loads(kept)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(name) for name in names)
