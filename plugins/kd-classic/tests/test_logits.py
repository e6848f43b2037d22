"""Arguments that do not fit: a clear ValueError from every loss that takes them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from kd_classic import dist_loss, dkd_loss, kd_loss, nkd_loss
from kd_classic.logits import without_class

FREE = {
    "kd": partial(kd_loss, temperature=4.0),
    "dist": partial(dist_loss, beta=1.0, gamma=1.0, temperature=1.0),
}
WITH_TARGET = {
    "dkd": partial(dkd_loss, alpha=1.0, beta=8.0, temperature=4.0),
    "nkd": partial(nkd_loss, gamma=1.5, temperature=1.0),
}
ALL = {
    **{name: (lambda s, t, loss=loss, **kw: loss(s, t, **kw)) for name, loss in FREE.items()},
    **{
        name: (lambda s, t, loss=loss, **kw: loss(s, t, torch.zeros(s.shape[0], dtype=torch.long), **kw))
        for name, loss in WITH_TARGET.items()
    },
}


@pytest.mark.parametrize("loss", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), r"student_logits has shape \[2, 3\], teacher_logits \[2, 4\]"),
        (torch.zeros(2, 3), torch.zeros(4, 3), "the same samples over the same classes"),
        (torch.zeros(2, 3), torch.zeros(1, 3), "the same samples over the same classes"),
        (torch.zeros(3), torch.zeros(3), r"student_logits has shape \[3\]; it must be \[B, K\]"),
        (torch.zeros(2, 3), torch.zeros(2, 3, 1), r"teacher_logits has shape \[2, 3, 1\]"),
        (torch.zeros(2, 1), torch.zeros(2, 1), "at least one sample and two classes"),
        (torch.zeros(0, 3), torch.zeros(0, 3), "at least one sample and two classes"),
        (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3), "student_logits is torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool), "teacher_logits is torch.bool"),
    ],
)
def test_logits_that_do_not_fit(loss, student, teacher, message):
    with pytest.raises(ValueError, match=message):
        loss(student, teacher)


@pytest.mark.parametrize("loss", ALL.values(), ids=ALL)
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero(loss, temperature):
    with pytest.raises(ValueError, match="it must be above 0"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), temperature=temperature)


@pytest.mark.parametrize("loss", WITH_TARGET.values(), ids=WITH_TARGET)
@pytest.mark.parametrize(
    "target",
    [
        torch.zeros(2),  # a float is no index
        torch.zeros(3, dtype=torch.long),  # another batch
        torch.zeros(2, 1, dtype=torch.long),
        torch.zeros(2, 3, dtype=torch.long),  # one-hot, but not probabilities
        torch.zeros(2, 4),  # other classes
        torch.zeros(2, dtype=torch.bool),
        torch.tensor(0),
    ],
    ids=lambda target: f"{target.dtype}{list(target.shape)}",
)
def test_a_target_that_does_not_fit(loss, target):
    with pytest.raises(
        ValueError, match=r"must be class indices \(integers\) of shape \[2\] or probabilities"
    ):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), target)


@pytest.mark.parametrize("loss", WITH_TARGET.values(), ids=WITH_TARGET)
@pytest.mark.parametrize("index", [-1, 3])
def test_a_class_that_does_not_exist(loss, index):
    with pytest.raises(RuntimeError, match="out of bounds"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([0, index]))


def test_the_losses_take_their_parameters_by_name_only():
    logits = torch.zeros(2, 3)
    with pytest.raises(TypeError):
        kd_loss(logits, logits, 4.0)
    with pytest.raises(TypeError):
        dkd_loss(logits, logits, torch.tensor([0, 1]), 1.0, 8.0, 4.0)


def test_without_class_keeps_the_others_in_order():
    values = torch.arange(12.0).reshape(4, 3)
    expected = torch.tensor([[1.0, 2.0], [3.0, 5.0], [6.0, 7.0], [10.0, 11.0]])
    assert torch.equal(without_class(values, torch.tensor([0, 1, 2, 0])), expected)
