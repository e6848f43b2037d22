"""Hint-based distillation: FitNet, CRD, RKD, AT, SP, PKT, NST, CC and VID, as plain functions and as distillers.

Nothing is imported until a name is used: finding this plugin needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kd_feature.ab import AB as AB
    from kd_feature.ab import ab_loss as ab_loss
    from kd_feature.at import AT as AT
    from kd_feature.at import at_loss as at_loss
    from kd_feature.attndistill import AttnDistill as AttnDistill
    from kd_feature.attndistill import attn_distill_loss as attn_distill_loss
    from kd_feature.camkd import CAMKDFeature as CAMKDFeature
    from kd_feature.camkd import camkd_feature_loss as camkd_feature_loss
    from kd_feature.catkd import CATKD as CATKD
    from kd_feature.catkd import cat_kd_loss as cat_kd_loss
    from kd_feature.cc import CC as CC
    from kd_feature.cc import cc_loss as cc_loss
    from kd_feature.compress import CompRess as CompRess
    from kd_feature.compress import compress_loss as compress_loss
    from kd_feature.cosine import Cosine as Cosine
    from kd_feature.cosine import unic_loss as unic_loss
    from kd_feature.cospress import CosPress as CosPress
    from kd_feature.cospress import cospress_global_loss as cospress_global_loss
    from kd_feature.cospress import cospress_local_loss as cospress_local_loss
    from kd_feature.crd import CRD as CRD
    from kd_feature.crd_loss import CRDLoss as CRDLoss
    from kd_feature.cwd import CWD as CWD
    from kd_feature.cwd import cwd_loss as cwd_loss
    from kd_feature.dcd import DCD as DCD
    from kd_feature.dcd import dcd_loss as dcd_loss
    from kd_feature.dense import Dense as Dense
    from kd_feature.diffkd import DiffKD as DiffKD
    from kd_feature.diffusion import FeatureDiffusion as FeatureDiffusion
    from kd_feature.fitnet import FitNet as FitNet
    from kd_feature.fitnet import hint_loss as hint_loss
    from kd_feature.fsp import FSP as FSP
    from kd_feature.fsp import fsp_loss as fsp_loss
    from kd_feature.ft import FT as FT
    from kd_feature.ft import ft_loss as ft_loss
    from kd_feature.ickd import ICKD as ICKD
    from kd_feature.ickd import ickd_loss as ickd_loss
    from kd_feature.itrd import ITRD as ITRD
    from kd_feature.itrd import itrd_correlation_loss as itrd_correlation_loss
    from kd_feature.itrd import itrd_mutual_loss as itrd_mutual_loss
    from kd_feature.manifold import Manifold as Manifold
    from kd_feature.manifold import manifold_patch_loss as manifold_patch_loss
    from kd_feature.manifold import manifold_random_loss as manifold_random_loss
    from kd_feature.manifold import manifold_sample_loss as manifold_sample_loss
    from kd_feature.mgd import MGD as MGD
    from kd_feature.mgd import mgd_loss as mgd_loss
    from kd_feature.nd import ND as ND
    from kd_feature.nd import nd_loss as nd_loss
    from kd_feature.norm import NORM as NORM
    from kd_feature.norm import norm_loss as norm_loss
    from kd_feature.nst import NST as NST
    from kd_feature.nst import nst_loss as nst_loss
    from kd_feature.ofd import OFD as OFD
    from kd_feature.ofd import ofd_loss as ofd_loss
    from kd_feature.ofd import ofd_margin as ofd_margin
    from kd_feature.pad import PAD as PAD
    from kd_feature.pad import pad_loss as pad_loss
    from kd_feature.phi_s import PhiS as PhiS
    from kd_feature.phi_s import phi_s_scale as phi_s_scale
    from kd_feature.pkd import PKD as PKD
    from kd_feature.pkd import pkd_loss as pkd_loss
    from kd_feature.pkt import PKT as PKT
    from kd_feature.pkt import pkt_loss as pkt_loss
    from kd_feature.proteus import Proteus as Proteus
    from kd_feature.proteus import proteus_loss as proteus_loss
    from kd_feature.queue_relation import QueueRelation as QueueRelation
    from kd_feature.queue_relation import lightly_global_loss as lightly_global_loss
    from kd_feature.reviewkd import ReviewKD as ReviewKD
    from kd_feature.reviewkd import review_hcl_loss as review_hcl_loss
    from kd_feature.rkd import RKD as RKD
    from kd_feature.rkd import rkd_angle_loss as rkd_angle_loss
    from kd_feature.rkd import rkd_distance_loss as rkd_distance_loss
    from kd_feature.rrd import RRD as RRD
    from kd_feature.rrd import rrd_loss as rrd_loss
    from kd_feature.scalekd import ScaleKD as ScaleKD
    from kd_feature.scalekd import scalekd_frequency_loss as scalekd_frequency_loss
    from kd_feature.scalekd import scalekd_spatial_loss as scalekd_spatial_loss
    from kd_feature.seed import SEED as SEED
    from kd_feature.seed import seed_loss as seed_loss
    from kd_feature.semckd import SemCKD as SemCKD
    from kd_feature.semckd import semckd_loss as semckd_loss
    from kd_feature.simkd import SimKD as SimKD
    from kd_feature.sp import SP as SP
    from kd_feature.sp import sp_loss as sp_loss
    from kd_feature.sparse import sparse_soft_target_loss as sparse_soft_target_loss
    from kd_feature.srd import SRD as SRD
    from kd_feature.srd import srd_correlation_loss as srd_correlation_loss
    from kd_feature.srd import srd_loss as srd_loss
    from kd_feature.srrl import SRRL as SRRL
    from kd_feature.srrl import srrl_loss as srrl_loss
    from kd_feature.theia import Theia as Theia
    from kd_feature.theia import theia_loss as theia_loss
    from kd_feature.token_relation import TokenRelation as TokenRelation
    from kd_feature.token_relation import lightly_local_loss as lightly_local_loss
    from kd_feature.unic import UNIC as UNIC
    from kd_feature.vid import VID as VID
    from kd_feature.vid import vid_loss as vid_loss
    from kd_feature.vitkd import ViTKD as ViTKD
    from kd_feature.vitkd import vitkd_generation_loss as vitkd_generation_loss
    from kd_feature.vitkd import vitkd_mimic_loss as vitkd_mimic_loss
    from kd_feature.vkd import OrthogonalLinear as OrthogonalLinear
    from kd_feature.vkd import VkD as VkD
    from kd_feature.vkd import vkd_loss as vkd_loss

# What each module has for others.
_NAMES: Final = {
    "ab": "AB ab_loss",
    "at": "AT at_loss",
    "attndistill": "AttnDistill attn_distill_loss",
    "camkd": "CAMKDFeature camkd_feature_loss",
    "catkd": "CATKD cat_kd_loss",
    "cc": "CC cc_loss",
    "compress": "CompRess compress_loss",
    "cosine": "Cosine unic_loss",
    "cospress": "CosPress cospress_global_loss cospress_local_loss",
    "crd": "CRD",
    "crd_loss": "CRDLoss",
    "cwd": "CWD cwd_loss",
    "dcd": "DCD dcd_loss",
    "dense": "Dense",
    "diffkd": "DiffKD",
    "diffusion": "FeatureDiffusion",
    "fitnet": "FitNet hint_loss",
    "fsp": "FSP fsp_loss",
    "ft": "FT ft_loss",
    "ickd": "ICKD ickd_loss",
    "itrd": "ITRD itrd_correlation_loss itrd_mutual_loss",
    "manifold": "Manifold manifold_patch_loss manifold_random_loss manifold_sample_loss",
    "mgd": "MGD mgd_loss",
    "nd": "ND nd_loss",
    "norm": "NORM norm_loss",
    "nst": "NST nst_loss",
    "ofd": "OFD ofd_loss ofd_margin",
    "pad": "PAD pad_loss",
    "phi_s": "PhiS phi_s_scale",
    "pkd": "PKD pkd_loss",
    "pkt": "PKT pkt_loss",
    "proteus": "Proteus proteus_loss",
    "queue_relation": "QueueRelation lightly_global_loss",
    "reviewkd": "ReviewKD review_hcl_loss",
    "rkd": "RKD rkd_angle_loss rkd_distance_loss",
    "rrd": "RRD rrd_loss",
    "scalekd": "ScaleKD scalekd_frequency_loss scalekd_spatial_loss",
    "seed": "SEED seed_loss",
    "semckd": "SemCKD semckd_loss",
    "simkd": "SimKD",
    "sp": "SP sp_loss",
    "sparse": "sparse_soft_target_loss",
    "srd": "SRD srd_correlation_loss srd_loss",
    "srrl": "SRRL srrl_loss",
    "theia": "Theia theia_loss",
    "token_relation": "TokenRelation lightly_local_loss",
    "unic": "UNIC",
    "vid": "VID vid_loss",
    "vitkd": "ViTKD vitkd_generation_loss vitkd_mimic_loss",
    "vkd": "OrthogonalLinear VkD vkd_loss",
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
