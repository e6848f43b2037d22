"""Logit distillation: methods that read class scores, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_classic.abkd import ABKD as ABKD
    from kd_classic.abkd import abkd_loss as abkd_loss
    from kd_classic.average import Average as Average
    from kd_classic.average import average_kd_loss as average_kd_loss
    from kd_classic.bkd import BKD as BKD
    from kd_classic.bkd import bkd_loss as bkd_loss
    from kd_classic.camkd import CAMKD as CAMKD
    from kd_classic.camkd import camkd_loss as camkd_loss
    from kd_classic.corrections import sort_kd_loss as sort_kd_loss
    from kd_classic.corrections import sort_logits as sort_logits
    from kd_classic.corrections import swap_kd_loss as swap_kd_loss
    from kd_classic.corrections import swap_logits as swap_logits
    from kd_classic.crld import CRLD as CRLD
    from kd_classic.crld import crld_loss as crld_loss
    from kd_classic.cskd import CSKD as CSKD
    from kd_classic.cskd import cskd_loss as cskd_loss
    from kd_classic.ctkd import CTKD as CTKD
    from kd_classic.ctkd import ctkd_loss as ctkd_loss
    from kd_classic.ctkd import ctkd_reversal as ctkd_reversal
    from kd_classic.deit import DeiTHard as DeiTHard
    from kd_classic.deit import DeiTSoft as DeiTSoft
    from kd_classic.deit import deit_hard_loss as deit_hard_loss
    from kd_classic.deit import deit_soft_loss as deit_soft_loss
    from kd_classic.dhkd import DHKD as DHKD
    from kd_classic.dhkd import dhkd_loss as dhkd_loss
    from kd_classic.dist import DIST as DIST
    from kd_classic.dist import dist_loss as dist_loss
    from kd_classic.dkd import DKD as DKD
    from kd_classic.dkd import dkd_loss as dkd_loss
    from kd_classic.dml import DML as DML
    from kd_classic.dml import dml_loss as dml_loss
    from kd_classic.eakd import EAKD as EAKD
    from kd_classic.eakd import ea_kd_loss as ea_kd_loss
    from kd_classic.ebkd import EBKD as EBKD
    from kd_classic.ebkd import ebkd_loss as ebkd_loss
    from kd_classic.kd import KD as KD
    from kd_classic.kd import kd_loss as kd_loss
    from kd_classic.ldrld import LDRLD as LDRLD
    from kd_classic.ldrld import ldrld_loss as ldrld_loss
    from kd_classic.luminet import LumiNet as LumiNet
    from kd_classic.luminet import luminet_loss as luminet_loss
    from kd_classic.mld import MLD as MLD
    from kd_classic.mld import mld_loss as mld_loss
    from kd_classic.mlkd import MLKD as MLKD
    from kd_classic.mlkd import mlkd_batch_loss as mlkd_batch_loss
    from kd_classic.mlkd import mlkd_class_loss as mlkd_class_loss
    from kd_classic.mlkd import mlkd_loss as mlkd_loss
    from kd_classic.mlkd import mlkd_paper_loss as mlkd_paper_loss
    from kd_classic.mlkd import mlkd_standardized_loss as mlkd_standardized_loss
    from kd_classic.nkd import NKD as NKD
    from kd_classic.nkd import nkd_loss as nkd_loss
    from kd_classic.normkd import NormKD as NormKD
    from kd_classic.normkd import normkd_loss as normkd_loss
    from kd_classic.pskd import PSKD as PSKD
    from kd_classic.pskd import pskd_loss as pskd_loss
    from kd_classic.rld import RLD as RLD
    from kd_classic.rld import rld_loss as rld_loss
    from kd_classic.sdd import SDD as SDD
    from kd_classic.sdd import sdd_dkd_loss as sdd_dkd_loss
    from kd_classic.sdd import sdd_kd_loss as sdd_kd_loss
    from kd_classic.skd import SKD as SKD
    from kd_classic.skd import skd_direction_loss as skd_direction_loss
    from kd_classic.standardize import standardize_logits as standardize_logits
    from kd_classic.tekap import TeKAP as TeKAP
    from kd_classic.tekap import tekap_loss as tekap_loss
    from kd_classic.tfkd import TfKD as TfKD
    from kd_classic.tfkd import tfkd_reg_loss as tfkd_reg_loss
    from kd_classic.ttm import TTM as TTM
    from kd_classic.ttm import WTTM as WTTM
    from kd_classic.ttm import ttm_loss as ttm_loss
    from kd_classic.ttm import wttm_loss as wttm_loss
    from kd_classic.uskd import USKD as USKD
    from kd_classic.uskd import uskd_loss as uskd_loss
    from kd_classic.uskd import uskd_probability_loss as uskd_probability_loss
    from kd_classic.wkd import WKD as WKD
    from kd_classic.wkd import wkd_logit_loss as wkd_logit_loss
    from kd_classic.wsld import WSLD as WSLD
    from kd_classic.wsld import wsld_loss as wsld_loss

# What each module has for others.
_NAMES: Final = {
    "abkd": "ABKD abkd_loss",
    "average": "Average average_kd_loss",
    "bkd": "BKD bkd_loss",
    "camkd": "CAMKD camkd_loss",
    "corrections": "sort_kd_loss sort_logits swap_kd_loss swap_logits",
    "crld": "CRLD crld_loss",
    "cskd": "CSKD cskd_loss",
    "ctkd": "CTKD ctkd_loss ctkd_reversal",
    "deit": "DeiTHard DeiTSoft deit_hard_loss deit_soft_loss",
    "dhkd": "DHKD dhkd_loss",
    "dist": "DIST dist_loss",
    "dkd": "DKD dkd_loss",
    "dml": "DML dml_loss",
    "eakd": "EAKD ea_kd_loss",
    "ebkd": "EBKD ebkd_loss",
    "kd": "KD kd_loss",
    "ldrld": "LDRLD ldrld_loss",
    "luminet": "LumiNet luminet_loss",
    "mld": "MLD mld_loss",
    "mlkd": "MLKD mlkd_batch_loss mlkd_class_loss mlkd_loss mlkd_paper_loss mlkd_standardized_loss",
    "nkd": "NKD nkd_loss",
    "normkd": "NormKD normkd_loss",
    "pskd": "PSKD pskd_loss",
    "rld": "RLD rld_loss",
    "sdd": "SDD sdd_dkd_loss sdd_kd_loss",
    "skd": "SKD skd_direction_loss",
    "standardize": "standardize_logits",
    "tekap": "TeKAP tekap_loss",
    "tfkd": "TfKD tfkd_reg_loss",
    "ttm": "TTM WTTM ttm_loss wttm_loss",
    "uskd": "USKD uskd_loss uskd_probability_loss",
    "wkd": "WKD wkd_logit_loss",
    "wsld": "WSLD wsld_loss",
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
