"""What the shared tests try of the family.

DISTILLERS: of each distiller its task weight, the defaults of its options, and values of options that are errors.
EXTREMES: losses of (student, teacher, target), for test_extremes.py.
PROPERTIES: losses of (student, teacher, target, temperature), and what holds for them, for test_properties.py: `shift`
(a constant added to a sample's logits changes nothing), `classes` and `samples` (nor does their order), `divergence`
(zero if both agree, never below).
"""

from __future__ import annotations

from kd_classic import kd_loss, sort_kd_loss, standardize_logits, swap_kd_loss

DISTILLERS = {
    "kd": {
        "task_weight": 0.1,
        "defaults": {"weight": 0.9, "correct": None, "standardize": False, "temperature": 4.0},
        "wrong": [],
    },
}
EXTREMES = {
    "kd": lambda s, t, y: kd_loss(s, t, temperature=4.0),
    "kd-sharp": lambda s, t, y: kd_loss(s, t, temperature=1.0),
    "kd-standardized": lambda s, t, y: kd_loss(standardize_logits(s), standardize_logits(t), temperature=2.0),
    "kd-swap": lambda s, t, y: swap_kd_loss(s, t, y, temperature=4.0),
    "kd-sort": lambda s, t, y: sort_kd_loss(s, t, y, temperature=4.0),
}
PROPERTIES = {
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
}
