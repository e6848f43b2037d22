"""Where something stands in a spec: a path of keys and numbers, and how a message writes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.errors import Problem

Path = tuple[str | int, ...]

_PLAIN = re.compile(r"[\w$-]+")
_SHOWN = 60  # characters of a key that a message repeats


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem, and the path of what it is about; `usable` where a value is there that can be checked on."""

    path: Path
    problem: Problem
    usable: bool = False


def place(path: Iterable[str | int]) -> str:
    """The path as messages write it: `distiller[1].alpha`; keys with other characters stand in `["quotes"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{_cut(step)}" if text else _cut(step)
        else:
            text += f"[{json.dumps(_cut(step))}]"
    return text


def within(where: str, outer: str) -> bool:
    """Whether a place is another one or lies in it."""
    return where == outer or where.startswith((f"{outer}.", f"{outer}["))


def _cut(key: str) -> str:
    return key if len(key) <= _SHOWN else key[: _SHOWN - 3] + "..."
