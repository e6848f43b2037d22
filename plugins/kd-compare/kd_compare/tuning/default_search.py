"""The search space of a distiller that nobody gave one: around the paper's value of each of its numbers."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from kd_compare.tuning.search import Dimension

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from kdcore.inspect import LoadedSpec

_FACTOR: Final = 8.0  # a value above 0 is searched from an eighth to eight times of itself
_LEFT_OUT: Final = ("schedule", "dim", "queue", "negatives")
"""Sizes of heads and memories: they cost time and memory, and are chosen for these."""


def default_search(loaded: LoadedSpec) -> list[Dimension]:
    """The numbers among the options of the spec's distillers, each with a range around the paper's value.

    A range stays within what the option allows. Numbers of epochs go from 0 to the run's epochs.
    """
    alone = len(loaded.distillers) == 1
    found = []
    for number, distiller in enumerate(loaded.distillers):
        prefix = "distiller" if alone else f"distiller.{number}"
        for name, field in type(distiller.options).model_fields.items():
            value = getattr(distiller.options, name)
            if name in _LEFT_OUT or not _is_number(field.annotation):
                continue
            default = field.default if _is_value(field.default) else value
            one = _dimension(f"{prefix}.{name}", default, field, loaded.spec.train.epochs)
            if one is not None:
                found.append(one)
    return found


def _dimension(path: str, default: Any, field: FieldInfo, epochs: int) -> Dimension | None:
    if not _is_value(default):
        return None
    low, high = _bounds(field)
    if isinstance(default, int):
        if path.endswith("epochs"):
            return Dimension(path, "int", 0, max(epochs, default))
        ends = max(1, round(default / _FACTOR), low or 0), min(round(default * _FACTOR), high or float("inf"))
        usable = default > 0 and ends[0] < ends[1]
        return Dimension(path, "int", int(ends[0]), int(ends[1]), log=True) if usable else None
    if low is not None and high is not None:
        return Dimension(path, "float", low, high)
    if default <= 0:
        return None
    ends = max(default / _FACTOR, low or 0.0), min(default * _FACTOR, high or float("inf"))
    return Dimension(path, "float", *ends, log=True) if 0 < ends[0] < ends[1] else None


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_number(part) for part in get_args(annotation))
    return annotation in (int, float)


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the greatest value that the option allows; None: no limit. An excluded end is not returned."""
    low = high = None
    for mark in field.metadata:
        low = getattr(mark, "ge", low)
        high = getattr(mark, "le", high)
    return low, high
