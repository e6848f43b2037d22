"""What the shared tests try of the methods that come before the task; see maps.py for what the names mean."""

from __future__ import annotations

from kd_feature import ab_loss, fsp_loss, ft_loss

_ALL = (1, 2, 3, 4)
DISTILLERS = {
    "ab": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 1, "stages": _ALL, "margin": 1},
        "wrong": [{"margin": 0}],
    },
    "ft": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {
            "weight": 200,
            "stages": (3,),
            "paraphraser_weight": 0.005,
            "ratio": 0.5,
            "p1": 2,
            "p2": 1,
            "paraphraser_epochs": None,
        },
        "wrong": [{"ratio": 0}, {"p1": 0}, {"p1": 1.5}, {"paraphraser_epochs": -1}],
    },
    "fsp": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 50, "stages": _ALL},
        "wrong": [],
    },
}


def _fsp(student, teacher):
    return 1e-8 * fsp_loss(student, student, teacher, teacher)


LOSSES = {
    "ab": (ab_loss, {"element", "samples", "positive"}),
    "ft": (ft_loss, {"samples", "channels", "size", "positive"}),
    "fsp": (_fsp, {"element", "samples", "agree", "positive"}),
}
