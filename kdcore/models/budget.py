"""A limit to what a model's constructor may build: a wrong option must not take all memory, nor an hour."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from kdcore.errors import Problem, UserError
from kdcore.text import byte_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

MOST_MODULES: Final = 20_000  # the largest models of timm have about 5,000
_LARGEST_NUMBER: Final = 100_000  # a model's options are widths, depths and sizes
_BYTES_EACH: Final = 4
LEAST_MEMORY: Final = (
    64 * 2**30
)  # bytes: a spec may be checked on a smaller machine than the one that runs it


def check_numbers(options: Mapping[str, Any], where: str) -> None:
    """Look for numbers that no model has, before a constructor makes lists of that length.

    Raises:
        UserError: at each option that holds one.
    """
    problems = [
        Problem(
            f"{where}.options.{name}",
            f"no model has a width, depth or size of {large}",
            value=value,
            allowed=f"whole numbers up to {_LARGEST_NUMBER:,}",
        )
        for name, value in options.items()
        if (large := _too_large(value)) is not None
    ]
    if problems:
        raise UserError(problems)


@contextlib.contextmanager
def bounded(name: str, options: Mapping[str, Any], where: str) -> Iterator[None]:
    """Within it, a constructor that builds too many modules or parameters is stopped.

    Parameters that several modules share count once for each.

    Raises:
        UserError: it was stopped.
    """
    counted, most = _Counted(), max(_memory(), LEAST_MEMORY)

    def refuse(what: str) -> None:
        place = f"{where}.options" if options else f"{where}.model"
        hint = "choose smaller options, or a smaller model" if options else "choose a smaller model"
        raise UserError(
            Problem(place, f"{name} cannot be built so: {what}", dict(options) or name, hint=hint)
        )

    def on_module(parent: nn.Module, key: str, module: nn.Module | None) -> None:
        counted.modules += module is not None
        if counted.modules > MOST_MODULES:
            refuse(f"it has more than {MOST_MODULES:,} modules")

    def on_parameter(parent: nn.Module, key: str, parameter: Tensor | None) -> None:
        counted.parameters += 0 if parameter is None else parameter.numel()
        if counted.parameters * _BYTES_EACH > most:
            sizes = f"{byte_size(counted.parameters * _BYTES_EACH)}, and the limit is {byte_size(most)}"
            refuse(f"its weights take more than {sizes}")

    hooks = (
        register_module_module_registration_hook(on_module),
        register_module_parameter_registration_hook(on_parameter),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Counted:
    modules = 0
    parameters = 0


def _too_large(value: Any) -> int | None:
    """The first whole number in a value that is too large."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) > _LARGEST_NUMBER else None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((large for item in value if (large := _too_large(item)) is not None), None)
    return None


def _memory() -> int:
    """Bytes of memory of this machine; 0 if it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
