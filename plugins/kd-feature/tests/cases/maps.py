"""What the shared tests try of the family.

DISTILLERS: of each distiller its kind, whether it needs the whole batch, the defaults of its options, and values of
options that are errors; if it does not work with every pair of models, `refuses` has why for each pair that it refuses,
and `pair` is one that it accepts; `options` has those with which it is built, if not the defaults.
LOSSES: losses of (student's map, teacher's map), `[B, C, H, W]`, for test_extremes.py and test_properties.py, and what
holds for them: `element` (it compares element by element, so shapes are equal), `samples` and `channels` (their order
does not matter), `rotation` and `shift` of the features and their `size` (these change nothing), `agree` (zero and flat
if both agree), `positive` (never below zero), `steep` (the gradient for small features is large: it compares directions
at a low temperature).
"""

from __future__ import annotations

from functools import partial

import torch
from kd_feature import at_loss, cwd_loss, hint_loss, ickd_loss, nst_loss, pkd_loss, vid_loss

_ALL = (1, 2, 3, 4)
DISTILLERS = {
    "fitnet": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 100, "stages": (2,), "regressor": "auto"},
        "wrong": [{"regressor": "mlp"}],
    },
    "at": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 1000, "stages": _ALL, "power": 2},
        "wrong": [{"power": 0}],
    },
    "nst": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 50, "stages": _ALL},
        "wrong": [],
    },
    "vid": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 1, "stages": _ALL, "initial_variance": 5},
        "wrong": [{"initial_variance": 0}],
    },
    "cwd": {
        "kind": "feature",
        "whole_batch": False,
        "defaults": {"weight": 1, "stages": (3,), "temperature": 1},
        "wrong": [{"temperature": 0}],
    },
    "pkd": {
        "kind": "feature",
        "whole_batch": True,
        "defaults": {"weight": 6, "stages": (4,)},
        "wrong": [],
    },
    "ickd": {
        "kind": "feature",
        "whole_batch": True,  # of its batch norm
        "defaults": {"weight": 2.5, "stages": (4,)},
        "wrong": [],
    },
}


def _vid(student, teacher):
    dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
    return vid_loss(
        student, teacher, torch.linspace(-1, 2, student.shape[1], device=student.device, dtype=dtype)
    )


def _pkd(student, teacher):
    return 0.01 * pkd_loss(student, teacher)


def _ickd(student, teacher):
    return 0.01 * ickd_loss(student, teacher)


LOSSES = {
    "hint": (hint_loss, {"element", "samples", "agree", "positive"}),
    "at": (at_loss, {"samples", "channels", "size", "agree", "positive"}),
    "nst": (nst_loss, {"samples", "channels", "size", "agree", "positive"}),
    "vid": (_vid, {"element", "samples"}),
    "cwd": (cwd_loss, {"element", "samples", "channels", "agree", "positive"}),
    "cwd, softer": (
        partial(cwd_loss, temperature=4.0),
        {"element", "samples", "channels", "agree", "positive"},
    ),
    "pkd": (_pkd, {"element", "samples", "channels", "agree", "positive"}),
    "ickd": (_ickd, {"element", "samples", "channels", "size", "agree", "positive"}),
}
