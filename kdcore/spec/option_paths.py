"""Options of plugins that are paths: made absolute, as seen from the spec's file, and looked for."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Final

from kdcore.options import PathKind
from kdcore.spec.paths import absolute, kind_of, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from kdcore.errors import Problem

_SUFFIXES: Final = {"file": "file", "folder": "folder", "any": "file or folder"}


def located(options: BaseModel, base: Path, where: str) -> tuple[dict[str, str], list[Problem]]:
    """The options that are paths, absolute and by the names that a spec has for them, and those that do not exist."""
    paths: dict[str, str] = {}
    problems: list[Problem] = []
    for name, field in type(options).model_fields.items():
        kind = _kind(field)
        value = getattr(options, name)
        if kind is None or not isinstance(value, str):
            continue
        key = field.serialization_alias or field.alias or name
        paths[key] = path = absolute(value, base)
        found = kind_of(path)
        if found is None or (kind.what != "any" and found != kind.what):
            problems.append(missing(f"{where}.{key}", value, path, _SUFFIXES[kind.what]))
    return paths, problems


def _kind(field: FieldInfo) -> PathKind | None:
    """What a field's type says about its path, in the type itself or in a part of a union."""
    return next(_marks((*field.metadata, field.annotation)), None)


def _marks(parts: tuple[Any, ...]) -> Iterator[PathKind]:
    for part in parts:
        if isinstance(part, PathKind):
            yield part
        elif typing.get_origin(part) is typing.Annotated:
            yield from _marks(part.__metadata__)
        else:
            yield from _marks(typing.get_args(part))
