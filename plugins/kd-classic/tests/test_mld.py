from __future__ import annotations

import math

import pytest
import torch
from kd_classic import MLD, mld_loss
from kd_classic.options.softened import MLDOptions


def slow(oracle, student, teacher, temperature):
    rows = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        total = 0.0
        for x, y in zip(s, t, strict=True):
            q, p = (1 / (1 + math.exp(-value / temperature)) for value in (y, x))
            total += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
        rows.append(total * temperature**2)
    return oracle.mean(rows)


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_equals_the_formula(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    found = mld_loss(student, teacher, temperature=temperature).item()
    assert found == pytest.approx(slow(oracle, student, teacher, temperature), rel=1e-10)


def test_a_value_worked_out_by_hand():
    # the teacher says 3/4, the student 1/2: KL = 3/4 ln 1.5 + 1/4 ln 0.5, for each of two labels
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3), -math.log(3)]])
    wanted = 2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert mld_loss(student, teacher, temperature=1.0).item() == pytest.approx(wanted, rel=1e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(3, 5)
    assert torch.autograd.gradcheck(
        lambda s: mld_loss(s, teacher, temperature=2.0), (student.requires_grad_(),), fast_mode=True
    )


def test_certain_logits_keep_their_gradient():
    # the authors' code limits probabilities to 1e-8 from 0 and 1, where the gradient ends
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = mld_loss(student, torch.tensor([[-1e4, 1e4]]), temperature=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    torch.testing.assert_close(student.grad, torch.tensor([[1.0, -1.0]]))


def test_the_distiller_takes_the_mean_over_the_labels(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = MLD(MLDOptions(weight=3.0, temperature=2.0), setup)
    wanted = 3 * mld_loss(student, teacher, temperature=2.0) / 5
    torch.testing.assert_close(step(distiller, student, teacher, None), {"mld": wanted})
    assert distiller.requires.works_with("labels")
    assert distiller.requires.works_with("classes")
