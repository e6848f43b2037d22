"""Text to values: JSON, TOML and YAML, with the line and column of what is broken."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError
from kdcore.spec.parsed import Object, broken

if TYPE_CHECKING:
    from collections.abc import Callable

_TOML_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_MOST_DOTS: Final = 200
_MOST_KEYS: Final = 10_000
# strings, comments and numbers, in which a dot is not part of a key
_TOML_VALUES: Final = re.compile(r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'|#.*|(?<![\w.'\"-])[+-]?\d+\.\d*""")
_HINTS: Final = (
    (re.compile(r"/[/*]|#"), "JSON has no comments: take them out, or write the spec in TOML or YAML"),
    (re.compile(r"'"), "strings stand in double quotes"),
    (re.compile(r"None|True|False"), "JSON writes null, true and false"),
    (re.compile(r",?\s*[]}]"), "is there a comma too many before it?"),
    (re.compile(r"\""), "is a comma missing before it?"),
)


def parse_json(text: str, where: str) -> Any:
    """The value that a JSON text holds; raises UserError where it is broken."""

    def pairs(items: list[tuple[str, Any]]) -> Object:
        found = Object(items)
        if len(found) < len(items):
            count = Counter(key for key, _ in items)
            found.duplicates = tuple(key for key, times in count.items() if times > 1)
        return found

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].lstrip()
        hint = next((hint for start, hint in _HINTS if start.match(rest)), None)
        if not rest:
            hint = "the text ends too early: is a bracket or quote not closed?"
        broken("JSON", where, text, error.msg, error.lineno, error.colno, hint)


def parse_toml(text: str, where: str) -> Any:
    """The value that a TOML text holds; raises UserError where it is broken."""
    _check_keys(text, where)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.fullmatch(str(error))
        message, line, column = found.groups() if found else (str(error), None, None)
        last = text.count("\n") + 1
        broken("TOML", where, text, str(message), int(line or last), int(column) if column else None, None)


def _check_keys(text: str, where: str) -> None:
    """Refuse before it is parsed what would take the parser gigabytes: it keeps a table for each part of a key."""
    count = 0
    for number, line in enumerate(text.split("\n"), 1):
        dots = _TOML_VALUES.sub("", line).count(".")
        count += dots
        if dots > _MOST_DOTS:
            message = f"a key in line {number} has more parts than any field of a spec"
            raise UserError(Problem(where, message, allowed=f"up to {_MOST_DOTS} dots in a line"))
        if count > _MOST_KEYS:
            message = "the file has more dotted keys than any spec"
            raise UserError(Problem(where, message, allowed=f"up to {_MOST_KEYS} dots in keys"))


def parse_yaml(text: str, where: str) -> Any:
    """The value that a YAML text holds; raises UserError where it is broken or holds more than data."""
    from kdcore.spec.yaml_loader import parse  # PyYAML is imported for YAML alone

    return parse(text, where)


PARSERS: Final[dict[str, Callable[[str, str], Any]]] = {
    ".json": parse_json,
    ".toml": parse_toml,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
}


def parse(text: str, suffix: str, where: str) -> Any:
    """The value that a text holds, in the format of a suffix of `PARSERS`.

    Objects of JSON and YAML come as `Object`.

    Raises:
        UserError: with line and column of what is broken.
    """
    try:
        return PARSERS[suffix](text, where)
    except RecursionError:
        raise UserError(Problem(where, "its values are nested too deeply")) from None
    except (ValueError, OverflowError) as error:  # such as a number of more digits than Python reads
        raise UserError(Problem(where, f"a value cannot be read: {error}")) from error
