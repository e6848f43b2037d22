"""Checking a spec in spite of its mistakes, so that one message has all of them.

Where something is wrong, that value is taken out (or a stand-in is put there) and the rest is checked on.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from kdcore.spec.models import RunSpec
from kdcore.spec.place import Fault, Path, place, within
from kdcore.spec.problems import faults as faults_of

if TYPE_CHECKING:
    from kdcore.spec.wording import Schema

_MODEL: Final = "resnet18"
_DISTILLER: Final = "vanilla"
_TRANSFORM: Final = ("student", "transform")
_ROUNDS: Final = 5


@cache
def run_spec_schema() -> Schema:
    """The JSON Schema of the run spec's models."""
    return RunSpec.model_json_schema()


class Mended:
    """A spec as far as it is right.

    Attributes:
        spec: the spec with stand-ins where it is wrong; None where too little is left.
        faults: what is wrong.
    """

    def __init__(self, raw: dict[str, Any], known: list[Fault]) -> None:
        self.spec: RunSpec | None = None
        self.faults: list[Fault] = []
        self._wrong: list[str] = []
        mended = copy.deepcopy(raw)
        self._mend(mended, [fault for fault in known if not fault.usable])
        for _ in range(_ROUNDS):
            try:
                self.spec = RunSpec.model_validate(mended)
                return
            except ValidationError as error:
                found = faults_of(error, mended, run_spec_schema())
            self.faults += [fault for fault in found if not self._follows(fault)]
            self._mend(mended, found)

    def _mend(self, raw: dict[str, Any], faults: list[Fault]) -> None:
        for fault in faults:
            self._wrong += _take_out(raw, fault.path)
        _stand_in(raw, self._wrong)

    def wrong(self, where: str) -> bool:
        """Whether what stands at a place is wrong already, as a whole."""
        return any(within(where, outer) for outer in self._wrong)

    def _follows(self, fault: Fault) -> bool:
        # a section is reported as wrong for what was taken out of it
        where = place(fault.path)
        return any(within(where, known) or within(known, where) for known in self._wrong)


def _take_out(raw: dict[str, Any], path: Path) -> list[str]:
    """Take out what is wrong; returns the places that need no further check."""
    steps: list[Any] = [raw]
    for step in path:
        try:
            steps.append(steps[-1][step])
        except (KeyError, IndexError, TypeError):
            break
    is_model = path in (("student",), ("teacher",)) or (path[:1] == ("teacher",) and len(path) == 2)
    if is_model and len(steps) == len(path) + 1 and isinstance(steps[-1], dict):
        # keys of it that do not go together: its model is right all the same
        section, role = steps[-1], place(path)
        gone = [key for key in ("pretrained", "checkpoint", "run") if section.pop(key, None) is not None]
        return [f"{role}.{key}" for key in (gone if section.get("model") else (*gone, "model"))]
    if path[:2] == _TRANSFORM and isinstance(raw.get("student"), dict):
        raw["student"].pop("transform", None)  # one without a name, or the like, leaves nothing to check
        return [place(path[:2])]
    for holder, step in reversed(list(zip(steps, path, strict=False))):
        if isinstance(holder, dict):
            holder.pop(step, None)
            break
        if isinstance(holder, list) and path[0] == "distiller":
            holder[int(step)] = _DISTILLER
            break
    return [place(path)]


def _stand_in(raw: dict[str, Any], wrong: list[str]) -> None:
    """Fill in what a spec must have and this one lacks, if that is reported already."""
    if "student" in wrong and not isinstance(raw.get("student"), dict):
        raw["student"] = {"model": _MODEL}
    for role in ("student", "teacher"):
        if f"{role}.model" in wrong and isinstance(raw.get(role), dict):
            raw[role].setdefault("model", _MODEL)
    for number, item in enumerate(raw["teacher"] if isinstance(raw.get("teacher"), list) else ()):
        if isinstance(item, dict) and f"teacher[{number}].model" in wrong:
            item.setdefault("model", _MODEL)
    if "distiller" in wrong:
        raw.setdefault("distiller", _DISTILLER)
    if isinstance(raw.get("distiller"), dict) and "distiller.name" in wrong:
        raw["distiller"].setdefault("name", _DISTILLER)
    for number, item in enumerate(raw["distiller"] if isinstance(raw.get("distiller"), list) else ()):
        if isinstance(item, dict) and f"distiller[{number}].name" in wrong:
            item.setdefault("name", _DISTILLER)
