"""What the shared tests try of the family; see softened.py."""

from __future__ import annotations

from kd_classic import cskd_loss, pskd_loss, tfkd_reg_loss, uskd_loss, uskd_probability_loss

DISTILLERS = {
    "cskd": {"task_weight": 1.0, "defaults": {"weight": 1.0, "temperature": 4.0}, "wrong": []},
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
    "tfkd": {
        "task_weight": 0.9,
        "defaults": {"weight": 10.0, "temperature": 20.0, "correct_probability": 0.99, "version": "released"},
        "wrong": [{"correct_probability": 1}, {"correct_probability": 0}],
    },
}
EXTREMES = {
    "cskd": lambda s, t, y: cskd_loss(s, t, temperature=4.0),
    # what the teacher's place holds here has no gradient in these losses, or is detached
    "pskd": lambda s, t, y: pskd_loss(s, t.double().softmax(1), y, alpha=0.5),
    "uskd": lambda s, t, y: uskd_loss(s, t.detach(), y, alpha=1.0, beta=0.1, mu=0.005),
    "uskd-probability": lambda s, t, y: uskd_probability_loss(
        s, t.detach(), y, alpha=1.0, beta=0.1, mu=0.005
    ),
    "tfkd": lambda s, t, y: tfkd_reg_loss(s, y, temperature=20.0, correct_probability=0.99),
    "tfkd-sharp": lambda s, t, y: tfkd_reg_loss(s, y, temperature=0.1, correct_probability=0.99),
}
PROPERTIES = {
    "cskd": (
        lambda s, t, y, temp: cskd_loss(s, t, temperature=temp),
        {"shift", "classes", "samples", "divergence"},
    ),
    "pskd": (
        lambda s, t, y, temp: pskd_loss(s, (t / temp).softmax(1), y, alpha=0.5),
        {"shift", "classes", "samples"},
    ),
    # the order of the classes decides between equal scores
    "uskd": (
        lambda s, t, y, temp: uskd_loss(s, t, y, alpha=1.0, beta=temp, mu=0.1),
        {"samples"},
    ),
    "tfkd": (
        lambda s, t, y, temp: tfkd_reg_loss(s, y, temperature=temp, correct_probability=0.9),
        {"shift", "classes", "samples"},
    ),
}
