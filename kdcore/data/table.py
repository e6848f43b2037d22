"""A table of images: a row for each, with its file, its class and its split."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.folder import FolderSource
from kdcore.data.label_sets import note_on_partial
from kdcore.data.layout import find_split
from kdcore.data.table_labels import LabelColumns, label_columns
from kdcore.data.table_rows import PATHS, read_rows
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.spec.resolve import validated
from kdcore.spec.table_options import TableOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from kdcore.data.table_rows import Rows
    from kdcore.spec.models import DataSpec

LABELS: Final = ("label", "class")
SPLITS: Final = ("split",)
WEIGHTS: Final = ("weight",)
_NAMED: Final = 3  # missing files in a message


class TableSource(FolderSource):
    """The images of one split of a table."""

    def key(self, index: int) -> str:
        """The path of the sample's file, relative to the table's folder or to `data.root`."""
        return os.path.relpath(self._files[index], self._root).replace(os.sep, "/")


def open_table(path: Path, data: DataSpec, split: str, *, where: str, labels: bool = True) -> TableSource:
    """The images of a split, in the order of the rows.

    Paths are relative to the table's folder, or to `data.root`. The classes are those of the whole table, so that they
    are the same for all splits.

    An empty cell in the column of classes is an image without a label. Lists of labels, `data.options.label_delimiter`
    or a column for each label are several labels an image. Without `labels`, these columns are not read.

    Raises:
        UserError: the table cannot be read, lacks a column or the split, names files that are not there, or has a
            weight of a training image that is not a number.
    """
    section = where.rpartition(".")[0] or where
    place = f"{section}.dataset"
    options = validated(TableOptions, data.options, "a table of images", f"{section}.options")
    columns, rows = read_rows(path, options, place)
    if not rows:
        raise UserError(Problem(place, f"{path} has no rows"))
    path_column = _column(options.path, PATHS, columns, f"{section}.options.path", path)
    if path_column is None:
        message = f"{path} has no column of files; its columns are {listed(columns)}"
        hint = 'name it: "options": {"path": COLUMN}'
        raise UserError(Problem(place, message, allowed=" or ".join(PATHS), hint=hint))
    label_column = _column(options.label, LABELS, columns, f"{section}.options.label", path)
    split_column = _column(options.split, SPLITS, columns, f"{section}.options.split", path)
    weight_column = _column(options.weight, WEIGHTS, columns, f"{section}.options.weight", path)
    taken = (path_column, label_column, split_column, weight_column, options.group)
    each = label_columns(options, columns, taken, f"{section}.options.labels", path) if labels else ()
    if not labels:
        label_column = None
    chosen, name = _of_split(rows, split_column, split, path, where)
    found = LabelColumns(path, f"{section}.options", options, label_column, each).of(rows, chosen)
    root = Path(data.root) if data.root is not None else path.parent
    for row in chosen:
        row[path_column] = _plain(row[path_column], root)
    files, numbers = _samples(chosen, path_column, found.numbers, path, place)
    absolute = [os.path.join(root, file) for file in files]  # noqa: PTH118  # a million times
    labelled = any(label >= 0 for label in numbers)
    source = TableSource(absolute, numbers, found.classes if labelled else None, root)
    source.label_sets = found.sets
    if options.group is not None:
        column = _column(options.group, (), columns, f"{section}.options.group", path)
        source.groups = _groups(chosen, path_column, str(column), path, place)
    # only training draws samples
    weighted = where.endswith("train_split") and (data.sampling == "weights" or options.weight is not None)
    if weighted and weight_column is not None:
        source.weights = _weights(chosen, path_column, weight_column, path, place)
    source.split = name
    source.notes = _missing(absolute, data, path, place)
    if name:
        source.notes += _without_split(rows, str(split_column), path)
    if found.sets is not None:
        source.notes += note_on_partial(str(path), found.sets, torch.tensor(numbers), found.classes)
    return source


def files_of_table(
    path: Path, column: str | None, root: Path | None, options: Mapping[str, Any] | None = None
) -> list[str]:
    """The files that a table of images names, in the order of its rows; its other columns are not read.

    Args:
        path: the table.
        column: of the files; None: `path`, `file`, `filename`, `file_name` or `image`.
        root: the folder that paths are relative to; None: that of the table.
        options: as `data.options` of a table; its encoding, delimiter and column of files are used.

    Raises:
        UserError: the table cannot be read, has no such column, or a row has no file; or an option is wrong.
    """
    flag = "--table-option"
    given = _at_flag(options or {}, flag)
    if column is not None and given.path is not None:
        raise UserError(Problem(f"{flag} path", "cannot be used with --column", given.path))
    columns, rows = read_rows(path, given, "IMAGES", f"{flag} ")
    where = "--column" if given.path is None else f"{flag} path"
    found = _column(column or given.path, PATHS, columns, where, path)
    if found is None:
        message = f"{path} has no column of files; its columns are {listed(columns)}"
        raise UserError(Problem("IMAGES", message, allowed=" or ".join(PATHS), hint="name it: --column NAME"))
    empty = [number for number, row in enumerate(rows, 1) if not row[found]]
    if empty:
        raise UserError(
            Problem("IMAGES", f"{path}: image {empty[0]} of {len(rows):,} has no file in '{found}'")
        )
    folder = path.parent if root is None else root
    return [str(folder / _plain(row[found], folder)) for row in rows]


def _plain(file: str, root: Path) -> str:
    """A file of the table without './' and '//', so that a file has one name; with '/' if it was written on Windows."""
    if "\\" in file and os.sep == "/" and not (root / file).exists():
        file = file.replace("\\", "/")
    if "://" in file or not ("//" in file or "./" in file):
        return file
    parts = [part for part in file.split("/") if part not in ("", ".")]
    return "/" * file.startswith("/") + "/".join(parts)


def _at_flag(options: Mapping[str, Any], flag: str) -> TableOptions:
    """Options that a flag gives."""
    try:
        return validated(TableOptions, options, "a table of images", flag)
    except UserError as error:
        raise UserError(
            dataclasses.replace(problem, where=problem.where.replace(f"{flag}.", f"{flag} ", 1))
            for problem in error.problems
        ) from error


def _column(
    given: str | None, usual: Sequence[str], columns: Sequence[str], where: str, path: Path
) -> str | None:
    """The column that is given, or the first of the usual ones, in any case of letters; None if there is none."""
    if given is not None:
        if given not in columns:
            message = f"{path} has no column of this name"
            raise UserError(Problem(where, message, given, listed(columns), nearest=nearest(given, columns)))
        return given
    lower = {column.lower(): column for column in columns}
    return next((lower[name] for name in usual if name in lower), None)


def _groups(
    rows: Rows, path_column: str, column: str, path: Path, where: str
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The group of each image, in the order of `_samples`; an image without a value is a group of its own."""
    values: dict[str, str] = {}
    for row in rows:
        file, value = row[path_column], row[column]
        if values.setdefault(file, value) != value:
            raise UserError(Problem(where, f"{path} has {file} twice, with different values of '{column}'"))
    numbers: dict[str | int, int] = {}
    found = [numbers.setdefault(value or place, len(numbers)) for place, value in enumerate(values.values())]
    return np.array(found, dtype=np.int64)


def _of_split(rows: Rows, column: str | None, split: str, path: Path, where: str) -> tuple[Rows, str]:
    """The rows of a split, and its name in the table."""
    if not split:
        return rows, ""
    if column is None:
        message = f"{path} has no column 'split', so all its rows are one split"
        hint = 'for that, "train_split": "" and "eval_fraction": 0.1; or add the column'
        raise UserError(Problem(where, message, split, '""', hint=hint))
    names = Counter(row[column] for row in rows if row[column])
    found = find_split(split, names)
    if len({one.lower() for one in found}) == 1:
        spellings = {one: count for one, count in names.items() if one.lower() == found[0].lower()}
        if len(spellings) > 1:
            message = f"{path} writes this split in {len(spellings)} ways in its column '{column}'"
            ways = ", ".join(f"{one} ({_rows(count)})" for one, count in sorted(spellings.items()))
            hint = f"it has {ways}: write it in the same way in all rows"
            raise UserError(Problem(where, message, split, hint=hint))
    if len(found) != 1:
        several = ", but several that may be meant" if found else ""
        message = f"{path} has no rows with this split in its column '{column}'{several}"
        hint = 'for all rows as one split, set this to ""'
        if where.endswith("eval_split"):
            hint = "in a spec, null trains without evaluation images"
        raise UserError(
            Problem(where, message, split, listed(found or names), nearest=nearest(split, names), hint=hint)
        )
    (name,) = found
    return [row for row in rows if row[column] == name], name


def _without_split(rows: Rows, column: str, path: Path) -> tuple[str, ...]:
    """A note on rows that are in no split."""
    count = sum(not row[column] for row in rows)
    if not count:
        return ()
    return (f"{path}: left out: {_rows(count)} with nothing in the column '{column}': they are in no split",)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _samples(
    rows: Rows, path_column: str, numbers: Sequence[int], path: Path, where: str
) -> tuple[list[str], list[int]]:
    """The file and the label of each row; a row that is there twice counts once."""
    labels: dict[str, int] = {}
    for row, label in zip(rows, numbers, strict=True):
        file = row[path_column]
        if not file:
            raise UserError(Problem(where, f"{path} has rows without a file in its column '{path_column}'"))
        if labels.setdefault(file, label) != label:
            raise UserError(Problem(where, f"{path} has {file} twice, with different labels"))
    return list(labels), list(labels.values())


def _weights(rows: Rows, path_column: str, column: str, path: Path, where: str) -> Tensor:
    """The weight of each image, in the order of `_samples`."""
    weights: dict[str, float] = {}
    for row in rows:
        file, text = row[path_column], row[column]
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            told = f"the weight '{text}'" if text else "no weight"
            message = f"{path}: {file} has {told}; a weight is a number, 0 or more"
            raise UserError(Problem(where, message, hint=f"it is in the column '{column}'"))
        if weights.setdefault(file, weight) != weight:
            raise UserError(Problem(where, f"{path} has {file} twice, with different weights"))
    return torch.tensor(list(weights.values()), dtype=torch.float64)


def _missing(files: Sequence[str], data: DataSpec, path: Path, where: str) -> tuple[str, ...]:
    """A note on files that are not there.

    Raises:
        UserError: there are some, and `data.skip_broken` is not set.
    """
    missing = [file for file in files if not os.path.exists(file)]  # noqa: PTH110  # a million times
    if not missing:
        return ()
    named = ", ".join(missing[:_NAMED]) + (
        f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    )
    message = f"{path}: {len(missing):,} of {len(files):,} files are not there: {named}"
    if data.skip_broken and len(missing) < len(files):
        return (message,)
    hint = "paths are relative to the table's folder, or to data.root; data.skip_broken: true leaves them out"
    if "://" in missing[0]:
        hint = "kd reads files, not addresses: download the images, and write their paths into the table"
    raise UserError(Problem(where, message, hint=hint))
