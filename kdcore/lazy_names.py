"""Modules whose names are imported when they are first used, so that importing the module itself costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    namespace: dict[str, Any], *tables: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a module that offers names of other modules.

    Args:
        namespace: the module's `globals()`; names are kept there after their first use.
        tables: names by the module that has them.
    """
    module_of = {name: module for table in tables for module, names in table.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        value = getattr(import_module(module_of[name]), name)
        # importing `kdcore.run.run` made the package `kdcore.run` an attribute: it is callable, and stays
        return namespace.setdefault(name, value)

    def listed() -> list[str]:
        return sorted({*namespace, *module_of})

    return get, listed, sorted(module_of)
