"""All losses where floating point is at its end, in every type, and what none of them may do."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch
from kd_feature import vid_loss
from torch import Tensor, nn

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
LOSSES = {name: case for family in CASES for name, case in family.get("LOSSES", {}).items()}
every_loss = pytest.mark.parametrize("loss", [loss for loss, _ in LOSSES.values()], ids=LOSSES)
LARGEST = {torch.float64: 1e4, torch.float32: 1e4, torch.float16: 1e4, torch.bfloat16: 1e4}
SHAPES = [(1, 3, 2, 2), (4, 3, 2, 2), (4, 6, 1, 1), (3, 2, 5, 5)]


def _cases(shape: tuple[int, ...], size: float) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(sum(shape))
    noise, more = (torch.rand(shape, generator=generator).double() * 2 - 1 for _ in range(2))
    zeros = torch.zeros(shape).double()
    return {
        "large": (size * noise, size * more),
        "signs": (size * noise.sign(), size * more.sign()),
        "small": (noise / size, more / size),
        "large and small": (size * noise, more / size),
        "equal": (size * noise, size * noise),
        "opposite": (size * noise, -size * noise),
        "no student": (zeros, more),
        "no teacher": (noise, zeros),
        "nothing": (zeros, zeros),
        "equal samples": (size * noise[:1].expand(shape), size * more),
        "two equal samples": (size * noise[[0, *range(shape[0] - 1)]], size * more),
        "far from the origin": (size + noise, size + more),
        "one hot": (zeros.index_fill(1, torch.tensor(0), size), more),
    }


@pytest.mark.parametrize(("loss", "has"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", LARGEST, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_finite(loss, has, dtype, shape):
    cases = _cases(shape, LARGEST[dtype])
    if "steep" in has and dtype == torch.float16:
        # the true gradient for directions of vectors of length 1e-4 is more than float16 can hold
        cases["small"] = _cases(shape, 100.0)["small"]
    for name, (student, teacher) in cases.items():
        student = student.to(dtype, copy=True).requires_grad_()
        value = loss(student, teacher.to(dtype))
        value.backward()
        assert value.shape == ()
        assert value.isfinite(), name
        assert student.grad.isfinite().all(), name
        assert value.dtype == (dtype if dtype.itemsize >= 4 else torch.float32)
        assert student.grad.dtype == dtype


def test_a_variance_at_its_end():
    log_scale = torch.tensor([-1e4, 1e4]).requires_grad_()
    student = torch.full((1, 2, 1, 1), 1e4).requires_grad_()
    value = vid_loss(student, -student.detach(), log_scale)
    value.backward()
    # variances 1e-5 and 1e4
    expected = (4e8 / 1e-5 + math.log(1e-5) + 4e8 / 1e4 + math.log(1e4)) / 4
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert log_scale.grad.isfinite().all()
    assert student.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", list(_cases((2, 2, 2, 2), 1.0)))
def test_under_autocast_it_works_in_float32(loss, dtype, case):
    student, teacher = (value.to(dtype) for value in _cases((4, 3, 2, 2), 30.0)[case])
    head = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(head.weight)
    with torch.autocast("cpu", dtype=dtype):
        mapped = head(student)
        assert mapped.dtype == dtype
        value = loss(mapped, head(teacher))
    value.backward()
    assert value.dtype == torch.float32
    assert head.weight.grad.isfinite().all()
    torch.testing.assert_close(value, loss(student.float(), teacher.float()))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_features_are_worked_on_in_float32(loss, dtype, draw):
    student, teacher = draw(6, 5, 3, 3).to(dtype), draw(6, 5, 3, 3, seed=1).to(dtype)
    exact = loss(student.double(), teacher.double())
    assert loss(student, teacher).item() == pytest.approx(exact.item(), rel=1e-4, abs=1e-6)


@every_loss
def test_the_student_decides_the_type_where_the_teacher_has_another(loss, draw):
    student, teacher = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1)
    assert loss(student.float(), teacher).dtype == torch.float32
    assert loss(student, teacher.float()).dtype == torch.float64
    assert loss(student.bfloat16(), teacher.float()).dtype == torch.float32


@every_loss
def test_the_teacher_gets_no_gradient(loss, draw):
    student, teacher = draw(4, 3, 2, 2).requires_grad_(), draw(4, 3, 2, 2, seed=1).requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@every_loss
def test_the_inputs_stay_as_they_are(loss, draw):
    student, teacher = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1)
    before = student.clone(), teacher.clone()
    loss(student, teacher)
    assert torch.equal(student, before[0])
    assert torch.equal(teacher, before[1])


@every_loss
def test_memory_order_does_not_matter(loss, draw):
    student, teacher = draw(4, 3, 2, 5), draw(4, 3, 2, 5, seed=1)
    turned = student.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(loss(turned, teacher), loss(student, teacher))


@every_loss
def test_no_value_is_read_on_the_way(loss):
    # A meta tensor has none: whatever would make a GPU wait raises here.
    student = torch.empty(4, 3, 2, 2, device="meta", requires_grad=True)
    value = loss(student, torch.empty(4, 3, 2, 2, device="meta"))
    assert value.shape == ()
    value.backward()
    assert student.grad.shape == (4, 3, 2, 2)


@pytest.mark.parametrize("name", LOSSES)
def test_features_that_do_not_fit_are_refused(name, draw):
    loss, properties = LOSSES[name]
    problem = "element by element" if "element" in properties else "same samples"
    student = draw(4, 3, 2, 2)
    with pytest.raises(ValueError, match="floating point"):
        loss(student.long(), student)
    with pytest.raises(ValueError, match="floating point"):
        loss(student, student.long())
    with pytest.raises(ValueError, match=problem):
        loss(student, student[:3])
    with pytest.raises(ValueError, match="at least one"):
        loss(student[:0], student[:0])
