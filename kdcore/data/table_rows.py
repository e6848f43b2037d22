"""The rows of a table of images: CSV, TSV, JSON lines or Parquet, as texts by column."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from kdcore.data.layout import is_image
from kdcore.errors import Problem, UserError, listed
from kdcore.plugins.pip_hint import pip_install

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.spec.table_options import TableOptions

PATHS: Final = ("path", "file", "filename", "file_name", "image")
"""The usual names of the column of files, in the order in which they are looked for."""
Row = dict[str, str]
Rows = list[Row]
"""A text for each column; a missing value is empty."""
_DELIMITERS: Final = (",", ";", "\t", "|")
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*(?:"|$)')
_SEP: Final = re.compile(
    r"\s*sep=(.)[ ]*(?:\r\n|\r|\n|$)", re.IGNORECASE
)  # the first line of a CSV file of Excel
_MARKS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_rows(
    path: Path, options: TableOptions, where: str, options_where: str = "data.options."
) -> tuple[list[str], Rows]:
    """The columns of a table, and its rows.

    A CSV file without a line of headings has the columns `path` and, if there is one more, `label`.

    Args:
        path: the table.
        options: how it is read.
        where: its place, for messages.
        options_where: what stands before an option's name in messages.

    Raises:
        UserError: the file cannot be read, or is not a table.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return _parquet(path, options, where)
        text = _text(path, options, options_where)
        if kind == ".jsonl":
            return _jsonl(text, path, where)
        return _csv(text, path, options, where, options_where)
    except OSError as error:
        raise UserError(Problem(where, f"{path} cannot be read: {error.strerror or error}")) from error


def _text(path: Path, options: TableOptions, options_where: str) -> str:
    data = path.read_bytes()
    found = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    encoding = options.encoding or found
    try:
        # the mark stays if 'utf-8' is named and the file has one
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{path} is not {encoding}: byte {data[error.start]:#04x} in line {line}"
        hint = 'name its encoding, such as "cp1252" for files of Excel on Windows'
        place = f"{options_where}encoding"
        raise UserError(Problem(place, message, options.encoding, hint=hint)) from error


def _csv(
    text: str, path: Path, options: TableOptions, where: str, options_where: str
) -> tuple[list[str], Rows]:
    said = _SEP.match(text)
    above = 0 if said is None else said[0].count("\n") or 1  # lines that the reader does not see
    delimiter = options.delimiter or (said[1] if said is not None else _delimiter(text, path))
    rest = text if said is None else text[said.end() :]
    lines = csv.reader(
        io.StringIO(rest, newline=""),
        delimiter=delimiter,
        skipinitialspace=delimiter != " ",  # else quotes after a space are part of the value
        strict=True,
    )
    columns: list[str] | None = None
    rows: Rows = []
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _headings(cells, path, where)
                if columns != [cell.strip() for cell in cells]:  # the first line is an image already
                    rows.append(dict(zip(columns, _stripped(cells), strict=True)))
                continue
            if len(cells) != len(columns):
                line = lines.line_num + above
                message = f"{path}: line {line} has {len(cells)} values, and there are {len(columns)} columns"
                hint = f"name it: {options_where}delimiter, or put values that contain it in quotes"
                raise UserError(Problem(where, message, hint=hint))
            rows.append(dict(zip(columns, _stripped(cells), strict=True)))
    except csv.Error as error:
        line = lines.line_num + above
        raise UserError(Problem(where, f"{path}: line {line} is not CSV: {error}")) from error
    return columns or [], rows


def _delimiter(text: str, path: Path) -> str:
    """The one that the first line has most of, apart from what is in quotes."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=_QUOTED.sub("", first).count)


def _headings(cells: list[str], path: Path, where: str) -> list[str]:
    """The names of the columns: the first line, unless that has an image."""
    names = _stripped(cells)
    images = [index for index, name in enumerate(names) if is_image(name)]
    if not images:
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UserError(Problem(where, f"{path} has columns of the same name: {listed(twice)}"))
        return names
    if len(images) > 1 or len(names) > 2:
        message = f"{path} has no line of headings, and its {len(names)} columns cannot be distinguished"
        raise UserError(Problem(where, message, hint="add a first line such as path,label,split"))
    return ["path" if index == images[0] else "label" for index in range(len(names))]


def _stripped(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _jsonl(text: str, path: Path, where: str) -> tuple[list[str], Rows]:
    columns: dict[str, None] = {}
    rows: Rows = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 may be in a JSON string
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(Problem(where, f"{path}: line {number} is not JSON: {error}")) from error
        if not isinstance(found, dict):
            raise UserError(
                Problem(where, f'{path}: line {number} is not an object, such as {{"path": ...}}')
            )
        rows.append({key: _as_text(value) for key, value in found.items()})
        columns |= dict.fromkeys(found)
    names = list(columns)
    return names, [{name: row.get(name, "") for name in names} for row in rows]


def _parquet(path: Path, options: TableOptions, where: str) -> tuple[list[str], Rows]:
    """The columns that hold text, numbers or lists: bytes and structures are neither a file's name nor a label."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        hint = pip_install("pyarrow>=20")
        raise UserError(Problem(where, "Parquet needs pyarrow, which is missing", hint=hint)) from error
    try:
        schema = parquet.read_schema(path)
        columns = [field.name for field in schema if not _holds_content(field.type, arrow.types)]
        _check_files(path, options, schema.names, columns, where)
        table = parquet.read_table(path, columns=columns)
    except Exception as error:  # pyarrow's own errors
        if not type(error).__module__.startswith("pyarrow"):
            raise
        raise UserError(Problem(where, f"{path} is not a Parquet file: {error}")) from error
    rows = [{key: _as_text(value) for key, value in row.items()} for row in table.to_pylist()]
    return columns, rows


def _holds_content(kind: Any, types: Any) -> bool:
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_struct(kind)
    )


def _check_files(path: Path, options: TableOptions, names: list[str], text: list[str], where: str) -> None:
    """Raise UserError if the column of files has the images themselves."""
    wanted = [
        name for name in names if name == options.path or (options.path is None and name.lower() in PATHS)
    ]
    if wanted and not set(wanted).intersection(text):
        message = f"the column '{wanted[0]}' of {path} has the images themselves, not their files"
        hint = (
            f'"dataset": "parquet/", "root": "{path.parent}", "train_split": "{path.name}" reads such files'
        )
        raise UserError(Problem(where, message, hint=hint))


def _as_text(value: Any) -> str:
    if value is None or (
        isinstance(value, float) and math.isnan(value)
    ):  # pandas writes NaN for a missing number
        return ""
    if isinstance(value, list):  # several labels
        return json.dumps([_plain(one) for one in value], ensure_ascii=False)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if (
        isinstance(value, float) and value.is_integer()
    ):  # in a column with missing values, whole numbers are floats
        return str(int(value))
    return str(value).strip()


def _plain(value: Any) -> Any:
    """A value of a list: a whole number, or text."""
    return value if isinstance(value, int) and not isinstance(value, bool) else _as_text(value)
