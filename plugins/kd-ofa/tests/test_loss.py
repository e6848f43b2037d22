from __future__ import annotations

import math

import pytest
import torch
from kd_ofa import ofa_loss

LN2 = math.log(2)


@pytest.mark.parametrize("eps", [0.3, 1.0, 1.1, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 2), (1, 7), (6, 10)])
def test_equals_the_formula(oracle, draw, eps, temperature, samples, classes):
    student, teacher, target = draw(samples, classes)
    expected = oracle.ofa(
        student.tolist(), teacher.tolist(), target.tolist(), eps=eps, temperature=temperature
    )
    value = ofa_loss(student, teacher, target, eps=eps, temperature=temperature)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    single = ofa_loss(student.float(), teacher.float(), target, eps=eps, temperature=temperature)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("eps", "factors"),
    [
        (1.0, 0.5 + 0.5),
        (2.0, (1.5**2 - 1) + 0.5**2),
        (0.5, (math.sqrt(1.5) - 1) + math.sqrt(0.5)),
        (1.5, (1.5**1.5 - 1) + 0.5**1.5),
    ],
)
def test_by_hand_with_an_undecided_teacher_and_student(eps, factors):
    even = torch.zeros(1, 2, dtype=torch.float64)
    value = ofa_loss(even, even, torch.tensor([1]), eps=eps, temperature=1.0)
    assert value.item() == pytest.approx(factors * LN2, rel=1e-12)


@pytest.mark.parametrize(
    ("eps", "factor"), [(0.5, math.sqrt(2) - 1), (1.0, 1.0), (1.5, 2**1.5 - 1), (2.0, 3.0)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_by_hand_with_a_teacher_that_is_certain_of_the_target(eps, factor, dtype):
    teacher = torch.tensor([[1e4, -1e4, 0.0, 0.0]], dtype=dtype)
    student = torch.zeros(1, 4, dtype=dtype)
    value = ofa_loss(student, teacher, torch.tensor([0]), eps=eps, temperature=1.0)
    assert value.item() == pytest.approx(factor * 2 * LN2, rel=1e-6)


@pytest.mark.parametrize("eps", [0.5, 1.0, 1.5])
def test_by_hand_with_a_teacher_that_is_certain_of_another_class(eps):
    teacher = torch.tensor([[0.0, 1e4, 0.0, 0.0]])
    student = torch.tensor([[0.0, 0.0, 0.0, 1e4]])
    value = ofa_loss(student, teacher, torch.tensor([0]), eps=eps, temperature=1.0)
    assert value.item() == pytest.approx(1e4)


def test_with_eps_1_it_is_the_cross_entropy_with_the_teachers_probabilities(draw):
    student, teacher, target = draw(6, 9)
    value = ofa_loss(student, teacher, target, eps=1.0, temperature=1.0)
    expected = torch.nn.functional.cross_entropy(student, teacher.softmax(dim=1))
    torch.testing.assert_close(value, expected)


def test_there_is_no_factor_for_the_temperature(draw):
    student, teacher, target = draw(6, 9)
    value = ofa_loss(student, teacher, target, eps=1.5, temperature=4.0)
    torch.testing.assert_close(value, ofa_loss(student / 4, teacher / 4, target, eps=1.5, temperature=1.0))


def test_a_larger_eps_turns_from_the_other_classes_to_the_target(draw):
    _, teacher, target = draw(6, 9)

    def gradient(eps: float) -> torch.Tensor:
        student = torch.zeros(6, 9, dtype=torch.float64, requires_grad=True)
        ofa_loss(student, teacher, target, eps=eps, temperature=1.0).backward()
        return student.grad.gather(1, target.unsqueeze(1))

    assert (gradient(2.0) < gradient(1.0)).all()


@pytest.mark.parametrize("eps", [0.4, 1.0, 1.7])
def test_the_gradient_is_that_of_finite_differences(draw, eps):
    student, teacher, target = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logits: ofa_loss(logits, teacher, target, eps=eps, temperature=1.7), (student,)
    )


@pytest.mark.parametrize("eps", [0.4, 1.0, 1.7])
def test_the_gradient_against_differences_of_the_oracle(oracle, draw, eps):
    student, teacher, target = draw(2, 4)
    student.requires_grad_()
    ofa_loss(student, teacher, target, eps=eps, temperature=2.0).backward()
    h = 1e-5
    for i in range(2):
        for k in range(4):
            sides = []
            for sign in (1, -1):
                rows = student.tolist()
                rows[i][k] += sign * h
                sides.append(oracle.ofa(rows, teacher.tolist(), target.tolist(), eps=eps, temperature=2.0))
            assert student.grad[i, k].item() == pytest.approx((sides[0] - sides[1]) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("eps", [0.5, 1.0, 1.5])
def test_the_teacher_gets_no_gradient(draw, eps):
    student, teacher, target = draw(6, 9)
    student.requires_grad_()
    teacher.requires_grad_()
    ofa_loss(student, teacher, target, eps=eps, temperature=1.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, teacher, target = draw(6, 9)
    mixed = 0.6 * torch.nn.functional.one_hot(target, 9) + 0.4 * torch.nn.functional.one_hot(
        (target + 1) % 9, 9
    )
    hard = ofa_loss(student, teacher, target, eps=1.5, temperature=1.0)
    for soft in (mixed.double(), mixed.half()):
        assert ofa_loss(student, teacher, soft, eps=1.5, temperature=1.0) == hard
    assert ofa_loss(student, teacher, (target + 1) % 9, eps=1.5, temperature=1.0) != hard


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int16])
def test_any_integers_are_class_indices(draw, dtype):
    student, teacher, target = draw(6, 9)
    value = ofa_loss(student, teacher, target.to(dtype), eps=1.5, temperature=1.0)
    assert value == ofa_loss(student, teacher, target, eps=1.5, temperature=1.0)


@pytest.mark.parametrize(
    ("student", "teacher", "target", "message"),
    [
        (
            torch.zeros(2, 3),
            torch.zeros(2, 4),
            torch.zeros(2).long(),
            "the same samples over the same classes",
        ),
        (torch.zeros(2), torch.zeros(2), torch.zeros(2).long(), r"\[B, K\]"),
        (torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0).long(), "at least one sample"),
        (torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2).long(), "two classes"),
        (torch.zeros(2, 3).long(), torch.zeros(2, 3), torch.zeros(2).long(), "student_logits is torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), torch.zeros(2).long(), "teacher_logits is torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3).long(), "target is torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2), "target is torch.float32"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3).long(), "target is torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4), "target is torch.float32"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2).bool(), "target is torch.bool"),
    ],
)
def test_what_does_not_fit_is_refused(student, teacher, target, message):
    with pytest.raises(ValueError, match=message):
        ofa_loss(student, teacher, target, eps=1.0, temperature=1.0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_eps_and_temperature_are_above_0(draw, wrong):
    student, teacher, target = draw(2, 3)
    with pytest.raises(ValueError, match="eps is"):
        ofa_loss(student, teacher, target, eps=wrong, temperature=1.0)
    with pytest.raises(ValueError, match="temperature is"):
        ofa_loss(student, teacher, target, eps=1.0, temperature=wrong)


def test_a_class_that_does_not_exist_is_refused(draw):
    student, teacher, _ = draw(2, 3)
    for wrong in (-1, 3):
        with pytest.raises((IndexError, RuntimeError)):
            ofa_loss(student, teacher, torch.tensor([0, wrong]), eps=1.0, temperature=1.0)
