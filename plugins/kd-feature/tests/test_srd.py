from __future__ import annotations

import math

import pytest
import torch
from kd_feature import SRD, srd_correlation_loss, srd_loss
from kd_feature.options.relations import SRDOptions

from kdcore import Requires


def standardised(rows: list[list[float]], eps: float) -> list[list[float]]:
    """Each column minus its mean, over the root of its biased variance plus eps."""
    out = [[0.0] * len(rows[0]) for _ in rows]
    for d in range(len(rows[0])):
        column = [row[d] for row in rows]
        mean = sum(column) / len(column)
        variance = sum((x - mean) ** 2 for x in column) / len(column)
        for b, x in enumerate(column):
            out[b][d] = (x - mean) / math.sqrt(variance + eps)
    return out


@pytest.mark.parametrize("exponent", [4.0, 2.5])
@pytest.mark.parametrize("shape", [(5, 3), (2, 4), (8, 1)])
def test_equal_the_authors_formulas(draw, shape, exponent):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    s, t = (standardised(one.tolist(), 1e-4) for one in (student, teacher))
    total = sum(abs(a - b) ** exponent for x, y in zip(s, t, strict=True) for a, b in zip(x, y, strict=True))
    assert srd_loss(student, teacher, exponent).item() == pytest.approx(math.log(total), rel=1e-10)
    s, t = (standardised(one.tolist(), 0.0) for one in (student, teacher))
    total = 0.0
    for d in range(shape[1]):
        c = sum(s[b][d] * t[b][d] for b in range(shape[0])) / shape[0]
        total += abs(1 - c) ** exponent
    expected = math.log(total + 1e-5)
    assert srd_correlation_loss(student, teacher, exponent).item() == pytest.approx(expected, rel=1e-10)


def test_values_worked_out_by_hand():
    # standardised (up to 1e-4): -1, 1 against 1, -1: differences of 2, two times 2^4
    student, teacher = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[5.0], [3.0]]).double()
    assert srd_loss(student, teacher).item() == pytest.approx(math.log(32 / (1 + 1e-4) ** 2))
    # the correlation is -1: (1 - -1)^4
    assert srd_correlation_loss(student, teacher).item() == pytest.approx(math.log(16 + 1e-5))
    assert srd_correlation_loss(student, student).item() == pytest.approx(math.log(1e-5))


@pytest.mark.parametrize("loss", [srd_loss, srd_correlation_loss])
def test_the_gradient_is_that_of_the_formula(draw, loss):
    student, teacher = draw(5, 3).requires_grad_(), draw(5, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))


@pytest.mark.parametrize("loss", [srd_loss, srd_correlation_loss])
def test_scale_and_shift_of_a_channel_do_not_matter(draw, loss):
    student, teacher = 100 * draw(6, 3), 100 * draw(6, 3, seed=1)
    changed = student * torch.tensor([2.0, 0.5, 30.0]) + torch.tensor([1.0, -7.0, 1e3])
    # up to the 1e-4 beside variances of about 1e4
    torch.testing.assert_close(loss(changed, teacher), loss(student, teacher), rtol=1e-6, atol=0)


def test_channels_of_equal_samples_are_no_channels(draw):
    # a batch norm with eps 0 divides by 0 there, and newer versions of torch refuse it
    student, teacher = draw(4, 3), draw(4, 3, seed=1)
    student[:, 1] = 0.1
    student.requires_grad_()
    value = srd_correlation_loss(student, teacher)
    value.backward()
    assert value.isfinite()
    assert student.grad[:, 1].abs().sum() == 0
    assert student.grad.isfinite().all()


def test_one_sample_and_agreement_are_finite(draw):
    one = draw(1, 3).requires_grad_()
    assert srd_loss(one, draw(1, 3, seed=1)).item() == 0
    agreed = draw(4, 3).requires_grad_()
    value = srd_loss(agreed, agreed.detach())
    value.backward()
    assert value.item() == pytest.approx(math.log(torch.finfo(torch.float64).tiny))
    assert agreed.grad.abs().sum() == 0


def test_the_distiller_projects_the_student(make_setup, output, step):
    setup = make_setup()
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    for variant, loss in (("difference", srd_loss), ("correlation", srd_correlation_loss)):
        distiller = SRD(SRDOptions(weight=3.0, variant=variant), setup)
        assert distiller.requires == Requires(
            student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
        )
        assert [list(one.shape) for one in distiller.parameters()] == [[14, 10], [14]]
        expected = 3 * loss(distiller.projection(student.embedding), teacher.embedding)
        torch.testing.assert_close(step(distiller, student, teacher)["srd"], expected)


def test_wrong_arguments_are_refused(draw):
    with pytest.raises(ValueError, match="exponent"):
        srd_loss(draw(3, 2), draw(3, 2), 0)
    with pytest.raises(ValueError, match="eps"):
        srd_correlation_loss(draw(3, 2), draw(3, 2), eps=0)
