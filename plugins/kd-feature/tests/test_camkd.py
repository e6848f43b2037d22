from __future__ import annotations

import math

import pytest
import torch
from kd_dev.testing.values import numbers
from kd_feature import camkd_feature_loss

TARGET = torch.tensor([2, 0, 1, 2])


def given(teachers: int = 3) -> list[torch.Tensor]:
    """Maps of the student and the teachers, and the crossed logits."""
    maps = (teachers, 4, 5, 2, 3)
    return [numbers(*maps), numbers(*maps, seed=1), numbers(teachers, 4, 3, seed=2, scale=2.0)]


@pytest.mark.parametrize("teachers", [2, 3])
def test_equals_the_authors_formula(teachers):
    student, theirs, crossed = given(teachers)
    total = 0.0
    for b, y in enumerate(TARGET.tolist()):
        wrong = [math.log(sum(math.exp(v) for v in row[b])) - row[b][y] for row in crossed.tolist()]
        shares = [math.exp(w) / sum(math.exp(v) for v in wrong) for w in wrong]
        for m in range(teachers):
            pairs = zip(student[m, b].flatten().tolist(), theirs[m, b].flatten().tolist(), strict=True)
            apart = sum((x - z) ** 2 for x, z in pairs) / 30
            total += (1 - shares[m]) / (teachers - 1) * apart
    loss = camkd_feature_loss(student, theirs, crossed, TARGET)
    assert loss.item() == pytest.approx(total / 4 / teachers, rel=1e-9)


def test_the_gradient_is_that_of_the_formula_and_the_students_only():
    student, theirs, crossed = (one.requires_grad_() for one in given(2))
    fixed = theirs.detach(), crossed.detach()
    assert torch.autograd.gradcheck(
        lambda s: camkd_feature_loss(s, *fixed, TARGET), (student,), fast_mode=True
    )
    camkd_feature_loss(student, theirs, crossed, TARGET).backward()
    assert theirs.grad is None
    assert crossed.grad is None


def test_half_precision_is_worked_on_in_float32_and_large_logits_are_finite():
    student, theirs, crossed = given()
    exact = camkd_feature_loss(
        student.half().double(), theirs.half().double(), crossed.half().double(), TARGET
    )
    half = camkd_feature_loss(student.half(), theirs.half(), crossed.half(), TARGET)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=1e-5)
    large = camkd_feature_loss(student.float(), theirs.float(), 1e4 * crossed.float().sign(), TARGET)
    assert large.isfinite()


def test_the_most_probable_class_of_a_soft_target_counts():
    student, theirs, crossed = given()
    soft = torch.full((4, 3), 0.1, dtype=torch.float64).scatter_(1, TARGET.unsqueeze(1), 0.8)
    torch.testing.assert_close(
        camkd_feature_loss(student, theirs, crossed, soft),
        camkd_feature_loss(student, theirs, crossed, TARGET),
    )


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda s, t, c: (s[0], t, c), "student_maps is"),
        (lambda s, t, c: (s, t[:, :, :4], c), "both maps of one shape"),
        (lambda s, t, c: (s, t, c[:2]), "same teachers and samples"),
        (lambda s, t, c: (s[:1], t[:1], c[:1]), "there is one teacher"),
    ],
)
def test_what_does_not_fit_is_refused(cut, message):
    with pytest.raises(ValueError, match=message):
        camkd_feature_loss(*cut(*given()), TARGET)
