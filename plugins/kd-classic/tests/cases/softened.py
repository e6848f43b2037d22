"""What the shared tests try of the family.

DISTILLERS: of each distiller its task weight, the defaults of its options, and values of options that are errors.
EXTREMES: losses of (student, teacher, target), for test_extremes.py.
PROPERTIES: losses of (student, teacher, target, temperature), and what holds for them, for test_properties.py: `shift`
(a constant added to a sample's logits changes nothing), `classes` and `samples` (nor does their order), `divergence`
(zero if both agree, never below).
"""

from __future__ import annotations

import torch
from kd_classic import (
    abkd_loss,
    bkd_loss,
    ctkd_loss,
    dhkd_loss,
    ea_kd_loss,
    kd_loss,
    luminet_loss,
    mld_loss,
    normkd_loss,
    sort_kd_loss,
    standardize_logits,
    swap_kd_loss,
    tekap_loss,
    ttm_loss,
    wttm_loss,
)


def tekap(s, t, *, temperature):
    """With noise that is a function of its place: the same for each call, and for each order of the samples."""
    noise = torch.arange(2 * s.shape[1], device=t.device, dtype=torch.float32).sin()
    noise = noise.reshape(2, 1, -1).expand(2, *s.shape)
    return tekap_loss(s, t, noise, temperature=temperature, noise_weight=0.1, augmented_weight=0.8)


def ea_kd(s, t, *, temperature, bound=100.0):
    return ea_kd_loss(s, t, temperature=temperature, entropy_temperature=3.0, entropy_bound=bound)


DISTILLERS = {
    "kd": {
        "task_weight": 0.1,
        "defaults": {"weight": 0.9, "correct": None, "standardize": False, "temperature": 4.0},
        "wrong": [],
    },
    "ctkd": {
        "task_weight": 0.1,
        "defaults": {
            "weight": 0.9,
            "correct": None,
            "standardize": False,
            "minimum": 1.0,
            "span": 20.0,
            "ramp_epochs": 10,
        },
        "wrong": [{"minimum": 0}, {"span": 0}, {"ramp_epochs": -1}, {"ramp_epochs": 1.5}],
    },
    "dhkd": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "correct": None,
            "temperature": 2.0,
            "head": "mlp",
            "hidden": 200,
            "dropout": 0.1,
        },
        "wrong": [{"head": "conv"}, {"hidden": 0}, {"dropout": 1.0}, {"dropout": -0.1}],
    },
    "ttm": {
        "task_weight": 1.0,
        "defaults": {"weight": 45.0, "correct": None, "gamma": 0.1},
        "wrong": [{"gamma": 0}, {"standardize": True}],
    },
    "wttm": {
        "task_weight": 1.0,
        "defaults": {"weight": 4.0, "correct": None, "gamma": 0.2},
        "wrong": [{"gamma": 0}, {"standardize": True}],
    },
    "bkd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "correct": None},
        "wrong": [{"temperature": 1.0}],
    },
    "mld": {
        "task_weight": 1.0,
        "defaults": {"weight": 0.15625, "temperature": 1.0},
        "wrong": [{"temperature": 0}, {"correct": "swap"}],
    },
    "normkd": {
        "task_weight": 0.1,
        "defaults": {"weight": 0.9, "correct": None, "temperature": 2.0},
        "wrong": [{"standardize": True}],
    },
    "luminet": {
        "task_weight": 2.0,
        "defaults": {"weight": 1089.0, "correct": None, "temperature": 4.0},
        "wrong": [{"standardize": True}],
    },
    "eakd": {
        "task_weight": 0.1,
        "defaults": {
            "weight": 0.9,
            "correct": None,
            "standardize": False,
            "temperature": 4.0,
            "entropy_temperature": 3.0,
            "entropy_bound": 100.0,
        },
        "wrong": [{"entropy_temperature": 0}, {"entropy_bound": 0}],
    },
    "abkd": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 32.0,
            "correct": None,
            "standardize": False,
            "alpha": 0.8,
            "beta": 0.3,
            "temperature": 4.0,
        },
        "wrong": [{"alpha": -0.1}, {"beta": -0.1}],
    },
    "tekap": {
        "task_weight": 0.1,
        "defaults": {
            "weight": 0.9,
            "correct": None,
            "standardize": False,
            "teachers": 3,
            "noise_weight": 0.1,
            "augmented_weight": 0.8,
            "temperature": 4.0,
        },
        "wrong": [{"teachers": 0}, {"noise_weight": 1.1}, {"augmented_weight": -1}],
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
    "ttm": lambda s, t, y: ttm_loss(s, t, gamma=0.1),
    "wttm": lambda s, t, y: wttm_loss(s, t, gamma=0.2),
    "bkd": lambda s, t, y: bkd_loss(s, t),
    "mld": lambda s, t, y: mld_loss(s, t, temperature=1.0),
    "normkd": lambda s, t, y: normkd_loss(s, t, temperature=2.0),
    "luminet": lambda s, t, y: luminet_loss(s, t, temperature=4.0),
    "eakd": lambda s, t, y: ea_kd(s, t, temperature=4.0),
    "abkd": lambda s, t, y: abkd_loss(s, t, alpha=0.8, beta=0.3, temperature=4.0),
    "abkd-limit": lambda s, t, y: abkd_loss(s, t, alpha=0.0, beta=0.5, temperature=1.0),
    "tekap": lambda s, t, y: tekap(s, t, temperature=4.0),
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
    "ttm": (lambda s, t, y, temp: ttm_loss(s, t, gamma=1 / temp), {"shift", "classes", "samples"}),
    "wttm": (lambda s, t, y, temp: wttm_loss(s, t, gamma=1 / temp), {"shift", "classes", "samples"}),
    # a sigmoid sees the size of a logit, not only its distance to the others
    "bkd": (lambda s, t, y, temp: bkd_loss(s, t), {"classes", "samples"}),
    "mld": (lambda s, t, y, temp: mld_loss(s, t, temperature=temp), {"classes", "samples", "divergence"}),
    "normkd": (
        lambda s, t, y, temp: normkd_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    # a constant in one sample's logits changes the statistics of the batch
    "luminet": (
        lambda s, t, y, temp: luminet_loss(s, t, temperature=temp),
        {"classes", "samples", "divergence"},
    ),
    "eakd": (
        lambda s, t, y, temp: ea_kd(s, t, temperature=temp, bound=2.0),
        {"shift", "classes", "samples", "divergence"},
    ),
    "abkd-kl": (
        lambda s, t, y, temp: abkd_loss(s, t, alpha=1.0, beta=0.0, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    "abkd": (
        lambda s, t, y, temp: abkd_loss(s, t, alpha=0.8, beta=0.3, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    # the noise belongs to a class and a sample
    "tekap": (lambda s, t, y, temp: tekap(s, t, temperature=temp), {"shift", "samples"}),
}
