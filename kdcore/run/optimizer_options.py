"""What an optimizer takes in addition to learning rate, momentum and weight decay, and what a spec gives it."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Union

import torch
from timm.optim import get_optimizer_class, get_optimizer_info

from kdcore.errors import Problem, listed, nearest
from kdcore.spec.models import OptimizerSpec
from kdcore.spec.names import DOT, plain_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHERE: Final = "optimizer.options"
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
    torch.dtype: ", ".join(repr(name) for name in _DTYPES),
}
_UNIONS: Final = (Union, types.UnionType)


def option_problems(spec: OptimizerSpec) -> Iterator[Problem]:
    """Each option that the optimizer does not take, or whose value is of another type."""
    taken = _taken(spec.name) if spec.options else {}
    for name, value in spec.options.items():
        where = f"{_WHERE}.{name}"
        if name in _fields(spec.name) or name == "params":
            hint = f"write it as optimizer.{name}" if name != "params" else "leave it out"
            yield Problem(where, "it is not one of the optimizer's options", value=value, hint=hint)
        elif name not in taken:
            message = f"'{spec.name}' has no such option"
            yield Problem(
                where, message, value=value, allowed=listed(taken, 40), nearest=nearest(name, taken)
            )
        elif not _fits(value, taken[name]):
            wanted = " or ".join(dict.fromkeys(_words(taken[name])))
            yield Problem(where, f"'{spec.name}' takes another type here", value=value, allowed=wanted)


def option_values(spec: OptimizerSpec) -> dict[str, Any]:
    """The options as the optimizer takes them: the name of a number format becomes torch's."""
    taken = _taken(spec.name) if spec.options else {}
    return {
        name: _DTYPES.get(value, value)
        if isinstance(value, str) and torch.dtype in _kinds(taken[name])
        else value
        for name, value in spec.options.items()
    }


def _taken(name: str) -> dict[str, Any]:
    """The options by name, and the type of each."""
    plain = plain_optimizer(name)
    if plain == DOT:
        return {}
    info = get_optimizer_info(plain)
    made: Any = get_optimizer_class(plain, bind_defaults=False)
    left_out = {"params", *_fields(name)}
    # timm drops these two in silence where the optimizer does not use them
    left_out |= set() if info.has_eps else {"eps"}
    left_out |= set() if info.has_betas else {"betas"}
    try:
        hints = typing.get_type_hints(made.__init__)
    except (NameError, TypeError, AttributeError):  # names that only type checkers see
        hints = {}
    return {
        parameter.name: _type(parameter, hints)
        for parameter in inspect.signature(made).parameters.values()
        if parameter.name not in left_out
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _fields(name: str) -> set[str]:
    """The settings that stand next to `options`; `delta` is an option of some optimizers of timm."""
    return set(OptimizerSpec.model_fields) - (set() if plain_optimizer(name) == DOT else {"delta"})


def _type(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    default = parameter.default
    if parameter.name in hints:
        hint = hints[parameter.name]
        return hint | None if default is None else hint
    return Any if default is None or default is parameter.empty else type(default)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type."""
    return typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    # where a number format is taken, text is its name
    kinds = [kind for kind in _kinds(hint) if kind is not str or torch.dtype not in _kinds(hint)]
    return any(_fits_one(value, kind) for kind in kinds)


def _fits_one(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is torch.dtype:
        return isinstance(value, str) and value in _DTYPES
    if origin in (torch.Tensor, Callable):  # a spec is data
        return False
    if origin in (tuple, list):
        parts = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            return False
        if origin is list or parts[1:] == (...,):
            return all(_fits(item, part) for item in value for part in parts[:1])
        return not parts or (len(value) == len(parts) and all(map(_fits, value, parts)))
    return isinstance(value, origin) if isinstance(origin, type) else True


def _words(hint: Any) -> Iterator[str]:
    for kind in _kinds(hint):
        origin = typing.get_origin(kind) or kind
        if origin is str and torch.dtype in _kinds(hint):
            continue
        if origin in (tuple, list):
            count = len(typing.get_args(kind)) if origin is tuple else 0
            yield f"a list of {count} numbers" if count else "a list"
        elif origin in _WORDS:
            yield _WORDS[origin]
