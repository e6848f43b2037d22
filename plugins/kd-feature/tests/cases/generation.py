"""What the shared tests try of the methods whose heads make the teacher's maps; see maps.py for what the names mean."""

from __future__ import annotations

import torch
from kd_feature import (
    mgd_loss,
    ofd_loss,
    review_hcl_loss,
    scalekd_frequency_loss,
    scalekd_spatial_loss,
    vitkd_generation_loss,
    vitkd_mimic_loss,
)

_ALL = (1, 2, 3, 4)
DISTILLERS = {
    "reviewkd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {
            "weight": 1,
            "stages": _ALL,
            "pre_activation": True,
            "embedding": True,
            "mid_channels": None,
        },
        "wrong": [{"mid_channels": 0}],
    },
    "mgd": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 7e-5, "stages": (4,), "mask_ratio": 0.15, "mask": "channels"},
        "wrong": [{"mask_ratio": 1.0}, {"mask": "rows"}],
    },
    "vitkd": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {
            "weight": 1,
            "mimic_weight": 3e-5,
            "generation_weight": 3e-6,
            "mask_ratio": 0.5,
            "stages": ("blocks.0", "blocks.1"),
            "last": "norm",
        },
        "wrong": [{"mask_ratio": 0}, {"last": 5}],
        "refuses": dict.fromkeys(("cnn-wide", "cnn-vit", "vit-fine"), "there is no stage"),
        "pair": ("tokens", "tokens"),
    },
    "ofd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 1e-3, "stages": _ALL, "teacher_norms": None},
        "wrong": [{"teacher_norms": []}],
        "refuses": dict.fromkeys(("cnn-wide", "cnn-vit", "vit-fine"), "kd knows none at the end of stage"),
        "pair": None,  # it reads modules
    },
    "scalekd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {
            "weight": 1,
            "spatial_weight": 0.08,
            "frequency_weight": 0.06,
            "stages": (4,),
            "heads": None,
            "softmax_scale": 5,
            "through_teacher": False,
        },
        "wrong": [{"heads": 0}, {"softmax_scale": 0}],
    },
    "diffkd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 1, "stages": (4,), "steps": 5, "latent_channels": 1024},
        "wrong": [{"steps": 0}, {"latent_channels": 0}],
        "reads_logits": True,
    },
    "semckd": {
        "kind": "feature",
        "whole_batch": True,
        "defaults": {"weight": 400, "stages": _ALL, "batch_size": None, "softness": 1},
        "wrong": [{"batch_size": 0}, {"softness": 0}],
    },
}


def _ofd(student, teacher):
    margin = torch.linspace(-2, -0.1, student.shape[1], device=student.device, dtype=torch.float64)
    return ofd_loss(student, teacher, margin)


def _spatial(student, teacher):
    return 1e-3 * scalekd_spatial_loss(student, teacher)


def _frequency(student, teacher):
    return 1e-3 * scalekd_frequency_loss(student, teacher)


def _vitkd_generation(student, teacher):
    tokens = [one.flatten(2).transpose(1, 2) for one in (student, teacher)]
    mask = torch.ones(tokens[0].shape[:2], device=student.device)
    mask[:, ::3] = 0
    if mask.shape[1] == 1:
        mask = torch.ones_like(mask)
    return 1e-3 * vitkd_generation_loss(*tokens, mask)


LOSSES = {
    "hcl": (review_hcl_loss, {"element", "samples", "channels", "agree", "positive"}),
    "mgd": (mgd_loss, {"element", "samples", "channels", "agree", "positive"}),
    "vitkd, mimic": (vitkd_mimic_loss, {"element", "samples", "channels", "agree", "positive"}),
    "vitkd, generation": (_vitkd_generation, {"element", "samples", "channels", "agree", "positive"}),
    "scalekd, spatial": (_spatial, {"element", "samples", "channels", "positive"}),
    "scalekd, frequency": (_frequency, {"element", "samples", "channels", "shift", "positive"}),
    "ofd": (_ofd, {"element", "samples", "positive"}),
}
