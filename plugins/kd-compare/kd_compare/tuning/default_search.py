"""The search space of a distiller that nobody gave one: around the spec's value of each of its numbers."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from kd_compare.tuning.search import Dimension

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from kdcore.inspect import LoadedSpec

_FACTOR: Final = 8.0  # a value above 0 is searched from an eighth to eight times of itself
_LEFT_OUT: Final = ("schedule",)


@dataclass(frozen=True)
class _Range:
    """What an option allows. An end is None without a limit; an excluded end is not allowed itself."""

    low: float | None
    high: float | None
    low_excluded: bool
    high_excluded: bool


def default_search(loaded: LoadedSpec) -> list[Dimension]:
    """The numbers among the options of the spec's distillers, each with a range around the spec's value.

    That is the paper's or the recipe's value, unless the spec has its own. A range stays within what the option allows.
    Numbers of epochs go from 0 to the run's epochs. Other whole numbers are sizes and counts (of heads, memories,
    stages, samples): they are chosen for time and memory, and stay.
    """
    alone = len(loaded.distillers) == 1
    found = []
    for number, distiller in enumerate(loaded.distillers):
        prefix = "distiller" if alone else f"distiller.{number}"
        for name, field in type(distiller.options).model_fields.items():
            if name in _LEFT_OUT or not _is_number(field.annotation):
                continue
            value = getattr(distiller.options, name)
            # a weight that the spec sets to 0 has no order of magnitude
            centre = value if _is_value(value) and value else field.default
            one = _dimension(f"{prefix}.{name}", centre, _allowed(field), loaded.spec.train.epochs)
            if one is not None:
                found.append(one)
    return found


def _dimension(path: str, centre: Any, allowed: _Range, epochs: int) -> Dimension | None:
    if not _is_value(centre):
        return None
    if isinstance(centre, int):
        return Dimension(path, "int", 0, max(epochs, centre)) if path.endswith("epochs") else None
    if allowed.low is not None and allowed.high is not None:
        low = _near(centre, allowed.low) if allowed.low_excluded else allowed.low
        high = _near(centre, allowed.high) if allowed.high_excluded else allowed.high
        return Dimension(path, "float", low, high)
    if centre <= 0:
        return None
    low, high = centre / _FACTOR, centre * _FACTOR
    if allowed.low is not None and low <= allowed.low:
        low = _near(centre, allowed.low) if allowed.low_excluded or not allowed.low else allowed.low
    if allowed.high is not None and high >= allowed.high:
        high = _near(centre, allowed.high) if allowed.high_excluded else allowed.high
    return Dimension(path, "float", low, high, log=True) if 0 < low < high else None


def _near(value: float, end: float) -> float:
    """The value at an eighth of the way from an end that is not allowed itself."""
    return end + (value - end) / _FACTOR


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(annotation: Any) -> bool:
    """Whether an option is a number, perhaps null or a list of them; one that may be a text is none."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = get_args(annotation)
        return str not in parts and any(_is_number(part) for part in parts)
    return annotation in (int, float)


def _allowed(field: FieldInfo) -> _Range:
    ends = {}
    for mark in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(mark, name, None) is not None:
                ends[name] = getattr(mark, name)
    return _Range(
        low=ends.get("ge", ends.get("gt")),
        high=ends.get("le", ends.get("lt")),
        low_excluded="gt" in ends,
        high_excluded="lt" in ends,
    )
