"""Options of a model whose values its constructor would take for something else: the text "no" for true."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Final, Union

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

_WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}


def check_types(model: nn.Module, options: Mapping[str, Any], where: str) -> None:
    """Look at the options whose constructor says that they are a truth value or a number.

    Raises:
        UserError: at each that is text, a truth value in place of a number, or a number in place of a truth value.
    """
    try:
        hints = typing.get_type_hints(type(model).__init__)
    except (NameError, TypeError, AttributeError):  # names that only type checkers see
        return
    problems = []
    for name, value in options.items():
        kinds = _kinds(hints.get(name, Any))
        if not set(kinds) <= _WORDS.keys() or not _mistaken(value, kinds):
            continue
        allowed = " or ".join(_WORDS[kind] for kind in kinds if kind is not type(None))
        message = f"{type(model).__name__} takes another type here"
        problems.append(Problem(f"{where}.options.{name}", message, value=value, allowed=allowed))
    if problems:
        raise UserError(problems)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _mistaken(value: Any, kinds: tuple[Any, ...]) -> bool:
    if isinstance(value, bool):
        return bool not in kinds
    if isinstance(value, int | float):
        return int not in kinds and float not in kinds
    return isinstance(value, str)
