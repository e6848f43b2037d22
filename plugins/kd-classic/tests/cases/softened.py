"""What the shared tests try of the family.

DISTILLERS: of each distiller its task weight, the defaults of its options, and values of options that are errors.
EXTREMES: losses of (student, teacher, target), for test_extremes.py.
PROPERTIES: losses of (student, teacher, target, temperature), and what holds for them, for test_properties.py: `shift`
(a constant added to a sample's logits changes nothing), `classes` and `samples` (nor does their order), `divergence`
(zero if both agree, never below).
"""

from __future__ import annotations

import torch
from kd_classic import ctkd_loss, dhkd_loss, kd_loss, sort_kd_loss, standardize_logits, swap_kd_loss

DISTILLERS = {
    "kd": {
        "task_weight": 0.1,
        "defaults": {"weight": 0.9, "correct": None, "standardize": False, "temperature": 4.0},
        "wrong": [],
    },
    "ctkd": {
        "task_weight": 0.1,
        "defaults": {"weight": 0.9, "minimum": 1.0, "span": 20.0, "ramp_epochs": 10},
        "wrong": [{"minimum": 0}, {"span": 0}, {"ramp_epochs": -1}, {"ramp_epochs": 1.5}],
    },
    "dhkd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "temperature": 2.0, "head": "mlp", "hidden": 200, "dropout": 0.1},
        "wrong": [{"head": "conv"}, {"hidden": 0}, {"dropout": 1.0}, {"dropout": -0.1}],
    },
}


def _ctkd(student, teacher, minimum):
    raw = torch.ones(1, device=student.device)
    return ctkd_loss(student, teacher, raw, reversal=1.0, minimum=minimum, span=20.0)


EXTREMES = {
    "ctkd": lambda s, t, y: _ctkd(s, t, 1.0),
    "dhkd": lambda s, t, y: dhkd_loss(s, t, temperature=2.0),
    "kd": lambda s, t, y: kd_loss(s, t, temperature=4.0),
    "kd-sharp": lambda s, t, y: kd_loss(s, t, temperature=1.0),
    "kd-standardized": lambda s, t, y: kd_loss(standardize_logits(s), standardize_logits(t), temperature=2.0),
    "kd-swap": lambda s, t, y: swap_kd_loss(s, t, y, temperature=4.0),
    "kd-sort": lambda s, t, y: sort_kd_loss(s, t, y, temperature=4.0),
}
PROPERTIES = {
    "ctkd": (
        lambda s, t, y, temp: _ctkd(s, t, temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "dhkd": (lambda s, t, y, temp: dhkd_loss(s, t, temperature=temp), {"classes", "samples", "divergence"}),
    "kd": (
        lambda s, t, y, temp: kd_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "kd-standardized": (
        lambda s, t, y, temp: kd_loss(standardize_logits(s), standardize_logits(t), temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    # where two classes are equal in the teacher, the order of the classes decides which of them moves
    "kd-swap": (lambda s, t, y, temp: swap_kd_loss(s, t, y, temperature=temp), {"shift", "samples"}),
    "kd-sort": (lambda s, t, y, temp: sort_kd_loss(s, t, y, temperature=temp), {"shift", "samples"}),
}
