"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

import torch
from kd_classic import (
    dkd_loss,
    ldrld_loss,
    nkd_loss,
    rld_loss,
    sdd_dkd_loss,
    sdd_kd_loss,
    wkd_logit_loss,
    wsld_loss,
)


def wkd(s, t, y, *, temperature):
    """Costs that do not depend on the names of the classes; few iterations, for speed."""
    cost = torch.ones(s.shape[1], s.shape[1], device=s.device, dtype=torch.float64).fill_diagonal_(0.0)
    return wkd_logit_loss(
        s, t, y, 0.6 * cost, temperature=temperature, gamma=3.0, regularization=0.05, iterations=2
    )


def rld(s, t, y, *, beta, temperature):
    return rld_loss(s, t, y, alpha=1.0, beta=beta, temperature=temperature, alpha_temperature=temperature)


DISTILLERS = {
    "dkd": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "alpha": 1.0,
            "beta": 8.0,
            "temperature": 4.0,
            "warmup_epochs": 20,
            "correct": None,
            "standardize": False,
        },
        "wrong": [{"alpha": -1}, {"beta": -1}, {"warmup_epochs": -1}, {"warmup_epochs": 2.5}],
    },
    "nkd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "correct": None, "gamma": 1.5, "temperature": 1.0},
        "wrong": [{"gamma": -1}, {"standardize": True}, {"correct": "flip"}],
    },
    "sdd": {
        "task_weight": 0.1,
        "defaults": {
            "weight": 0.9,
            "form": "kd",
            "grids": (1, 2),
            "temperature": 4.0,
            "alpha": 1.0,
            "beta": 8.0,
            "warmup_epochs": 20,
        },
        "wrong": [{"form": "nkd"}, {"grids": []}, {"grids": [0]}, {"grids": [2, 2]}, {"alpha": -1}],
    },
    "rld": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "standardize": False,
            "alpha": 1.0,
            "beta": 8.0,
            "temperature": 4.0,
            "alpha_temperature": None,
        },
        "wrong": [{"alpha": -1}, {"beta": -1}, {"alpha_temperature": 0}, {"correct": "swap"}],
    },
    "wsld": {
        "task_weight": 1.0,
        "defaults": {"weight": 2.5, "correct": None, "temperature": 2.0},
        "wrong": [{"standardize": True}],
    },
    "ldrld": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "correct": None,
            "standardize": False,
            "alpha": 10.5,
            "beta": 7.0,
            "temperature": 4.0,
            "top_k": 7,
        },
        "wrong": [{"alpha": -1}, {"beta": -1}, {"top_k": 1}],
    },
    "wkd": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "correct": None,
            "gamma": 600.0,
            "temperature": 8.0,
            "regularization": 0.05,
            "iterations": 10,
            "cost": "classifier",
            "cost_file": None,
            "cost_samples": 128,
            "sharpen": 1.0,
            "decay_from_epoch": 150,
        },
        "wrong": [
            {"gamma": -1},
            {"regularization": 0},
            {"iterations": 0},
            {"sharpen": -1},
            {"cost": "features"},
            {"cost_samples": 1},
            {"decay_from_epoch": -1},
        ],
    },
}


def _regions(logits):
    return torch.stack([logits, logits.flip(0)], dim=2)


def _own_regions(logits):
    """Regions of a sample that do not depend on the other samples."""
    return torch.stack([logits, -logits, 2 * logits], dim=2)


EXTREMES = {
    "sdd": lambda s, t, y: sdd_kd_loss(_regions(s), _regions(t), y, temperature=4.0),
    "sdd-dkd": lambda s, t, y: sdd_dkd_loss(
        _regions(s), _regions(t), y, alpha=1.0, beta=8.0, temperature=4.0
    ),
    "dkd": lambda s, t, y: dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=4.0),
    "dkd-sharp": lambda s, t, y: dkd_loss(s, t, y, alpha=1.0, beta=2.0, temperature=1.0),
    "nkd": lambda s, t, y: nkd_loss(s, t, y, gamma=1.5, temperature=1.0),
    "nkd-soft": lambda s, t, y: nkd_loss(s, t, y, gamma=3.5, temperature=3.0),
    "rld": lambda s, t, y: rld(s, t, y, beta=8.0, temperature=4.0),
    "rld-sharp": lambda s, t, y: rld(s, t, y, beta=0.5, temperature=1.0),
    "wsld": lambda s, t, y: wsld_loss(s, t, y, temperature=2.0),
    "ldrld": lambda s, t, y: ldrld_loss(s, t, alpha=10.5, beta=7.0, temperature=4.0, top_k=7),
    "ldrld-pair": lambda s, t, y: ldrld_loss(s, t, alpha=1.0, beta=1.0, temperature=1.0, top_k=2),
    "wkd": lambda s, t, y: wkd(s, t, y, temperature=8.0),
    "wkd-sharp": lambda s, t, y: wkd(s, t, y, temperature=1.0),
}
PROPERTIES = {
    # where two classes are equal in the teacher, the order of the classes decides whether it is right
    "sdd": (
        lambda s, t, y, temp: sdd_kd_loss(_own_regions(s), _own_regions(t), y, temperature=temp),
        {"shift", "samples", "divergence"},
    ),
    "sdd-dkd": (
        lambda s, t, y, temp: sdd_dkd_loss(
            _own_regions(s), _own_regions(t), y, alpha=1.0, beta=8.0, temperature=temp
        ),
        {"shift", "samples", "divergence"},
    ),
    "dkd": (
        lambda s, t, y, temp: dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "nkd": (
        lambda s, t, y, temp: nkd_loss(s, t, y, gamma=1.5, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    "rld": (
        lambda s, t, y, temp: rld(s, t, y, beta=8.0, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    "wsld": (
        lambda s, t, y, temp: wsld_loss(s, t, y, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    # where two logits of the student are equal, the order of the classes decides which of them is on top
    "ldrld": (
        lambda s, t, y, temp: ldrld_loss(s, t, alpha=2.0, beta=3.0, temperature=temp, top_k=3),
        {"shift", "samples", "divergence"},
    ),
    "wkd": (lambda s, t, y, temp: wkd(s, t, y, temperature=temp), {"shift", "classes", "samples"}),
}
