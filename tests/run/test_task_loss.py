"""`task.loss` and `task.class_weights` in runs."""

from __future__ import annotations

import pytest

import kdcore
from kdcore import UserError, run


def test_runs_with_other_task_losses(spec_file):
    losses = {}
    for name, task in {
        "plain": {},
        "bce": {"loss": "bce", "bce_threshold": 0.2},
        "focal": {"loss": "focal", "focal_gamma": 1.0},
        "weights": {"class_weights": {"3": 10.0}},
        "balanced": {"class_weights": "balanced"},
    }.items():
        done = run(spec_file(name, task=task, train={"epochs": 1}, data={"mixup": 0.2}), quiet=True)
        losses[name] = done.metrics[0]["task_loss"]
    assert len({round(loss, 6) for name, loss in losses.items() if name != "balanced"}) == 4
    # the digits are drawn in equal numbers, so balanced weights are 1
    assert losses["balanced"] == pytest.approx(losses["plain"])


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ({"bce_threshold": 0.2}, "task.bce_threshold"),
        ({"focal_gamma": 1.0}, "task.focal_gamma"),
        ({"loss": "hinge"}, "task.loss"),
        ({"class_weights": "even"}, "task.class_weights"),
        ({"class_weights": [1.0, 2.0]}, "task.class_weights"),
        ({"class_weights": {"eleven": 2.0}}, "task.class_weights.eleven"),
        ({"class_weights": [1.0] * 9 + [-1.0]}, "task.class_weights"),
    ],
)
def test_wrong_task_losses_are_found_before_training(spec_file, task, where):
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec_file(task=task))
    assert any(problem.where.startswith(where) for problem in caught.value.problems)
