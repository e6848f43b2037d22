"""Tables in columns, `.csv` and `.parquet`, as the arrays of an `.npz`."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kd_teachers.libraries import library
from kd_teachers.outputs.table import BadTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Array = np.ndarray[Any, Any]

NAMES: Final = ("name", "file", "file_name", "filename", "path", "image")
"""What the column of the images' names may be called."""
_LISTS: Final = ("logits", "probabilities", "top_logits", "top_probabilities", "top_classes")


def read_csv(path: Path, classes: tuple[str, ...] | None) -> dict[str, Array]:
    """The arrays in a CSV file with a line of headings; see `arrays_of`.

    Raises:
        BadTable: a line has another number of values, or a value is not a number.
        OSError, UnicodeError, csv.Error: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        heads = next(lines, [])
        texts = [index for index, head in enumerate(heads) if head in (*NAMES, "class")]
        columns: list[list[str]] = [[] for _ in texts]
        numbers: list[Array] = []
        for line in lines:
            if not line:  # an empty line, as at the end of many files
                continue
            if len(line) != len(heads):
                raise BadTable(f"line {lines.line_num} has {len(line)} values, the first line {len(heads)}")
            for column, index in zip(columns, texts, strict=True):
                column.append(line[index])
            rest = [value for index, value in enumerate(line) if index not in texts]
            try:
                numbers.append(np.array(rest, dtype=np.float32))
            except ValueError as error:
                raise BadTable(f"line {lines.line_num} has a value that is not a number") from error
    found: dict[str, Any] = {heads[index]: column for index, column in zip(texts, columns, strict=True)}
    others = [head for index, head in enumerate(heads) if index not in texts]
    stacked = np.stack(numbers) if numbers else np.empty((0, len(others)), np.float32)
    return arrays_of(found, others, stacked, classes)


def read_parquet(path: Path, classes: tuple[str, ...] | None) -> dict[str, Array]:
    """The arrays in a Parquet file: as a CSV file has them, or columns of lists called as in an `.npz`.

    Raises:
        UserError: pyarrow is not installed.
        BadTable: it has other columns.
    """
    parquet = library("pyarrow.parquet", "parquet")
    table = parquet.read_table(path)
    texts: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    others: list[str] = []
    for head in table.column_names:
        if head in (*NAMES, "class"):
            texts[head] = [str(value) for value in table[head].to_pylist()]
        elif head in _LISTS:
            arrays[head] = _lists(table[head], head)
        elif head == "rest":
            arrays[head] = np.asarray(table[head].to_numpy())
        else:
            others.append(head)
    if not arrays:
        columns = [np.asarray(table[head].to_numpy(), dtype=np.float32) for head in others]
        stacked = np.stack(columns, 1) if columns else np.empty((table.num_rows, 0), np.float32)
        return arrays_of(texts, others, stacked, classes)
    if others:
        raise BadTable(f"it has unknown columns: {', '.join(others[:5])}")
    return {**_named(texts), **arrays}


def arrays_of(
    texts: dict[str, list[str]], heads: Sequence[str], numbers: Array, classes: tuple[str, ...] | None
) -> dict[str, Array]:
    """Arrays of a table whose columns are a name and each class, or name, class and value of one class a row.

    Args:
        texts: the columns of names and of classes.
        heads: the headings of the others.
        numbers: their values `[rows, columns]`.
        classes: names of the classes that the user gives.

    Raises:
        BadTable: the columns are others, or an image has a class twice.
    """
    if "class" in texts:
        return _from_long(texts, heads, numbers, classes)
    digits = [str(index) for index in range(len(heads))]
    named = {} if list(heads) == digits else {"classes": np.array(heads, dtype=np.str_)}
    return {**_named(texts), **named, "values": numbers}


def _from_long(
    texts: dict[str, list[str]], heads: Sequence[str], numbers: Array, classes: tuple[str, ...] | None
) -> dict[str, Array]:
    if list(heads) != ["probability"]:
        raise BadTable(
            f"with a column 'class' the only other one is 'probability'; it has {', '.join(heads) or 'none'}"
        )
    names = _named(texts).get("names")
    if names is None:
        raise BadTable("with a column 'class' it needs a column 'name'")
    known = list(classes or _in_order(set(texts["class"])))
    images, rows = np.unique(names, return_inverse=True)
    position = {name: index for index, name in enumerate(known)}
    unknown = sorted({name for name in texts["class"] if name not in position})
    if unknown:
        raise BadTable(f"options.classes lacks the class '{unknown[0]}'")
    columns = np.array([position[name] for name in texts["class"]])
    if len(np.unique(rows * len(known) + columns)) < len(rows):
        raise BadTable("an image has the same class twice")
    values = np.zeros((len(images), len(known)), dtype=np.float32)
    values[rows, columns] = numbers[:, 0]
    there = np.zeros(values.shape, dtype=bool)
    there[rows, columns] = True
    left, others = 1 - values.sum(1), (~there).sum(1)
    # what the given classes leave belongs to the others alike; without others the sum is checked as it is
    share = np.where(others > 0, left.clip(min=0) / others.clip(min=1), 0)
    values = np.where(there, values, share[:, None]).astype(np.float32)
    return {"names": images, "classes": np.array(known, dtype=np.str_), "probabilities": values}


def _in_order(classes: set[str]) -> list[str]:
    """Names of classes in alphabetical order; if all are numbers, in their order: '2' before '10'."""
    numbers = all(name.isascii() and name.isdigit() for name in classes)
    return sorted(classes, key=int) if numbers else sorted(classes)


def _named(texts: dict[str, list[str]]) -> dict[str, Array]:
    columns = [name for name in NAMES if name in texts]
    if len(columns) > 1:
        raise BadTable(f"it has several columns of names: {', '.join(columns)}")
    return {"names": np.array(texts[columns[0]], dtype=np.str_)} if columns else {}


def _lists(column: Any, head: str) -> Array:
    rows = column.to_pylist()
    if None in rows:
        raise BadTable(f"'{head}' has no list in row {rows.index(None)}")
    if len({len(row) for row in rows}) > 1:
        raise BadTable(f"the lists of '{head}' differ in length")
    return np.array(rows, dtype=np.int64 if head == "top_classes" else np.float32)
