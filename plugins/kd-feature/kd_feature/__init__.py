"""Hint-based distillation: FitNet, CRD, RKD, AT, SP, PKT, NST, CC and VID, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_feature.at import AT, at_loss
    from kd_feature.cc import CC, cc_loss
    from kd_feature.crd import CRD
    from kd_feature.crd_loss import CRDLoss
    from kd_feature.fitnet import FitNet, hint_loss
    from kd_feature.nst import NST, nst_loss
    from kd_feature.pkt import PKT, pkt_loss
    from kd_feature.rkd import RKD, rkd_angle_loss, rkd_distance_loss
    from kd_feature.sp import SP, sp_loss
    from kd_feature.vid import VID, vid_loss

_HOMES: Final = {
    "kd_feature.at": ("AT", "at_loss"),
    "kd_feature.cc": ("CC", "cc_loss"),
    "kd_feature.crd": ("CRD",),
    "kd_feature.crd_loss": ("CRDLoss",),
    "kd_feature.fitnet": ("FitNet", "hint_loss"),
    "kd_feature.nst": ("NST", "nst_loss"),
    "kd_feature.pkt": ("PKT", "pkt_loss"),
    "kd_feature.rkd": ("RKD", "rkd_angle_loss", "rkd_distance_loss"),
    "kd_feature.sp": ("SP", "sp_loss"),
    "kd_feature.vid": ("VID", "vid_loss"),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AT",
    "CC",
    "CRD",
    "NST",
    "PKT",
    "RKD",
    "SP",
    "VID",
    "CRDLoss",
    "FitNet",
    "at_loss",
    "cc_loss",
    "hint_loss",
    "nst_loss",
    "pkt_loss",
    "rkd_angle_loss",
    "rkd_distance_loss",
    "sp_loss",
    "vid_loss",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kd_feature' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
