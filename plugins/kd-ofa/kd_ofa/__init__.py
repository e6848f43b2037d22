"""OFA-KD: distillation between architectures of different families.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_ofa.ofa import OFA, ofa_loss

_HOME_OF: Final = {
    "OFA": "kd_ofa.ofa",
    "ofa_loss": "kd_ofa.ofa",
}

__all__ = ["OFA", "ofa_loss"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kd_ofa' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
