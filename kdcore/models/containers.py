"""Where in a checkpoint's content the weights are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from timm.models import clean_state_dict
from torch import Tensor

from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_AVERAGED: Final = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "model_ema_state_dict",
    "ema_model",
    "params_ema",
    "ema",
)
_LAST: Final = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model_weights",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "params_state_dict",
    "student",
    "student_state_dict",
    "module",
    "model_dict",
    "net_state_dict",
)
_HOLDERS: Final = (*_AVERAGED, *_LAST)
"""Where training programs keep the weights in a checkpoint; averaged ones first, as timm does."""

_NEVER: Final = (
    "optim",
    "sched",
    "scaler",
    "loss",
    "criterion",
    "rng",
    "metric",
    "hyper_parameters",
    "loops",
)
"""What begins the names of things next to weights that may hold tensors by name."""

_DEEPEST = 4


@dataclass(frozen=True)
class FoundWeights:
    """Weights by name, on the CPU or on the meta device, a line for each warning, and what is next to the weights."""

    tensors: dict[str, Tensor]
    warnings: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)


def weights_in(content: Any, path: Path, where: str) -> FoundWeights:
    """Tensors by name: the content itself, or what lies under one of the names that training programs use.

    Raises:
        UserError: there are none, several sets of them, or some of a kind that no model here has.
    """
    found = _search(content, "")
    name = _known(found)
    if len(found) > 1 and name is None:
        raise UserError(
            Problem(
                where,
                f"holds several sets of weights: {listed(sorted(found), 5)}",
                value=str(path),
                hint="save the wanted one alone: torch.save(content[NAME], FILE)",
            )
        )
    if not found:
        raise UserError(
            Problem(
                where,
                f"holds no weights{_seen(content)}",
                value=str(path),
                allowed="tensors by name, alone or under one of " + ", ".join(_HOLDERS),
            )
        )
    name = next(iter(found)) if name is None else name
    tensors = dict(clean_state_dict(found[name]))  # the prefixes of DataParallel and torch.compile
    _check_kinds(tensors, path, where)
    others = sorted(set(found) - {name})
    beside = {key: value for key, value in content.items() if isinstance(key, str)}
    if not others:
        return FoundWeights(tensors, beside=beside)
    kept = f"{where}: the file holds several sets of weights: '{name}' is used, not {listed(others, 3)}"
    return FoundWeights(tensors, (kept,), beside)


def _search(content: Any, place: str, depth: int = 0) -> dict[str, dict[str, Tensor]]:
    """Each set of tensors by name, by its place in the content."""
    if not isinstance(content, dict) or depth > _DEEPEST:
        return {}
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    below: dict[str, dict[str, Tensor]] = {}
    for key, value in named.items():
        if isinstance(value, dict) and not key.lower().startswith(_NEVER):
            below |= _search(value, f"{place}.{key}" if place else key, depth + 1)
    if any(_holder_rank(key) is not None for key in below):
        return below  # a counter or an average's decay may be next to the weights' own dict
    if any(_is_weight(key, value) for key, value in tensors.items()):
        return {place: tensors}
    return below


def _is_weight(name: str, value: Tensor) -> bool:
    """Whether a tensor next to other things is one of a model's, and no counter."""
    return value.dim() > 0 or "." in name


def _holder_rank(place: str) -> int | None:
    """How early in `_HOLDERS` the names of a place are; None: none of them is there."""
    ranks = [_HOLDERS.index(part) for part in place.split(".") if part in _HOLDERS]
    return min(ranks) if ranks else None


def _known(found: Mapping[str, Any]) -> str | None:
    """The set to take: the earliest of the known holders."""
    ranked = [(rank, place) for place in found if (rank := _holder_rank(place)) is not None]
    return min(ranked)[1] if ranked else None


def _seen(content: Any) -> str:
    """What there is instead, for the message."""
    if isinstance(content, dict):
        if not content:
            return ": it is an empty dict"
        keys = [str(key) for key in content]
        kinds = {type(value).__name__ for value in content.values()}
        return f": its keys are {listed(keys, 5)} ({', '.join(sorted(kinds)[:3])})"
    return f": it is one {type(content).__name__}"


def _check_kinds(tensors: Mapping[str, Tensor], path: Path, where: str) -> None:
    """Raises UserError for tensors that a model's weights cannot be copied from."""
    for name, value in tensors.items():
        if value.layout != torch.strided:
            kind = str(value.layout).removeprefix("torch.")
            what, hint = f"sparse ({kind})", "save it dense: weight.to_dense()"
        elif value.is_quantized:
            what = f"quantised ({str(value.dtype).removeprefix('torch.')})"
            hint = "save the weights of the model before it was quantised, or weight.dequantize()"
        else:
            continue
        raise UserError(Problem(where, f"the weight {name} is {what}", value=str(path), hint=hint))
