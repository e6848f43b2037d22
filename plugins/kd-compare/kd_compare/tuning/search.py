"""The search space: which values of the spec are tried, and from which range or list."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE: Final = "--search"
_FORMS: Final = (
    'key.path=LOW..HIGH, LOW..HIGH/STEP, "log(LOW..HIGH)", "int(LOW..HIGH)" or a list of values A,B,C; '
    "or a .toml file"
)
_RANGE: Final = re.compile(
    r"(?:(log|int|float)\()?\s*([^.()\s]\S*?)\s*\.\.\s*([^()/\s]+?)(?:\s*/\s*([^()\s]+))?\s*(\))?"
)


@dataclass(frozen=True)
class Dimension:
    """One value of the spec that is searched.

    Attributes:
        path: its place in the spec, as for `--set`.
        kind: `float` and `int` lie in a range; `choice` is one of a list.
        low, high: the ends of the range, which belong to it.
        log: whether values are drawn evenly on a logarithmic scale.
        step: between two values; None: any value.
        choices: the list, of values that JSON can write.
    """

    path: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def ends(self) -> tuple[Any, ...]:
        """The values that are checked before anything is trained: both ends, or all choices."""
        return self.choices if self.kind == "choice" else (self.number(self.low), self.number(self.high))

    def number(self, value: float) -> float | int:
        """A value of the range, with its type."""
        return int(value) if self.kind == "int" else float(value)

    def __str__(self) -> str:
        if self.kind == "choice":
            return ",".join(json.dumps(value) for value in self.choices)
        text = f"{self.number(self.low):g}..{self.number(self.high):g}"
        text += "" if self.step is None else f"/{self.step:g}"
        return f"log({text})" if self.log else f"int({text})" if self.kind == "int" else text


def parse_dimension(path: str, value: Any, default: Any) -> Dimension:
    """A dimension from what a flag or a file says.

    Args:
        path: its place in the spec.
        value: the text after `=`; from a file also a list, or an object of low, high, log and step.
        default: the value that the spec has: a range between whole numbers is of whole numbers unless this is a float.

    Raises:
        UserError: it has another form, or the range is empty.
    """
    if isinstance(value, list):
        return _choice(path, value)
    if isinstance(value, dict):
        return _from_table(path, value, default)
    text = str(value).strip()
    found = _RANGE.fullmatch(text)
    if found is None or bool(found[1]) != bool(found[5]):
        return _choice(path, _values(path, text))
    how, low, high, step = found[1], _number(path, found[2]), _number(path, found[3]), found[4]
    given = None if step is None else _number(path, step)
    whole = all(isinstance(one, int) for one in (low, high, given or 0))
    if how == "int" and not whole:
        raise UserError(Problem(WHERE, "the ends of int(...) must be whole numbers", f"{path}={text}"))
    kind: Literal["float", "int"] = (
        "int" if how == "int" or (how != "float" and whole and not isinstance(default, float)) else "float"
    )
    return _checked(Dimension(path, kind, low, high, how == "log", given))


def _from_table(path: str, table: Mapping[str, Any], default: Any) -> Dimension:
    known = {"low", "high", "log", "step"}
    if not {"low", "high"} <= set(table) <= known:
        message = "a range is an object of low and high, and optionally log and step"
        raise UserError(
            Problem(f"{WHERE} {path}", message, ", ".join(table), allowed=", ".join(sorted(known)))
        )
    numbers = [table["low"], table["high"], table.get("step") or 0]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise UserError(Problem(f"{WHERE} {path}", "low, high and step must be numbers", str(dict(table))))
    whole = all(isinstance(one, int) for one in numbers) and not isinstance(default, float)
    log = table.get("log", False)
    if not isinstance(log, bool):
        raise UserError(Problem(f"{WHERE} {path}", "log must be true or false", log))
    return _checked(
        Dimension(path, "int" if whole else "float", table["low"], table["high"], log, table.get("step"))
    )


def _checked(one: Dimension) -> Dimension:
    text = f"{one.path}={one}"
    if not one.low < one.high or abs(one.high) == float("inf") or abs(one.low) == float("inf"):
        raise UserError(Problem(WHERE, "the low end must be below the high end", text))
    if one.log and one.low <= 0:
        raise UserError(Problem(WHERE, "a logarithmic range must begin above 0", text))
    if one.step is not None and (one.log or not 0 < one.step <= one.high - one.low):
        message = "a step must be above 0 and no longer than the range; a logarithmic range has none"
        raise UserError(Problem(WHERE, message, text))
    return one


def _choice(path: str, values: list[Any]) -> Dimension:
    if len(values) < 2:
        raise UserError(Problem(WHERE, "there is nothing to search", f"{path}={values}", allowed=_FORMS))
    if any(values.count(value) > 1 for value in values):
        raise UserError(Problem(WHERE, "a value stands twice in the list", f"{path}={values}"))
    return Dimension(path, "choice", choices=tuple(values))


def _values(path: str, text: str) -> list[Any]:
    if ".." in text or "(" in text:
        raise UserError(
            Problem(WHERE, "this is neither a range nor a list", f"{path}={text}", allowed=_FORMS)
        )
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    return whole if isinstance(whole, list) else [_json_or_text(part.strip()) for part in text.split(",")]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(path: str, text: str) -> float | int:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UserError(
        Problem(WHERE, "this end of the range is not a number", f"{path}: {text}", allowed=_FORMS)
    )


def split_search(text: str) -> tuple[str, str]:
    """The path and the rest of `key.path=...`.

    Raises:
        UserError: it has another form.
    """
    path, equals, value = text.partition("=")
    if not (path.strip() and equals and value.strip()):
        raise UserError(Problem(WHERE, "this is not a part of a search space", text, allowed=_FORMS))
    return path.strip(), value
