"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import deit_hard_loss, deit_soft_loss

DISTILLERS = {
    "deit-hard": {"task_weight": 0.5, "defaults": {"weight": 0.5}, "wrong": [{"temperature": 1.0}]},
    "deit-soft": {
        "task_weight": 0.5,
        "defaults": {"weight": 0.5, "temperature": 1.0, "reduction": "elements"},
        "wrong": [{"reduction": "sum"}],
    },
}
EXTREMES = {
    "deit-hard": lambda s, t, y: deit_hard_loss(s, t),
    "deit-soft": lambda s, t, y: deit_soft_loss(s, t, temperature=3.0),
}
PROPERTIES = {
    "deit-hard": (lambda s, t, y, temp: deit_hard_loss(s, t), {"shift", "samples"}),
    "deit-soft": (
        lambda s, t, y, temp: deit_soft_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
}
