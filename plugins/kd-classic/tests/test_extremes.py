"""All losses where floating point is at its end: values and gradients stay finite."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
LOSSES = {name: loss for family in CASES for name, loss in family.get("EXTREMES", {}).items()}
LARGEST = {torch.float32: 1e4, torch.float16: 1e3, torch.bfloat16: 1e3}


def _one_hot(index: Tensor, classes: int, size: float) -> Tensor:
    return size * nn.functional.one_hot(index, classes).double()


def _cases(samples: int, classes: int, size: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of student and teacher logits."""
    generator = torch.Generator().manual_seed(samples + classes)
    noise, more = (torch.rand(samples, classes, generator=generator).double() * 2 - 1 for _ in range(2))
    target = torch.arange(samples) % classes
    certain, wrong = _one_hot(target, classes, size), _one_hot((target + 1) % classes, classes, size)
    zeros = torch.zeros(samples, classes).double()
    return {
        "random": (size * noise, size * more),
        "signs": (size * noise.sign(), size * more.sign()),
        "equal": (size * noise, size * noise),
        "certain teacher": (noise, certain),
        "certain teacher, wrong": (noise, wrong),
        "certain teacher, one against all": (noise, 2 * certain - size),
        "certain student, wrong": (wrong, noise),
        "both certain, at odds": (wrong, certain),
        "both certain, agreed": (certain, certain),
        "impossible target": (-certain, noise),
        "flat student": (zeros, size * noise),
        "flat teacher": (size * noise, zeros + size),
        "both flat": (zeros - size, zeros + size),
    }


CASES = list(_cases(2, 2, 1.0))


def _too_large(loss, student: Tensor, teacher: Tensor, target: Tensor, factor: float = 1.0) -> bool:
    """Whether the true gradient, summed over the batch as in a layer below, is beyond the numbers of the type."""
    exact = student.detach().double().requires_grad_()
    loss(exact, teacher.to(student.dtype).double(), target).backward()
    return exact.grad.abs().sum(dim=0).max().item() * factor > torch.finfo(student.dtype).max


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", LARGEST, ids=str)
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 10), (3, 1000)])
def test_values_and_gradients_are_finite(loss, dtype, samples, classes):
    target = torch.arange(samples) % classes
    for name, (student, teacher) in _cases(samples, classes, LARGEST[dtype]).items():
        student = student.to(dtype, copy=True).requires_grad_()
        value = loss(student, teacher.to(dtype), target)
        value.backward()
        assert value.isfinite(), name
        assert student.grad.isfinite().all() or _too_large(loss, student, teacher, target), name
        assert value.dtype == (dtype if dtype.itemsize >= 4 else torch.float32)
        assert student.grad.dtype == dtype


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_finite_under_autocast(loss, dtype, case):
    samples, classes = 5, 10
    inputs, teacher = _cases(samples, classes, 1e3)[case]
    target = torch.arange(samples) % classes
    head = nn.Linear(classes, classes, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(classes))
    with torch.autocast("cpu", dtype=dtype):
        student = head(inputs.float())
        assert student.dtype == dtype
        value = loss(student, head(teacher.float()), target)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert head.weight.grad.isfinite().all() or _too_large(loss, student, teacher, target, 1e3)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_worked_on_in_float32(loss, dtype, draw):
    student, teacher, target = draw(6, 9, dtype=dtype)
    value = loss(student, teacher, target)
    exact = loss(student.double(), teacher.double(), target)
    assert value.item() == pytest.approx(exact.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_student_decides_the_type_where_the_teacher_has_another(loss, draw):
    student, teacher, target = draw(6, 9)
    assert loss(student.float(), teacher, target).dtype == torch.float32
    assert loss(student, teacher.float(), target).dtype == torch.float64
    assert loss(student.bfloat16(), teacher.float(), target).dtype == torch.float32


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_teacher_gets_no_gradient(loss, draw):
    student, teacher, target = draw(6, 9)
    student.requires_grad_()
    teacher.requires_grad_()
    loss(student, teacher, target).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_no_value_is_read_on_the_way(loss):
    # A meta tensor has none: whatever would make a GPU wait raises here.
    logits = torch.empty(4, 6, device="meta", requires_grad=True)
    target = torch.zeros(4, dtype=torch.long, device="meta")
    value = loss(logits, torch.empty(4, 6, device="meta"), target)
    assert value.shape == ()
    value.backward()
    assert logits.grad.shape == (4, 6)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_has_a_gradient(name, draw):
    # of the gradient along one direction, compared with the difference of two gradients
    loss = LOSSES[name]
    student, teacher, target = draw(4, 6)
    direction = torch.linspace(-1, 1, 24, dtype=torch.float64).view(4, 6)

    def gradient(at: Tensor, create_graph: bool = False) -> Tensor:
        (found,) = torch.autograd.grad(loss(at, teacher, target), at, create_graph=create_graph)
        return found

    student.requires_grad_()
    (second,) = torch.autograd.grad((gradient(student, create_graph=True) * direction).sum(), student)
    step = 1e-5
    sides = [(student.detach() + sign * step * direction).requires_grad_() for sign in (1, -1)]
    expected = (gradient(sides[0]) - gradient(sides[1])) / (2 * step)
    assert second.isfinite().all()
    if name not in {
        "wsld",
        "eakd",
        "uskd",
        "uskd-probability",
    }:  # their factors depend on the student and have no gradient
        found = (second * direction).sum()
        torch.testing.assert_close(found, (expected * direction).sum(), rtol=1e-4, atol=1e-7)
