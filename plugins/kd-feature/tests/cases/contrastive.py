"""What the shared tests try of the family; see maps.py."""

from __future__ import annotations

import torch
from kd_feature import compress_loss, lightly_global_loss, rrd_loss, seed_loss

DISTILLERS = {
    "crd": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 0.8, "dim": 128, "negatives": 16384, "temperature": 0.07, "momentum": 0.5},
        "wrong": [{"dim": 0}, {"negatives": 0}, {"temperature": 0}, {"momentum": 1.1}],
    },
    "rrd": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {
            "weight": 1,
            "dim": 128,
            "queue": 16384,
            "student_temperature": 0.1,
            "teacher_temperature": 0.02,
        },
        "wrong": [{"dim": 0}, {"queue": 0}, {"student_temperature": 0}, {"teacher_temperature": 0}],
    },
    "dcd": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 1, "dim": 128, "alpha": 0.5, "max_scale": 10},
        "wrong": [{"dim": 0}, {"alpha": -1}, {"max_scale": 0}],
    },
    "seed": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 1, "queue": 65536, "student_temperature": 0.2, "teacher_temperature": 1e-4},
        "wrong": [{"queue": 0}, {"student_temperature": 0}, {"teacher_temperature": 0}],
    },
    "compress": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 1, "queue": 128_000, "temperature": 0.04, "momentum": None},
        "wrong": [{"queue": 0}, {"temperature": 0}, {"momentum": 1.0}],
    },
    "queue-relation": {
        "kind": "contrastive",
        "whole_batch": True,
        "defaults": {"weight": 1, "queue": None, "temperature": 0.07},
        "wrong": [{"queue": 0}, {"temperature": 0}],
    },
}


def _rows(like):
    """A queue of seven rows for embeddings of this width, one of them 0."""
    places = torch.arange(7 * like.shape[1], device=like.device).reshape(7, -1)
    return (places * 1.7).sin() * (torch.arange(7, device=like.device) > 0).unsqueeze(1)


def _against_one(loss):
    return lambda s, t: loss(s.flatten(1), t.flatten(1), _rows(s.flatten(1)))


def _compress(s, t):
    s, t = s.flatten(1), t.flatten(1)
    return compress_loss(s, t, _rows(s), _rows(t))


LOSSES = {
    "rrd": (_against_one(rrd_loss), {"element", "samples", "size", "positive", "steep"}),
    "seed": (_against_one(seed_loss), {"element", "samples", "size", "positive", "steep"}),
    "lightly_global": (
        _against_one(lightly_global_loss),
        {"element", "samples", "size", "agree", "positive", "steep"},
    ),
    "compress": (_compress, {"samples", "size", "agree", "positive", "steep"}),
}
