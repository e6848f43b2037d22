"""The labels of a table's rows: one class, or several labels, in one cell or in a column for each."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.label_sets import LabelSets
from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import Problem, UserError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kdcore.data.table_rows import Row, Rows
    from kdcore.spec.table_options import TableOptions

_YES: Final = ("1", "true", "yes")
_NO: Final = ("0", "false", "no")
_Names = tuple[str, ...]


@dataclass(frozen=True)
class RowLabels:
    """The labels of rows.

    Attributes:
        numbers: the class of each row, or the number of its set of labels; -1 without one.
        classes: the names of classes or labels in their order; None if no row of the table has one.
        sets: with several labels an image, their sets.
    """

    numbers: list[int]
    classes: _Names | None
    sets: LabelSets | None = None


@dataclass(frozen=True)
class LabelColumns:
    """Where a table has its labels.

    Attributes:
        path: the table.
        where: `data.options` in the spec.
        options: the options.
        label: the column of the classes, or of cells with several labels; None: there is none.
        each: the columns of single labels, for one column a label; empty: there are none.
    """

    path: Path
    where: str
    options: TableOptions
    label: str | None
    each: _Names = ()

    def of(self, whole: Rows, chosen: Rows) -> RowLabels:
        """The labels of the chosen rows; names and their order are those of the whole table.

        Raises:
            UserError: a cell is not what it has to be, or a name is not one of `classes`.
        """
        if self.each:
            return self._by_column(chosen)
        if self.label is None:
            return RowLabels([-1] * len(chosen), None)
        cells = dict.fromkeys(row[self.label] for row in whole)
        self._check_objects(cells, whole)
        split = self._split(cells, whole)
        if split is None:
            classes = self._ordered(set(cells) - {""})
            index = {name: number for number, name in enumerate(classes or ())}
            return RowLabels([index.get(row[self.label], -1) for row in chosen], classes)
        self._check_empty(cells)
        classes = self._ordered({name for names in split.values() for name in names})
        if classes is None:
            return RowLabels([-1] * len(chosen), None)
        index = {name: number for number, name in enumerate(classes)}
        rows = np.zeros((len(chosen), len(classes)), dtype=np.int8)
        known = np.ones(len(chosen), dtype=bool)
        for number, row in enumerate(chosen):
            cell = row[self.label]
            rows[number, [index[name] for name in split[cell]]] = 1
            known[number] = bool(cell) or self.options.empty == "none"
        return _in_sets(rows, known, classes)

    def _check_objects(self, cells: Iterable[str], whole: Rows) -> None:
        """Raise UserError if a cell has a JSON object, or a list of them."""
        for cell in cells:
            if any(_is_object(str(part)) for part in _json_list(cell) or (cell,)):
                row = next(row for row in whole if row[str(self.label)] == cell)
                message = f"{self.path} has an object in its column '{self.label}', for {_named(row)}"
                hint = "write the name or the number of the class, or a list of them"
                raise UserError(Problem(f"{self.where}.label", message, self.label, hint=hint))

    def _check_one_kind(self, lists: Mapping[str, object], whole: Rows) -> None:
        """Raise UserError if some cells are lists, and others are one class."""
        rows: dict[bool, Row] = {}
        for row in whole:
            cell = row[str(self.label)]
            if cell:
                rows.setdefault(lists[cell] is None, row)
        if len(rows) > 1:
            several, one = (f"{row[str(self.label)]} for {_named(row)}" for row in (rows[False], rows[True]))
            message = f"{self.path} has lists and single names in its column '{self.label}': {several}, {one}"
            hint = 'for several labels an image, write each cell as a list, such as ["cat"]; otherwise, write no lists'
            raise UserError(Problem(f"{self.where}.label", message, self.label, hint=hint))

    def _check_no_delimiter(self, lists: Mapping[str, object], whole: Rows) -> None:
        """Raise UserError if the cells are lists and a delimiter is given, which would split the text of the lists."""
        delimiter = self.options.label_delimiter
        if delimiter is not None:
            row = next(row for row in whole if lists.get(row[str(self.label)]) is not None)
            cell = row[str(self.label)]
            message = f"{self.path} has lists in its column '{self.label}': {cell} for {_named(row)}"
            hint = "leave 'label_delimiter' out: it is for text, and lists need none"
            raise UserError(Problem(f"{self.where}.label_delimiter", message, delimiter, hint=hint))

    def _split(self, cells: Iterable[str], whole: Rows) -> dict[str, list[str]] | None:
        """The labels of each cell; None if cells have one class."""
        delimiter = self.options.label_delimiter
        filled = [cell for cell in cells if cell]
        lists = {cell: _json_list(cell) for cell in filled}
        if any(found is not None for found in lists.values()):
            self._check_no_delimiter(lists, whole)
            self._check_one_kind(lists, whole)
        elif delimiter is None:
            return None
        split: dict[str, list[str]] = {"": []}
        for cell in filled:
            names = cell.split(delimiter) if delimiter is not None else lists[cell] or []
            split[cell] = [text for name in names if (text := str(name).strip())]
            twice = {name for name in split[cell] if split[cell].count(name) > 1}
            if twice:
                message = f"{self.path} has the labels {cell}, with {listed(twice)} twice"
                raise UserError(Problem(f"{self.where}.label", message, self.label))
        return split

    def _check_empty(self, cells: Iterable[str]) -> None:
        if "" in cells and self.options.empty is None:
            message = f"{self.path} has empty cells in its column '{self.label}', which can mean two things"
            allowed = '"none": the image has none of the labels; "unlabelled": its labels are not known'
            raise UserError(Problem(f"{self.where}.empty", message, None, allowed))

    def _by_column(self, chosen: Rows) -> RowLabels:
        classes = self._ordered(set(self.each)) if self.options.classes else self.each
        assert classes is not None
        for name in classes:
            if name not in self.each:
                message = f"{self.path} has no column of labels of this name"
                near = nearest(name, self.each)
                raise UserError(
                    Problem(f"{self.where}.classes", message, name, listed(self.each), nearest=near)
                )
        rows = np.zeros((len(chosen), len(classes)), dtype=np.int8)
        known = np.ones(len(chosen), dtype=bool)
        values = {**dict.fromkeys(_YES, 1), **dict.fromkeys(_NO, 0)}
        if self.options.empty is not None:
            values[""] = UNLABELLED if self.options.empty == "unlabelled" else 0
        for number, row in enumerate(chosen):
            cells = [row[column].lower() for column in classes]
            if not any(cells) and self.options.empty != "none":
                known[number] = False
                continue
            wrong = next((place for place, cell in enumerate(cells) if cell not in values), None)
            if wrong is not None:
                raise UserError(self._wrong_cell(row, classes[wrong]))
            rows[number] = [values[cell] for cell in cells]
        return _in_sets(rows, known, classes)

    def _wrong_cell(self, row: dict[str, str], column: str) -> Problem:
        value = row[column]
        if not value:
            message = f"{self.path} has nothing in its column '{column}', for {_named(row)}"
            allowed = '"none": the image does not have this label; "unlabelled": it is not known'
            return Problem(f"{self.where}.empty", message, None, allowed)
        message = f"{self.path} has '{value}' in its column '{column}', for {_named(row)}"
        hint = "an image whose labels are not known has nothing in all of these columns"
        if self.options.labels == "*":
            hint += "; if this column is not a label, name those that are in 'labels'"
        return Problem(f"{self.where}.labels", message, allowed="1, true or yes; 0, false or no", hint=hint)

    def _ordered(self, found: set[str]) -> _Names | None:
        """The names in their order; None if there are none."""
        given = self.options.classes
        if given is None:
            values = {name: value for name in found if (value := _number(name)) is not None}
            if len(values) < len(found):
                return tuple(sorted(found))
            return tuple(sorted(found, key=lambda name: (values[name], name))) or None
        unknown = sorted(found - set(given))
        if unknown:
            message = f"the table also has {listed(unknown)}"
            near = nearest(unknown[0], given)
            raise UserError(Problem(f"{self.where}.classes", message, list(given), nearest=near))
        return given


def _number(name: str) -> int | float | None:
    """The value of a name that is a finite number."""
    if name.removeprefix("-").isdecimal():
        return int(name)
    with suppress(ValueError):
        value = float(name)
        if math.isfinite(value) and "_" not in name:  # '1_2' is a number in Python only
            return value
    return None


def _in_sets(
    rows: np.ndarray[Any, np.dtype[np.int8]], known: np.ndarray[Any, np.dtype[np.bool_]], classes: _Names
) -> RowLabels:
    sets, numbers = LabelSets.of(torch.from_numpy(rows), torch.from_numpy(known))
    return RowLabels(numbers.tolist(), classes, sets)


def _json_list(cell: str) -> list[Any] | None:
    """The values of a cell that is a JSON list of names or numbers, as JSON lines and Parquet have them."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    names = isinstance(found, list) and all(
        isinstance(one, str | int) and not isinstance(one, bool) for one in found
    )
    return found if names else None


def _is_object(cell: str) -> bool:
    """Whether a cell is a JSON object."""
    if not (cell.startswith("{") and cell.endswith("}")):
        return False
    try:
        return isinstance(json.loads(cell), dict)
    except (ValueError, RecursionError):
        return False


def _named(row: Row) -> str:
    """A row in a message: its first column, which usually has the file."""
    return next(iter(row.values()))


def label_columns(
    options: TableOptions, columns: Sequence[str], taken: Iterable[str | None], where: str, path: Path
) -> _Names:
    """The columns of `data.options.labels`; empty if it is not given.

    Args:
        options: the options.
        columns: all columns of the table.
        taken: the columns with another meaning.
        where: the place of `labels` in the spec.
        path: the table.

    Raises:
        UserError: the table has no such column, or only one is left.
    """
    given = options.labels
    if given is None:
        return ()
    if given == "*":
        found = tuple(column for column in columns if column not in set(taken))
        if len(found) < 2:
            message = f"{path} has no columns of labels besides {listed(one for one in taken if one)}"
            raise UserError(Problem(where, message, "*"))
        return found
    for name in given:
        if name not in columns:
            message = f"{path} has no column of this name"
            raise UserError(Problem(where, message, name, listed(columns), nearest=nearest(name, columns)))
    return tuple(given)
