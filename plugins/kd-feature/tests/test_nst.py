from __future__ import annotations

import pytest
import torch
from kd_feature import NST, nst_loss
from kd_feature.options.maps import NSTOptions

from kdcore import Requires

SHAPES = [
    ((2, 3, 4, 4), (2, 5, 4, 4)),  # more places than channels: kernels of channels
    ((2, 9, 2, 2), (2, 7, 2, 2)),  # fewer: tables of places
    ((3, 8, 6, 6), (3, 4, 2, 2)),
    ((2, 2, 2, 3), (2, 3, 5, 2)),
    ((1, 4, 1, 1), (1, 3, 1, 1)),
]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_equals_the_papers_formula(oracle, draw, student_shape, teacher_shape):
    student, teacher = draw(*student_shape), draw(*teacher_shape, seed=1)
    expected = oracle.nst(student.tolist(), teacher.tolist())
    assert nst_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert nst_loss(student.float(), teacher.float()).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_value_worked_out_by_hand(copies):
    # Student channels (1, 0) and (0, 1), teacher channel (0.6, 0.8), on two places.
    student, teacher = torch.eye(2).view(1, 2, 1, 2), torch.tensor([[[[3.0, 4.0]]]])
    # ss: (1 + 0 + 0 + 1) / 4; tt: 1; st: (0.36 + 0.64) / 2. Repeating channels changes none of the means.
    value = nst_loss(student.repeat(1, copies, 1, 1), teacher.repeat(1, copies, 1, 1))
    assert value.item() == pytest.approx(0.5 + 1 - 2 * 0.5, abs=1e-6)


@pytest.mark.parametrize(("channels", "side"), [(2, 3), (6, 2)])
def test_the_gradient_is_that_of_the_formula(draw, channels, side):
    student, teacher = draw(2, channels, side, side).requires_grad_(), draw(2, 3, side, side, seed=1)
    assert torch.autograd.gradcheck(lambda s: nst_loss(s, teacher), (student,))


@pytest.mark.parametrize("side", [2, 5])
def test_channels_without_activity(oracle, draw, side):
    student, teacher = draw(2, 4, side, side), draw(2, 3, side, side, seed=1)
    student[:, 1], teacher[0, 2] = 0.0, 0.0
    inputs = student.float().requires_grad_()
    value = nst_loss(inputs, teacher)
    assert value.item() == pytest.approx(oracle.nst(student.tolist(), teacher.tolist()), rel=1e-5)
    value.backward()
    assert inputs.grad.isfinite().all()
    assert inputs.grad[:, 1].abs().max() == 0


def test_the_distiller_adds_up_its_stages(make_setup, output, step):
    setup = make_setup("vit", "fine")
    distiller = NST(NSTOptions(weight=2.0), setup)
    assert distiller.requires == Requires(
        student_stages=(1, 2, 3, 4), teacher_stages=(1, 2, 3, 4), teacher_logits=False
    )
    student, teacher = output(setup.student, (1, 2, 3, 4)), output(setup.teacher, (1, 2, 3, 4), seed=1)
    expected = sum(nst_loss(student.features[s].map, teacher.features[s].map) for s in (1, 2, 3, 4))
    torch.testing.assert_close(step(distiller, student, teacher), {"nst": 2 * expected})
