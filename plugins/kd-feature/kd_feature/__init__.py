"""Hint-based distillation: FitNet, CRD, RKD, AT, SP, PKT, NST, CC and VID, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_feature.at import AT as AT
    from kd_feature.at import at_loss as at_loss
    from kd_feature.camkd import camkd_feature_loss as camkd_feature_loss
    from kd_feature.catkd import CATKD as CATKD
    from kd_feature.catkd import cat_kd_loss as cat_kd_loss
    from kd_feature.cc import CC as CC
    from kd_feature.cc import cc_loss as cc_loss
    from kd_feature.crd import CRD as CRD
    from kd_feature.crd_loss import CRDLoss as CRDLoss
    from kd_feature.cwd import CWD as CWD
    from kd_feature.cwd import cwd_loss as cwd_loss
    from kd_feature.fitnet import FitNet as FitNet
    from kd_feature.fitnet import hint_loss as hint_loss
    from kd_feature.ickd import ICKD as ICKD
    from kd_feature.ickd import ickd_loss as ickd_loss
    from kd_feature.mgd import MGD as MGD
    from kd_feature.mgd import mgd_loss as mgd_loss
    from kd_feature.nst import NST as NST
    from kd_feature.nst import nst_loss as nst_loss
    from kd_feature.ofd import OFD as OFD
    from kd_feature.ofd import ofd_loss as ofd_loss
    from kd_feature.ofd import ofd_margin as ofd_margin
    from kd_feature.pkd import PKD as PKD
    from kd_feature.pkd import pkd_loss as pkd_loss
    from kd_feature.pkt import PKT as PKT
    from kd_feature.pkt import pkt_loss as pkt_loss
    from kd_feature.reviewkd import ReviewKD as ReviewKD
    from kd_feature.reviewkd import review_hcl_loss as review_hcl_loss
    from kd_feature.rkd import RKD as RKD
    from kd_feature.rkd import rkd_angle_loss as rkd_angle_loss
    from kd_feature.rkd import rkd_distance_loss as rkd_distance_loss
    from kd_feature.sp import SP as SP
    from kd_feature.sp import sp_loss as sp_loss
    from kd_feature.srrl import SRRL as SRRL
    from kd_feature.srrl import srrl_loss as srrl_loss
    from kd_feature.vid import VID as VID
    from kd_feature.vid import vid_loss as vid_loss
    from kd_feature.vitkd import ViTKD as ViTKD
    from kd_feature.vitkd import vitkd_generation_loss as vitkd_generation_loss
    from kd_feature.vitkd import vitkd_mimic_loss as vitkd_mimic_loss

# What each module has for others.
_NAMES: Final = {
    "at": "AT at_loss",
    "camkd": "camkd_feature_loss",
    "catkd": "CATKD cat_kd_loss",
    "cc": "CC cc_loss",
    "crd": "CRD",
    "crd_loss": "CRDLoss",
    "cwd": "CWD cwd_loss",
    "fitnet": "FitNet hint_loss",
    "ickd": "ICKD ickd_loss",
    "mgd": "MGD mgd_loss",
    "nst": "NST nst_loss",
    "ofd": "OFD ofd_loss ofd_margin",
    "pkd": "PKD pkd_loss",
    "pkt": "PKT pkt_loss",
    "reviewkd": "ReviewKD review_hcl_loss",
    "rkd": "RKD rkd_angle_loss rkd_distance_loss",
    "sp": "SP sp_loss",
    "srrl": "SRRL srrl_loss",
    "vid": "VID vid_loss",
    "vitkd": "ViTKD vitkd_generation_loss vitkd_mimic_loss",
}
_HOME_OF: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kd_feature' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
