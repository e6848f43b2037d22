"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import pskd_loss, uskd_loss

DISTILLERS = {
    "pskd": {
        "task_weight": 1.0,
        "defaults": {"weight": 1.0, "alpha": 0.8, "table": "float32"},
        "wrong": [{"alpha": 1.5}, {"alpha": -0.1}, {"table": "int8"}],
    },
    "uskd": {
        "task_weight": 1.0,
        "defaults": {
            "weight": 1.0,
            "alpha": 1.0,
            "beta": 0.1,
            "mu": 0.005,
            "stage": 3,
            "ranking": "released",
        },
        "wrong": [{"alpha": -1}, {"beta": -1}, {"mu": -1}, {"ranking": "meant"}],
    },
}
EXTREMES = {
    # what the teacher's place holds here has no gradient in these losses, or is detached
    "pskd": lambda s, t, y: pskd_loss(s, t.double().softmax(1), y, alpha=0.5),
    "uskd": lambda s, t, y: uskd_loss(s, t.detach(), y, alpha=1.0, beta=0.1, mu=0.005),
}
PROPERTIES = {
    "pskd": (
        lambda s, t, y, temp: pskd_loss(s, (t / temp).softmax(1), y, alpha=0.5),
        {"shift", "classes", "samples"},
    ),
    # the order of the classes decides between equal scores
    "uskd": (
        lambda s, t, y, temp: uskd_loss(s, t, y, alpha=1.0, beta=temp, mu=0.1),
        {"samples"},
    ),
}
