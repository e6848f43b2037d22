"""What the shared tests try of the family; see maps.py."""

from __future__ import annotations

import torch
from kd_feature import (
    cospress_global_loss,
    cospress_local_loss,
    nd_loss,
    pad_loss,
    proteus_loss,
    theia_loss,
    unic_loss,
    vkd_loss,
)

_STAGES = {"student_stage": "last", "teacher_stage": "last"}
_TEN = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
DISTILLERS = {
    "vkd": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {"weight": 1, "features": "map", **_STAGES},
        "wrong": [{"features": "logits"}, {"student_stage": 0}],
    },
    "dense": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {"weight": 1, "student_stage": "last", "teacher_stages": None, "hidden_layers": 0},
        "wrong": [{"teacher_stages": ()}, {"hidden_layers": -1}],
    },
    "cosine": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {
            "weight": 1,
            "summary_weight": 1,
            "spatial_weight": 1,
            "summary_cosine": 1,
            "summary_smooth_l1": 0,
            "spatial_cosine": 0.9,
            "spatial_smooth_l1": 0.1,
            "loss": "cosine",
            "standardise": "none",
            "head": "mlp",
            "hidden_dim": None,
            **_STAGES,
        },
        "wrong": [{"loss": "l1"}, {"standardise": "mean"}, {"head": "conv"}, {"hidden_dim": 0}],
    },
    "pad": {"kind": "embedding", "whole_batch": False, "defaults": {"weight": 1}, "wrong": []},
    "nd": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {"weight": 2, "dropout": 0.5},
        "wrong": [{"dropout": 1.0}],
    },
    "theia": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {"weight": 1, "standardise": True, **_STAGES},
        "wrong": [],
    },
    "proteus": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {"weight": 1, "token_weight": 1, "feature_weight": 1, "patch_weight": None, **_STAGES},
        "wrong": [{"token_weight": -1}, {"feature_weight": -1}],
    },
    "cospress": {
        "kind": "embedding",
        "whole_batch": False,  # it gathers the class tokens itself
        "defaults": {"weight": 1, "temperatures": _TEN, **_STAGES},
        "wrong": [{"temperatures": ()}, {"temperatures": (0.1, 0.0)}],
    },
    "unic": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {
            "weight": 1,
            "cosine_weight": 0.5,
            "smooth_l1_weight": 0.5,
            "drop_probability": 0.5,
            "balance": "batch",
            "standardise": "ema",
            "momentum_start": 1,
            "momentum_end": 0.001,
            "head": "ladder",
            "student_stages": None,
            "hidden_dim": 768,
            "last_hidden_dim": 3072,
            "teacher_stage": "last",
        },
        "wrong": [
            {"drop_probability": 1.1},
            {"balance": "none"},
            {"standardise": "phi-s"},
            {"student_stages": ()},
        ],
    },
    "attndistill": {
        "kind": "embedding",
        "whole_batch": False,
        "defaults": {
            "weight": 1,
            "attention_weight": 20,
            "token_weight": 1,
            "temperature": 20,
            "aggregate": True,
            "student_attention": None,
            "teacher_attention": None,
        },
        "wrong": [{"attention_weight": -1}, {"temperature": 0}, {"student_attention": ""}],
        "pair": ("vit", "vit"),
        "refuses": {
            "cnn-wide": "the student has no class token",
            "cnn-vit": "the student has no class token",
            "vit-fine": "the teacher has no class token",
        },
        "options": {
            "student_attention": "attention:blocks.3.attn",
            "teacher_attention": "attention:blocks.3.attn",
        },
    },
}


def _flat(loss):
    return lambda s, t: loss(s.flatten(1), t.flatten(1))


def _tokens(loss):
    return lambda s, t: loss(s.flatten(2).mT, t.flatten(2).mT)


def _pad(s, t):
    s, t = s.flatten(1), t.flatten(1)
    return pad_loss(s, t, torch.linspace(-2, 2, s.shape[1], device=s.device).expand(s.shape))


def _nd(s, t):
    s, t = s.flatten(1), t.flatten(1)
    centers = torch.linspace(-1, 2, 3 * s.shape[1], device=s.device).reshape(3, -1)
    return nd_loss(s, t, centers, torch.arange(len(s), device=s.device) % 3)


LOSSES = {
    "vkd": (_flat(vkd_loss), {"element", "samples", "positive"}),
    "unic": (_flat(unic_loss), {"element", "samples", "agree", "positive", "steep"}),
    "unic_tokens": (_tokens(unic_loss), {"element", "samples", "agree", "positive", "steep"}),
    "theia": (_tokens(theia_loss), {"element", "samples", "agree", "positive", "steep"}),
    "proteus": (_tokens(proteus_loss), {"element", "samples", "agree", "positive"}),
    "pad": (_pad, {"element", "samples"}),
    "nd": (_nd, {"element", "positive", "steep"}),
    "cospress_local": (
        lambda s, t: cospress_local_loss(s.flatten(2).mT, t.flatten(2).mT, _TEN),
        {"element", "samples", "size", "agree", "positive", "steep"},
    ),
    "cospress_global": (
        lambda s, t: cospress_global_loss(s.flatten(1), t.flatten(1), _TEN),
        {"samples", "rotation", "size", "agree", "positive", "steep"},
    ),
}
