"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

import torch
from kd_classic import dkd_loss, nkd_loss, sdd_dkd_loss, sdd_kd_loss

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
}


def _regions(logits):
    return torch.stack([logits, logits.flip(0)], dim=2)


EXTREMES = {
    "sdd": lambda s, t, y: sdd_kd_loss(_regions(s), _regions(t), y, temperature=4.0),
    "sdd-dkd": lambda s, t, y: sdd_dkd_loss(
        _regions(s), _regions(t), y, alpha=1.0, beta=8.0, temperature=4.0
    ),
    "dkd": lambda s, t, y: dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=4.0),
    "dkd-sharp": lambda s, t, y: dkd_loss(s, t, y, alpha=1.0, beta=2.0, temperature=1.0),
    "nkd": lambda s, t, y: nkd_loss(s, t, y, gamma=1.5, temperature=1.0),
    "nkd-soft": lambda s, t, y: nkd_loss(s, t, y, gamma=3.5, temperature=3.0),
}
PROPERTIES = {
    "dkd": (
        lambda s, t, y, temp: dkd_loss(s, t, y, alpha=1.0, beta=8.0, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "nkd": (
        lambda s, t, y, temp: nkd_loss(s, t, y, gamma=1.5, temperature=temp),
        {"shift", "classes", "samples"},
    ),
}
