"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import crld_loss, dist_loss, mlkd_batch_loss, mlkd_class_loss, mlkd_loss, skd_direction_loss

DISTILLERS = {
    "mlkd": {
        "task_weight": 0.2,
        "defaults": {"weight": 0.9, "correct": None, "temperature": 4.0, "version": "released"},
        "wrong": [{"version": "meant"}],
    },
    "crld": {
        "task_weight": 2.0,
        "defaults": {
            "weight": 1.0,
            "correct": None,
            "temperature": 4.0,
            "within_weight": 2.0,
            "cross_weight": 0.5,
            "weak_threshold": 0.9,
            "strong_threshold": 0.2,
        },
        "wrong": [
            {"within_weight": -1},
            {"cross_weight": -1},
            {"weak_threshold": 1.1},
            {"strong_threshold": -0.1},
        ],
    },
    "dist": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 2.0,
            "correct": None,
            "standardize": False,
            "beta": 1.0,
            "gamma": 1.0,
            "temperature": 1.0,
        },
        "wrong": [{"beta": -1}, {"gamma": -1}],
    },
    "skd": {
        "task_weight": 0.1,
        "defaults": {
            "weight": 0.9,
            "correct": None,
            "temperature": 4.0,
            "tikhonov": 0.1,
            "median_factors": True,
        },
        "wrong": [{"tikhonov": 0}, {"standardize": True}],
    },
}
_CRLD = {
    "temperature": 4.0,
    "within_weight": 2.0,
    "cross_weight": 0.5,
    "weak_threshold": 0.0,
    "strong_threshold": 0.2,
}
EXTREMES = {
    "crld": lambda s, t, y: crld_loss(s, t, s.flip(0), t.flip(0), **_CRLD),
    "mlkd": lambda s, t, y: mlkd_loss(s, t, s.flip(0), t.flip(0), temperature=4.0),
    "dist": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=1.0),
    "dist-soft": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=4.0),
    "skd": lambda s, t, y: skd_direction_loss(s, t, tikhonov=0.1),
}
PROPERTIES = {
    "mlkd-samples": (
        lambda s, t, y, temp: mlkd_batch_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "mlkd-classes": (
        lambda s, t, y, temp: mlkd_class_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "dist": (
        lambda s, t, y, temp: dist_loss(s, t, beta=1.0, gamma=2.0, temperature=temp),
        {"shift", "classes", "samples"},
    ),
    # zero if both agree, but rounding does not cancel: not exactly 0
    "skd": (lambda s, t, y, temp: skd_direction_loss(s, t, tikhonov=0.1 * temp), {"classes", "samples"}),
}
