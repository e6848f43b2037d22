"""What a file gave as plain JSON values: no dates, no NaN, no keys twice, nothing endless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kdcore.errors import Problem
from kdcore.spec.parsed import Object
from kdcore.spec.place import Fault, Path, place

_DEEPEST: Final = 32
_MOST: Final = 100_000  # values; aliases of aliases of aliases in YAML stand for more than any memory holds
_GREATEST: Final = 2**63 - 1
_OMITTED: Final = object()


def plain(value: Any, path: Path = ()) -> tuple[Any, list[Fault]]:
    """A copy that shares nothing, of objects, lists, text, numbers, true, false and null; and what was left out.

    `path` is where the value stands.
    """
    copier = _Copier()
    copied = copier.copy(value, path)
    return (None if copied is _OMITTED else copied), copier.faults


class _Copier:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._count = 0
        self._full = False

    def copy(self, value: Any, path: Path) -> Any:
        self._count += 1
        if self._count > _MOST:
            if not self._full:
                self._full = True
                self.faults.append(Fault(path[:1], Problem(place(path[:1]), "there are too many values")))
            return _OMITTED
        if isinstance(value, dict | list | tuple) and len(path) > _DEEPEST:
            return self._omit(path[:3], "its values are nested too deeply")
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list | tuple):
            copies = [self.copy(item, (*path, number)) for number, item in enumerate(value)]
            return [None if copied is _OMITTED else copied for copied in copies]
        return self._scalar(value, path)

    def _object(self, value: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key in value.duplicates if isinstance(value, Object) else ():
            problem = Problem(place((*path, key)), "this key stands twice", hint="take one of them out")
            self.faults.append(Fault((*path, key), problem, usable=True))
        for key, item in value.items():
            if not isinstance(key, str) or not _is_text(key):
                hint = f'quote it: "{key}"' if not isinstance(key, str) else None
                problem = Problem(place(path), "a key must be text", value=key, hint=hint)
                self.faults.append(Fault(path, problem, usable=True))
                continue
            made = self.copy(item, (*path, key))
            if made is not _OMITTED:
                copied[key] = made
        return copied

    def _scalar(self, value: Any, path: Path) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return (
                value
                if _is_text(value)
                else self._omit(path, "this text has an unpaired UTF-16 surrogate", value=value)
            )
        if isinstance(value, int):
            if abs(value) > _GREATEST:
                return self._omit(
                    path, "this number is too large", allowed=f"whole numbers up to {_GREATEST}"
                )
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else self._omit(path, "a number must be finite", value=value)
        hint = "quote it if text is meant" if not isinstance(value, bytes | Sequence) else None
        return self._omit(
            path,
            f"a {type(value).__name__} is not a value that a spec can have",
            value=str(value),
            allowed="text, numbers, true, false, null, lists and objects",
            hint=hint,
        )

    def _omit(self, path: Path, message: str, **fields: Any) -> Any:
        self.faults.append(Fault(path, Problem(place(path), message, **fields)))
        return _OMITTED


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape and nothing can print
        return False
    return True
