"""What the shared tests try of the family; see maps.py."""

from __future__ import annotations

import torch
from kd_feature import (
    cc_loss,
    itrd_correlation_loss,
    itrd_mutual_loss,
    lightly_local_loss,
    manifold_patch_loss,
    manifold_random_loss,
    manifold_sample_loss,
    pkt_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    sp_loss,
    srd_correlation_loss,
    srd_loss,
)

DISTILLERS = {
    "sp": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 3000, "stages": (4,)},
        "wrong": [],
    },
    "rkd": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 1, "distance_weight": 25, "angle_weight": 50},
        "wrong": [{"distance_weight": -1}, {"angle_weight": -1}],
    },
    "pkt": {"kind": "relation", "whole_batch": True, "defaults": {"weight": 30000}, "wrong": []},
    "cc": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 0.02, "dim": 128},
        "wrong": [{"dim": 0}],
    },
    "srd": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 2, "variant": "difference", "exponent": 4},
        "wrong": [{"variant": "deit"}, {"exponent": 0}],
    },
    "itrd": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {"weight": 1, "correlation_weight": 2, "mutual_weight": 0.05, "alpha": 1.5},
        "wrong": [{"correlation_weight": -1}, {"mutual_weight": -1}, {"alpha": 0}],
    },
    "manifold": {
        "kind": "relation",
        "whole_batch": True,
        "defaults": {
            "weight": 1,
            "stages": (1, 2, 3, 4),
            "patch_weight": 4,
            "sample_weight": 0.1,
            "random_weight": 0.2,
            "random_tokens": 192,
        },
        "wrong": [{"patch_weight": -1}, {"random_tokens": 0}],
    },
    "token-relation": {
        "kind": "relation",
        "whole_batch": False,  # the queue gathers the embeddings itself
        "defaults": {
            "weight": 1,
            "local_weight": 1,
            "student_stage": "last",
            "teacher_stage": "last",
            "queue": None,
            "temperature": 0.07,
        },
        "wrong": [{"queue": 0}, {"temperature": 0}, {"student_stage": 5}, {"teacher_stage": ""}],
    },
}


def _flat(loss):
    return lambda s, t: loss(s.flatten(1), t.flatten(1))


def _tokens(loss):
    return lambda s, t: loss(s.flatten(2).mT, t.flatten(2).mT)


def _random(s, t):
    s, t = s.flatten(2).mT, t.flatten(2).mT
    places = torch.arange(s.shape[0] * s.shape[1], device=s.device)
    return manifold_random_loss(s, t, places.roll(-1)[:3])  # 1, 2, 3; of one place alone 0


_RELATION = {"samples", "rotation", "agree", "positive"}
LOSSES = {
    "rkd_distance": (rkd_distance_loss, _RELATION | {"shift", "size"}),
    "rkd_angle": (rkd_angle_loss, _RELATION | {"shift", "size"}),
    "sp": (sp_loss, _RELATION | {"size"}),
    "pkt": (pkt_loss, _RELATION - {"positive"}),
    # it sees neighbours in the batch: the order of the samples matters
    "cc": (lambda s, t: cc_loss(s.flatten(1), t.flatten(1)), {"element", "agree", "positive"}),
    "srd": (_flat(srd_loss), {"element", "samples"}),
    "srd_correlation": (_flat(srd_correlation_loss), {"element", "samples"}),
    "itrd_correlation": (_flat(itrd_correlation_loss), {"element", "samples"}),
    "itrd_mutual": (_flat(itrd_mutual_loss), {"samples", "rotation", "size"}),
    "manifold_patch": (_tokens(manifold_patch_loss), {"element", "samples", "size", "agree", "positive"}),
    "manifold_sample": (_tokens(manifold_sample_loss), {"element", "samples", "size", "agree", "positive"}),
    "manifold_random": (_random, {"element", "size", "agree", "positive"}),
    "lightly_local": (
        _tokens(lightly_local_loss),
        {"element", "samples", "size", "agree", "positive", "steep"},
    ),
}
