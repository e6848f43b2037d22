"""What commands print: results on stdout, warnings and errors on stderr. Without rich: it is slow to import."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from kdcore.cli.streams import OutputLost
from kdcore.errors import Problem, first_of
from kdcore.terminal import SafeStream
from kdcore.text import columns, json_safe, message, printable

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
# characters that no text contains (Unicode reserves them for programs) mark the styles until they are printed
_STYLES: Final = {"bold": "\ufdd1", "red": "\ufdd2", "yellow": "\ufdd3"}
_END: Final = "\ufdd0"
_CODES: Final = {_END: "0", _STYLES["bold"]: "1", _STYLES["red"]: "31", _STYLES["yellow"]: "33"}
_NARROWEST = 24  # least width of the last, wrapped cell of a row


def say(text: object = "", *, err: bool = False) -> None:
    """Print a line for people: with styles on a terminal, and with visible escapes for control characters.

    Further lines must start with four spaces, as those of a `Problem` do.
    """
    stream = sys.stderr if err else sys.stdout
    marks = {mark: f"\x1b[{code}m" for mark, code in _CODES.items()} if _has_styles(stream) else {}
    parts = re.split(f"([{''.join(_CODES)}])", str(text))
    line = "".join(marks.get(part, "") if part in _CODES else message(part) for part in parts)
    if isinstance(stream, SafeStream):
        stream.put(f"{line}\n")
    else:
        stream.write(f"{line}\n")


def say_all(lines: Iterable[object]) -> None:
    """Print lines for people."""
    for line in lines:
        say(line)


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(json_safe(text) + "\n")


def stdout_for_the_result() -> contextlib.redirect_stdout[TextIO]:
    """Send everything that is printed inside to stderr, so that stdout has only the result."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Print a result that is also in files; an output that cannot be written is not an error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OutputLost as error:
        warn_all([f"{error}; the result is in {folder}"])


def warn_all(lines: Iterable[str]) -> None:
    """Print warning lines."""
    for line in lines:
        say(f"{styled('warning:', 'yellow')} {line}", err=True)


def print_error(text: str) -> None:
    """Print the error that ended the command."""
    say(f"{styled('error:', 'red')} {text}", err=True)


def print_problems(problems: Sequence[Problem]) -> None:
    """Print all problems, numbered if there are several."""
    if len(problems) == 1:
        print_error(str(problems[0]))
        return
    print_error(f"{len(problems)} problems")
    shown, more = first_of(problems)
    for number, problem in enumerate(shown, 1):
        say(f"{number}. {problem}", err=True)
    for line in more:
        say(line, err=True)


def styled(text: str, style: str) -> str:
    """The text in this style, if `say` prints it on a terminal with styles."""
    return f"{_STYLES[style]}{text}{_END}"


def _has_styles(stream: Any) -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and bool(stream.isatty())


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """Lines of aligned columns; on a terminal the last column is wrapped, otherwise a row is one line."""
    safe = [list(header), *([printable(cell) for cell in row] for row in rows)]
    starts = columns([[*row[:-1], ""] for row in safe])
    lines = [_wrapped(indent + start, row[-1]) for start, row in zip(starts, safe, strict=True)]
    heads = [styled(line, "bold") for line in lines[0]]
    return [*heads, *(line for row in lines[1:] for line in row)]


def terminal_width() -> int | None:
    """The width that stdout has for a line; None if it is not a terminal: then no line is broken."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _wrapped(start: str, cell: str) -> list[str]:
    width = terminal_width()
    if width is None:
        return [(start + cell).rstrip()]
    room = max(width - len(start), _NARROWEST)
    first, *others = textwrap.wrap(cell, room, break_on_hyphens=False) or [""]
    return [(start + first).rstrip(), *(" " * len(start) + line for line in others)]


def bold(text: str) -> str:
    """A heading on stdout."""
    return styled(printable(text), "bold")
