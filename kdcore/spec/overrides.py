"""`--set key.path=value`: single values of a spec changed from the command line."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, shown
from kdcore.spec.json_values import plain
from kdcore.spec.parsed import Object
from kdcore.spec.place import Fault, place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.spec.value_sources import Origins

_INDEX: Final = re.compile(r"\[(\d+)\]")
_FORM: Final = "key.path=value, such as train.epochs=5 or distiller.0.alpha=1"
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Override:
    """One flag: its text, the path it names, and the value."""

    text: str
    path: tuple[str, ...]
    value: Any

    @property
    def flag(self) -> str:
        """The flag as a message repeats it."""
        return f"--set {self.text if len(self.text) <= _SHOWN else self.text[: _SHOWN - 3] + '...'}"


class Overrides:
    """What the flags say, once it is applied to a spec; `origins` records which values are theirs.

    Attributes:
        faults: the flags that say nothing that can be done.
    """

    def __init__(self, texts: Iterable[str], origins: Origins) -> None:
        self.faults: list[Fault] = []
        self._origins = origins
        self._overrides: list[Override] = []
        for text in texts:
            parsed = _parse(text)
            if isinstance(parsed, Override):
                self._overrides.append(parsed)
            else:
                self._refuse(parsed)

    def apply(self, spec: dict[str, Any]) -> None:
        """Change the spec, in the order of the flags."""
        for override in self._overrides:
            problem = self._set(spec, override)
            if problem is not None:
                self._refuse(problem)

    def _refuse(self, problem: Problem) -> None:
        self.faults.append(Fault(("--set",), problem))

    def _set(self, spec: dict[str, Any], override: Override) -> Problem | None:
        node: Any = spec
        done: list[str | int] = []
        created: str | None = None
        steps = _without_needless_number(spec, override.path)
        for number, step in enumerate(steps):
            here = place(done)
            if isinstance(node, list):
                if not step.isdecimal() or int(step) >= len(node):
                    message = f"{here} is a list: say which of its items, by number"
                    return Problem("--set", message, value=override.text, allowed=_numbers(here, node))
                key: Any = int(step)
            elif isinstance(node, dict):
                key = step
            else:
                return Problem("--set", f"{here} is {shown(node)}, which has no keys", value=override.text)
            done.append(key)
            if number == len(steps) - 1:
                value, faults = plain(override.value, tuple(done))
                if faults:
                    told = faults[0].problem
                    inner = f"{told.where}: " if told.where != place(done) else ""
                    return Problem("--set", inner + told.message, value=override.text)
                node[key] = value
                break
            if isinstance(node, dict) and node.get(key) is None:
                node[key] = {}
                created = created or place(done)
            elif isinstance(node[key], str) and done[0] in ("distiller", "trackers") and len(done) <= 2:
                node[key] = {"name": node[key]}  # one without options may be written as its name
            node = node[key]
        self._origins.note(created or place(done), override.flag)
        return None


def _parse(text: str) -> Override | Problem:
    key, equals, value = text.partition("=")
    if not equals:
        return Problem("--set", "there is no '=' in it", value=text, allowed=_FORM)
    path = tuple(step.strip() for step in _INDEX.sub(r".\1", key).split("."))
    if not all(path):
        return Problem("--set", "a key in front of the '=' is empty", value=text, allowed=_FORM)
    try:
        return Override(text, path, json.loads(value, object_pairs_hook=_object))
    except (ValueError, RecursionError):
        return Override(text, path, value)


def _object(items: list[tuple[str, Any]]) -> Object:
    """A JSON object that knows which of its keys stand twice: `plain` tells it."""
    found = Object(items)
    found.duplicates = tuple(key for key, count in Counter(key for key, _ in items).items() if count > 1)
    return found


def _without_needless_number(spec: dict[str, Any], path: tuple[str, ...]) -> tuple[str, ...]:
    # a single distiller or teacher stands without a list around it, and is number 0 all the same
    if path[:2] in (("distiller", "0"), ("teacher", "0")) and isinstance(spec.get(path[0]), str | dict):
        return (path[0], *path[2:])
    return path


def _numbers(here: str, items: list[Any]) -> str:
    if not items:
        return "nothing: it is empty"
    return f"{here}.0 to {here}.{len(items) - 1}" if len(items) > 1 else f"{here}.0"
