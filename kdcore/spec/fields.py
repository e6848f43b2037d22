"""What the sections of a run spec are made of: strict numbers, texts, and the base class of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, Strict

if TYPE_CHECKING:
    from pydantic.config import JsonDict

_LONGEST: Final = 4096  # characters; no file system takes a longer path


def _path_like(value: str) -> str:
    if "\0" in value:
        raise ValueError("a name or path must not have a zero byte")
    if len(value) > _LONGEST:
        raise ValueError(f"no name or path has {len(value):,} characters (at most {_LONGEST:,})")
    return value


def _not_empty(value: tuple[float, ...]) -> tuple[float, ...]:
    if not value:
        raise ValueError("it must have one number, or one for each channel")
    return value


def _whole_if_it_is(value: float) -> float:
    return int(value) if value.is_integer() else value


def _as_it_is(value: float) -> float:
    return value


# strict: what YAML or --set made text or true is not taken for a number
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict()]
# a part is allowed; 5 stays 5, and 5.0 is 5
Count = Annotated[Float, AfterValidator(_whole_if_it_is), PlainSerializer(_as_it_is, int | float)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1), AfterValidator(_path_like)]
PerChannel = Annotated[tuple[Float, ...], AfterValidator(_not_empty)]


# at a field whose value changes no result: where a run leaves its things, how fast it is, how much memory it takes.
# `kdcore.spec.difference` reads it for resuming, comparing and the reference.
SAME_RESULTS: Final[JsonDict] = {"x-changes-results": False}


class Section(BaseModel):
    """A part of the spec: immutable, unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_list(value: Any) -> Any:
    """A list of objects with a name, from a name, an object or a list of both."""
    if isinstance(value, list | tuple):
        return [{"name": item} if isinstance(item, str) else item for item in value]
    return [{"name": value} if isinstance(value, str) else value]
