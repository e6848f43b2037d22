"""Tables of predictions: CSV, JSON lines and Parquet, written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from kdcore import Problem, UserError
from kdcore.plugin import atomic, pip_install

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from kd_export.prediction.rows import Row

SUFFIXES: Final = (".csv", ".jsonl", ".parquet")


class Writer(Protocol):
    """Writes rows one batch after another."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows; all of them have the same columns."""
        ...


@contextlib.contextmanager
def open_writer(path: Path | None, *, force: bool) -> Iterator[Writer]:
    """A writer of the format that the file's suffix names; without a file, of CSV to standard output.

    Raises:
        UserError: the suffix is not one of the formats, the file exists, it cannot be written, or pyarrow is
            missing.
    """
    if path is None:
        yield _Csv(_Stdout())
        return
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(Problem("--output", "the suffix names the format", str(path), ", ".join(SUFFIXES)))
    if path.exists() and not force:
        hint = "--force replaces it"
        raise UserError(Problem("--output", "this file exists", str(path), hint=hint))
    if suffix == ".parquet":
        _require_pyarrow()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            if suffix == ".parquet":
                writer = _Parquet(file)
                try:
                    yield writer
                finally:
                    writer.close()
            else:
                yield _Csv(file) if suffix == ".csv" else _Jsonl(file)
    except OSError as error:
        message = f"the table cannot be written: {error.strerror or error}"
        raise UserError(Problem("--output", message, str(path))) from error


def flat_row(row: Row) -> dict[str, Any]:
    """A row with one number or text in each column."""
    flat = {key: value for key, value in row.items() if key not in ("probabilities", "embedding")}
    if "labels" in flat:
        flat["labels"] = json.dumps(flat["labels"], ensure_ascii=False)  # as data.options reads them
    flat |= {f"p({name})": value for name, value in row.get("probabilities", {}).items()}
    flat |= {f"embedding_{number}": value for number, value in enumerate(row.get("embedding", ()))}
    return flat


class _Bytes(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Stdout:
    """Standard output as kd has it: control characters in file names are shown as escapes."""

    def write(self, data: bytes) -> None:
        sys.stdout.write(data.decode("utf-8", "replace"))


class _Csv:
    def __init__(self, file: _Bytes) -> None:
        self._file = file
        self._header: list[str] | None = None

    def write(self, rows: Sequence[Row]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for row in map(flat_row, rows):
            if self._header is None:
                self._header = list(row)
                writer.writerow(self._header)
            writer.writerow(row.values())
        # names of files that are not UTF-8 keep their bytes
        self._file.write(text.getvalue().encode("utf-8", "surrogateescape"))


class _Jsonl:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        self._file.write("".join(f"{json.dumps(row)}\n" for row in rows).encode())


class _Parquet:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        if not rows:
            return
        columns: dict[str, list[Any]] = {}
        for row in rows:
            lists: dict[str, Any] = {key: row[key] for key in ("labels", "embedding") if key in row}
            flat = flat_row({key: value for key, value in row.items() if key not in lists})
            flat["path"] = flat["path"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for key, value in {**flat, **lists}.items():
                columns.setdefault(key, []).append(value)
        types = {key: _type(key, values[0], pa) for key, values in columns.items()}
        table = pa.table({key: pa.array(values, types[key]) for key, values in columns.items()})
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _type(column: str, value: object, pa: Any) -> Any:
    if column == "labels":
        return pa.list_(pa.string())
    if isinstance(value, str):
        return pa.string()
    return pa.list_(pa.float32()) if isinstance(value, list) else pa.float32()


def _require_pyarrow() -> None:
    try:
        import_module("pyarrow.parquet")
    except ImportError as error:
        hint = pip_install("pyarrow>=20")
        raise UserError(Problem("--output", "Parquet needs pyarrow, which is missing", hint=hint)) from error
