"""What commands print: results on stdout, warnings and errors on stderr. Fast, so not by rich."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, TextIO

import typer

from kdcore.errors import Problem

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
_STYLES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33", "green": "32"}
_NARROWEST = 24  # columns that the last, wrapped cell of a row has at least


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextlib.contextmanager
def stdout_for_the_result() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, by C++ libraries too, so that stdout has the result alone."""
    sys.stdout.flush()
    kept = None
    with contextlib.suppress(OSError):  # a process may have been started without a stdout
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def warn_all(lines: Iterable[str]) -> None:
    """Print warning lines."""
    for line in lines:
        print(f"{styled('warning:', 'yellow', sys.stderr)} {line}", file=sys.stderr)


def print_error(text: str) -> None:
    """Print what ended the command."""
    print(f"{styled('error:', 'red', sys.stderr)} {text}", file=sys.stderr)


def print_problems(problems: Sequence[Problem]) -> None:
    """Print everything that the user has to mend, numbered if it is more than one thing."""
    if len(problems) == 1:
        print_error(str(problems[0]))
        return
    print_error(f"{len(problems)} problems")
    for number, problem in enumerate(problems, 1):
        print(f"{number}. {problem}", file=sys.stderr)


def styled(text: str, style: str, stream: TextIO) -> str:
    """The text in this style if the stream is a terminal that has not asked for none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Aligned columns; in a terminal the last one is wrapped, elsewhere every row is one line."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [_row(row, widths, indent) for row in rows]
    head = styled(_row(header, widths, indent), "bold", sys.stdout)
    return "\n".join([head, *lines])


def _row(cells: Sequence[str], widths: Sequence[int], indent: str) -> str:
    fixed = [cell.ljust(width) for cell, width in zip(cells[:-1], widths[:-1], strict=True)]
    start = indent + "".join(f"{cell}  " for cell in fixed)
    if not sys.stdout.isatty():
        return (start + cells[-1]).rstrip()
    room = max(shutil.get_terminal_size().columns - len(start), _NARROWEST)
    wrapped = textwrap.wrap(cells[-1], room, break_on_hyphens=False) or [""]
    return f"\n{' ' * len(start)}".join([start + wrapped[0], *wrapped[1:]]).rstrip()


def bold(text: str) -> str:
    """A heading on stdout."""
    return styled(text, "bold", sys.stdout)
