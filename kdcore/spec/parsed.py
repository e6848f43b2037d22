"""What the parsers of all formats share: a mapping that knows its repeated keys, and the error of a broken file."""

from __future__ import annotations

from typing import Any, NoReturn

from kdcore.errors import Problem, UserError


class Object(dict[Any, Any]):
    """A mapping of the file, and the keys that it has more than once."""

    duplicates: tuple[str, ...] = ()


def broken(
    kind: str, where: str, text: str, message: str, line: int, column: int | None, hint: str | None
) -> NoReturn:
    """Raise the error of a broken file, with the line in question."""
    lines = text.splitlines()
    position = f"line {line}" + (f", column {column}" if column else "")
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    plain = message[:1].lower() + message[1:]
    problem = Problem(where, f"broken {kind} in {position}: {plain}", hint=hint)
    if shown:
        problem = Problem(where, problem.message, value=shown, hint=hint)
    raise UserError(problem) from None
