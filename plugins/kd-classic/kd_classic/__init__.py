"""Logit distillation: KD, DKD, NKD, DIST and logit standardisation, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_classic.corrections import sort_kd_loss as sort_kd_loss
    from kd_classic.corrections import sort_logits as sort_logits
    from kd_classic.corrections import swap_kd_loss as swap_kd_loss
    from kd_classic.corrections import swap_logits as swap_logits
    from kd_classic.dist import DIST as DIST
    from kd_classic.dist import dist_loss as dist_loss
    from kd_classic.dkd import DKD as DKD
    from kd_classic.dkd import dkd_loss as dkd_loss
    from kd_classic.kd import KD as KD
    from kd_classic.kd import kd_loss as kd_loss
    from kd_classic.nkd import NKD as NKD
    from kd_classic.nkd import nkd_loss as nkd_loss
    from kd_classic.standardize import standardize_logits as standardize_logits

# What each module has for others.
_NAMES: Final = {
    "corrections": "sort_kd_loss sort_logits swap_kd_loss swap_logits",
    "dist": "DIST dist_loss",
    "dkd": "DKD dkd_loss",
    "kd": "KD kd_loss",
    "nkd": "NKD nkd_loss",
    "standardize": "standardize_logits",
}
_HOME_OF: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kd_classic' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
