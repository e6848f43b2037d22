"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import dist_loss

DISTILLERS = {
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
}
EXTREMES = {
    "dist": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=1.0),
    "dist-soft": lambda s, t, y: dist_loss(s, t, beta=1.0, gamma=1.0, temperature=4.0),
}
PROPERTIES = {
    "dist": (
        lambda s, t, y, temp: dist_loss(s, t, beta=1.0, gamma=2.0, temperature=temp),
        {"shift", "classes", "samples"},
    ),
}
