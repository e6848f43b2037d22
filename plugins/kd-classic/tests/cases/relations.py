"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import (
    crld_loss,
    dist_loss,
    mlkd_batch_loss,
    mlkd_class_loss,
    mlkd_loss,
    mlkd_paper_loss,
    mlkd_standardized_loss,
    skd_direction_loss,
)

DISTILLERS = {
    "mlkd": {
        "task_weight": 0.2,
        "defaults": {
            "weight": 0.9,
            "correct": None,
            "standardize": False,
            "temperature": 4.0,
            "version": "released",
        },
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
    "mlkd-standardized": lambda s, t, y: mlkd_standardized_loss(s, t, s.flip(0), t.flip(0), temperature=2.0),
    "mlkd-paper": lambda s, t, y: mlkd_paper_loss(s, t, s.flip(0), t.flip(0), temperature=4.0),
    "mlkd-samples": lambda s, t, y: mlkd_batch_loss(s, t, temperature=4.0),
    "mlkd-classes": lambda s, t, y: mlkd_class_loss(s, t, temperature=4.0),
    "dist": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=1.0),
    "dist-soft": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=4.0),
    "skd": lambda s, t, y: skd_direction_loss(s, t, tikhonov=0.1),
}
_SURE = {"within_weight": 2.0, "weak_threshold": 0.55, "strong_threshold": 0.35}
PROPERTIES = {
    # where two samples or classes are equally sure, rounding decides which is masked: their order is in test_mlkd.py
    "mlkd": (lambda s, t, y, temp: mlkd_loss(s, t, -s, -t, temperature=temp), {"shift", "divergence"}),
    "mlkd-paper": (
        lambda s, t, y, temp: mlkd_paper_loss(s, t, -s, -t, temperature=temp),
        {"shift", "divergence"},
    ),
    "crld": (
        lambda s, t, y, temp: crld_loss(s, t, -s, -t, **_SURE, temperature=temp, cross_weight=0.5),
        {"shift", "classes", "samples"},
    ),
    # across different views the student cannot agree
    "crld-within": (
        lambda s, t, y, temp: crld_loss(s, t, -s, -t, **_SURE, temperature=temp, cross_weight=0.0),
        {"divergence"},
    ),
    "crld-equal-views": (
        lambda s, t, y, temp: crld_loss(s, t, s, t, **_SURE, temperature=temp, cross_weight=0.5),
        {"divergence"},
    ),
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
