"""Finite values and gradients where logits are as large as the contract says, in every precision."""

from __future__ import annotations

import pytest
import torch
from kd_ofa import ofa_loss
from torch import nn

LARGEST = {torch.float64: 1e4, torch.float32: 1e4, torch.float16: 1e3, torch.bfloat16: 1e3}
EPS = [0.1, 0.5, 1.0, 1.1, 1.5, 3.0]


def _cases(samples: int, classes: int, largest: float) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    column = torch.arange(samples) % classes
    low = torch.full((samples, classes), -largest)
    sure = low.scatter(1, column.unsqueeze(1), largest)
    wrong = low.scatter(1, ((column + 1) % classes).unsqueeze(1), largest)
    zero = torch.zeros(samples, classes)
    return {
        "both sure": (sure, sure),
        "teacher sure": (zero, sure),
        "teacher wrong": (zero, wrong),
        "student sure": (sure, zero),
        "student wrong": (wrong, zero),
        "student wrong, teacher sure": (wrong, sure),
        "student sure, teacher wrong": (sure, wrong),
        "both wrong": (wrong, wrong),
        "all equal": (low, -low),
    }


CASES = list(_cases(2, 2, 1.0))


@pytest.mark.parametrize("dtype", LARGEST, ids=str)
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (4, 2), (5, 10), (3, 1000)])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_finite(dtype, samples, classes, case):
    inputs, teacher = _cases(samples, classes, LARGEST[dtype])[case]
    target = torch.arange(samples) % classes
    for eps in EPS:
        student = inputs.to(dtype, copy=True).requires_grad_()
        value = ofa_loss(student, teacher.to(dtype), target, eps=eps, temperature=1.0)
        value.backward()
        assert value.isfinite()
        assert value.item() >= 0
        assert student.grad.isfinite().all()
        assert value.dtype == (dtype if dtype.itemsize >= 4 else torch.float32)
        assert student.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_finite_under_autocast(dtype, case):
    samples, classes = 5, 10
    inputs, teacher = _cases(samples, classes, 1e3)[case]
    target = torch.arange(samples) % classes
    head = nn.Linear(classes, classes, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(classes))
    with torch.autocast("cpu", dtype=dtype):
        student = head(inputs)
        assert student.dtype == dtype
        value = ofa_loss(student, head(teacher), target, eps=1.5, temperature=1.0)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert head.weight.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_worked_on_in_float32(dtype, draw):
    student, teacher, target = draw(6, 9, dtype=dtype)
    value = ofa_loss(student, teacher, target, eps=1.5, temperature=1.0)
    exact = ofa_loss(student.double(), teacher.double(), target, eps=1.5, temperature=1.0)
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)


def test_the_student_decides_the_type_where_the_teacher_has_another(draw):
    student, teacher, target = draw(6, 9)
    for one, other, result in (
        (torch.float32, torch.float64, torch.float32),
        (torch.float64, torch.float32, torch.float64),
        (torch.bfloat16, torch.float32, torch.float32),
    ):
        value = ofa_loss(student.to(one), teacher.to(other), target, eps=1.5, temperature=1.0)
        assert value.dtype == result


def test_the_targets_factor_keeps_its_digits_where_the_teacher_finds_it_unlikely():
    # (1 + p)^eps - 1 computed as it stands is 0 in float32 for this p
    teacher = torch.tensor([[0.0, 20.0]])
    student = torch.tensor([[-1e4, 0.0]])
    value = ofa_loss(student, teacher, torch.tensor([0]), eps=1.5, temperature=1.0)
    assert value.item() == pytest.approx(1.5 * 2.0611536e-9 * 1e4, rel=1e-5)


def test_no_value_is_read_on_the_way():
    # A meta tensor has none: whatever would make a GPU wait raises here.
    logits = torch.empty(4, 6, device="meta", requires_grad=True)
    target = torch.zeros(4, dtype=torch.long, device="meta")
    value = ofa_loss(logits, torch.empty(4, 6, device="meta"), target, eps=1.5, temperature=1.0)
    assert value.shape == ()
    value.backward()
    assert logits.grad.shape == (4, 6)
