"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

import torch
from kd_classic import average_kd_loss, camkd_loss, dml_loss, ebkd_loss

DISTILLERS = {
    "dml": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "peers": "sum"},
        "wrong": [{"temperature": 2.0}, {"peers": "max"}],
    },
    "average": {"task_weight": 1.0, "defaults": {"weight": 1.0, "temperature": 4.0}, "wrong": []},
    "ebkd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "temperature": 4.0, "normalize": False},
        "wrong": [{"normalize": "maybe"}],
    },
    "camkd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "temperature": 4.0, "normalize": False},
        "wrong": [{"normalize": "maybe"}],
    },
}


def _two(teacher):
    return torch.stack([teacher, teacher.flip(0)])


EXTREMES = {
    "dml": lambda s, t, y: dml_loss(s, t),
    "average": lambda s, t, y: average_kd_loss(s, _two(t), temperature=4.0),
    "ebkd": lambda s, t, y: ebkd_loss(s, _two(t), temperature=4.0),
    "camkd": lambda s, t, y: camkd_loss(s, _two(t), y, temperature=4.0),
}
PROPERTIES = {
    "dml": (lambda s, t, y, temp: dml_loss(s, t), {"shift", "classes", "samples", "divergence"}),
    "average": (
        lambda s, t, y, temp: average_kd_loss(s, torch.stack([t, -t]), temperature=temp),
        {"shift", "classes", "samples"},
    ),
    # with teachers that differ the student cannot agree
    "average-equal": (
        lambda s, t, y, temp: average_kd_loss(s, torch.stack([t, t]), temperature=temp),
        {"divergence"},
    ),
    "ebkd": (
        lambda s, t, y, temp: ebkd_loss(s, torch.stack([t, -t]), temperature=temp),
        {"shift", "classes", "samples"},
    ),
    "camkd": (
        lambda s, t, y, temp: camkd_loss(s, torch.stack([t, -t]), y, temperature=temp),
        {"shift", "classes", "samples"},
    ),
}
