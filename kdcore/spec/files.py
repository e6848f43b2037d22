"""Finding and reading the file of a spec."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final

from kdcore.errors import Problem, UserError, listed
from kdcore.spec.formats import PARSERS, parse
from kdcore.spec.paths import SLASHES, kind_of, neighbour, with_slashes

RUN_SPEC: Final = "spec.json"  # what a run directory calls it
_MOST_BYTES: Final = 2**20
_SUFFIXES: Final = ", ".join(PARSERS)


def find_file(path: Path, where: str, value: str | None = None) -> Path:
    """The spec's file: the path itself, or what a run directory has.

    `where` is the place of a problem; `value` is what the user wrote, if that is another thing.

    Raises:
        UserError: there is no such file, or it is of no format that is read.
    """
    kind = kind_of(path)
    given: dict[str, Any] = {} if value is None else {"value": value}
    if kind == "folder":
        inner = path / RUN_SPEC
        if kind_of(inner) == "file":
            return inner
        specs = _specs_in(path)
        raise UserError(
            Problem(
                where,
                f"{path} is a folder, and no run directory: it has no {RUN_SPEC}",
                **given,
                allowed=f"a spec's file, such as {listed(specs)}"
                if specs
                else f"a spec's file ({_SUFFIXES})",
            )
        )
    if kind is None:
        raise UserError(_missing(path, where, given))
    if path.suffix.lower() not in PARSERS:
        raise UserError(
            Problem(
                where,
                f"a spec's format is known by its suffix, and {path.suffix or 'none'} is no such suffix",
                **given,
                allowed=_SUFFIXES,
            )
        )
    return path


def read_file(path: Path, where: str) -> dict[str, Any]:
    """What the file holds, as it came out of its format.

    Raises:
        UserError: it cannot be read, is empty, broken, too large, or no object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(Problem(where, f"the file cannot be read: {error.strerror}")) from error
    if len(data) > _MOST_BYTES:
        raise UserError(Problem(where, "the file is larger than any spec", allowed="up to 1 MiB"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            Problem(where, f"the file is not UTF-8 (line {line})", hint="save it as UTF-8")
        ) from error
    if not text.strip():
        raise UserError(
            Problem(where, "the file is empty", hint='a spec needs a "student" and a "distiller"')
        )
    value = parse(text, path.suffix.lower(), where)
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value" if value is not None else "nothing"
        raise UserError(
            Problem(
                where,
                f"the file holds {kind}; a spec is an object",
                hint='such as {"student": ..., "distiller": ...}',
            )
        )
    return value


def _missing(path: Path, where: str, given: dict[str, Any]) -> Problem:
    near = neighbour(path)
    if near is None:
        specs = _specs_in(path.parent)
        same = [name for name in specs if Path(name).stem == path.stem]
        close = same or difflib.get_close_matches(path.name, specs, n=1)
        near = str(path.parent / close[0]) if close else None
    hint = None
    if kind_of(path.parent) != "folder":
        hint = f"the folder {path.parent} does not exist"
    elif near is None and (specs := _specs_in(path.parent)):
        hint = f"in that folder: {listed(specs)}"
    if (portable := with_slashes(str(given.get("value", path)))) is not None:
        near, hint = portable, SLASHES
    return Problem(
        where,
        "there is no such file" if not given else f"there is no file {path}",
        **given,
        nearest=near,
        hint=hint,
    )


def _specs_in(folder: Path) -> list[str]:
    try:
        names = [item.name for item in folder.iterdir()]
    except OSError:
        return []
    return sorted(name for name in names if Path(name).suffix.lower() in PARSERS and not name.startswith("."))
