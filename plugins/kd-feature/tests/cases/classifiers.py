"""What the shared tests try of the methods that use classifiers; see maps.py for what the names mean."""

from __future__ import annotations

from kd_feature import cat_kd_loss, norm_loss, srrl_loss

_PAIRS = ("cnn-wide", "cnn-vit", "vit-fine")
DISTILLERS = {
    "camkd-feature": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {
            "weight": 50,
            "translator": "single",
            "factor": 2,
            "constant_weights": False,
            "normalize": False,
        },
        "wrong": [{"factor": 0}, {"translator": "none"}],
        "refuses": dict.fromkeys(_PAIRS, "the run has 1"),
        "pair": None,  # it runs the last layers of several teachers
    },
    "srrl": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 1, "beta": 1, "connector": "auto"},
        "wrong": [{"beta": -1}, {"connector": "none"}],
        "refuses": dict.fromkeys(_PAIRS, "none that kd can read"),
        "pair": None,  # it reads the teacher's classifier
    },
    "catkd": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 15, "resolution": 2, "normalize": False},
        "wrong": [{"resolution": 0}],
        "refuses": dict.fromkeys(_PAIRS, "none that kd can read"),
        "pair": None,  # it reads both classifiers
    },
    "simkd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 1, "factor": 2, "activation": "relu"},
        "wrong": [{"factor": 0}, {"activation": "gelu"}],
        "refuses": {
            "cnn-vit": "reads a class token",
            "cnn-wide": "made without the model",
            "vit-fine": "made without",
        },
        "pair": None,  # it reads the teacher's layers
        "task_weight": 0,
    },
    "norm": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {
            "weight": 1,
            "copies": 8,
            "classes_weight": 0.5,
            "logit_scale": 2.5,
            "kd_weight": 0,
            "kd_temperature": 4,
        },
        "wrong": [{"copies": 0}, {"logit_scale": 0}, {"kd_weight": -1}, {"kd_temperature": 0}],
        "refuses": dict.fromkeys(_PAIRS, "none that kd can read"),
        "pair": None,  # it reads the student's classifier
        "task_weight": 0,
    },
}


def _srrl(student, teacher):
    logits = [one[:, :2, 0, 0] for one in (student, teacher)]
    return 0.1 * srrl_loss(student, teacher, *logits, beta=2.0)


LOSSES = {
    "srrl": (_srrl, {"element"}),
    "norm": (norm_loss, {"element", "samples", "channels", "agree", "positive"}),
    "cat-kd": (cat_kd_loss, {"element", "samples", "channels", "agree", "positive"}),
}
