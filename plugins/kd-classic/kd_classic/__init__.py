"""Logit distillation: KD, DKD, NKD, DIST and logit standardisation, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_classic.dist import DIST, dist_loss
    from kd_classic.dkd import DKD, dkd_loss
    from kd_classic.kd import KD, kd_loss
    from kd_classic.nkd import NKD, nkd_loss
    from kd_classic.standardize import standardize_logits

_HOME_OF: Final = {
    "DIST": "kd_classic.dist",
    "DKD": "kd_classic.dkd",
    "KD": "kd_classic.kd",
    "NKD": "kd_classic.nkd",
    "dist_loss": "kd_classic.dist",
    "dkd_loss": "kd_classic.dkd",
    "kd_loss": "kd_classic.kd",
    "nkd_loss": "kd_classic.nkd",
    "standardize_logits": "kd_classic.standardize",
}

__all__ = [
    "DIST",
    "DKD",
    "KD",
    "NKD",
    "dist_loss",
    "dkd_loss",
    "kd_loss",
    "nkd_loss",
    "standardize_logits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kd_classic' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
