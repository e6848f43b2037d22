"""A first spec for a pair of models: `kd init`, and `from kd_init import init`. Needs no torch.

A name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_init.asking import init as init
    from kd_init.files import InitResult as InitResult

_MODULES: Final = {"InitResult": "kd_init.files", "init": "kd_init.asking"}
__all__ = ["InitResult", "init"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
