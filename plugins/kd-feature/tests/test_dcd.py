from __future__ import annotations

import math

import pytest
import torch
from kd_feature import DCD, dcd_loss
from kd_feature.options.contrastive import DCDOptions


def slow(oracle, s, t, log_scale, bias, alpha, max_scale):
    scale = min(math.exp(log_scale), max_scale)
    ours, theirs = [oracle.unit(x) for x in s], [oracle.unit(x) for x in t]
    z = [[oracle.dot(a, b) * scale + bias for b in theirs] for a in ours]
    n = len(z)
    rows = [
        [math.exp(z[i][j]) / sum(math.exp(z[i][k]) for k in range(n)) for j in range(n)] for i in range(n)
    ]
    columns = [
        [math.exp(z[j][i]) / sum(math.exp(z[k][i]) for k in range(n)) for j in range(n)] for i in range(n)
    ]
    contrast = -sum(math.log(rows[i][i]) for i in range(n)) / n
    apart = sum(columns[i][j] * math.log(columns[i][j] / rows[i][j]) for i in range(n) for j in range(n)) / n
    return contrast + alpha * apart


@pytest.mark.parametrize("log_scale", [1.0, 5.0])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 8)])
def test_equals_the_authors_formula(oracle, draw, shape, log_scale):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    scalars = [torch.tensor(log_scale).double(), torch.tensor(0.3).double()]
    expected = slow(oracle, student.tolist(), teacher.tolist(), log_scale, 0.3, 0.7, 10.0)
    assert dcd_loss(student, teacher, *scalars, alpha=0.7).item() == pytest.approx(expected, rel=1e-10)


def test_a_value_worked_out_by_hand():
    # orthogonal pairs and a scale of 2: log(1 + exp(-2)); both directions agree
    value = dcd_loss(torch.eye(2), torch.eye(2), torch.tensor(math.log(2.0)), torch.tensor(5.0))
    assert value.item() == pytest.approx(math.log1p(math.exp(-2.0)))


def test_the_gradient_goes_to_both_embeddings_and_to_the_scalars(draw):
    inputs = [draw(4, 3), draw(4, 3, seed=1), torch.tensor(0.5).double(), torch.tensor(0.1).double()]
    inputs = [one.requires_grad_() for one in inputs]
    assert torch.autograd.gradcheck(dcd_loss, inputs)


@pytest.mark.parametrize("log_scale", [-1e4, 0.0, 90.0, 1e4])
def test_a_scale_at_its_end_is_finite(draw, log_scale):
    scale = torch.tensor(log_scale).requires_grad_()
    student = draw(4, 3).float().requires_grad_()
    value = dcd_loss(student, draw(4, 3, seed=1), scale, torch.tensor(0.0))
    value.backward()
    assert value.isfinite()
    assert value.dtype == torch.float32
    assert scale.grad.isfinite()
    assert student.grad.isfinite().all()


def test_the_distiller_trains_both_heads_the_scale_and_the_bias(make_setup, output, step):
    setup = make_setup()
    distiller = DCD(DCDOptions(weight=2.0, dim=5), setup)
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1, grad=True)
    term = step(distiller, student, teacher)["dcd"]
    pair = distiller.student_head(student.embedding), distiller.teacher_head(teacher.embedding)
    torch.testing.assert_close(term, 2 * dcd_loss(*pair, torch.tensor(1.0), torch.tensor(0.0)))
    term.backward()
    assert all(one.grad is not None for one in distiller.parameters())
    assert teacher.embedding.grad is None
    # ResNet-18 and ResNet-34: 131,330
    assert sum(one.numel() for one in distiller.parameters()) == 5 * (10 + 1) + 5 * (14 + 1) + 2


def test_wrong_arguments_are_refused(draw):
    scalars = torch.tensor(1.0), torch.tensor(0.0)
    for student, teacher, problem in (
        (draw(3, 2), draw(3, 4), "element by element"),
        (draw(3, 2, 2), draw(3, 4), r"must be \[B, D\]"),
        (draw(3, 2), draw(3, 2).long(), "floating point"),
        (draw(0, 2), draw(0, 2), "at least one"),
    ):
        with pytest.raises(ValueError, match=problem):
            dcd_loss(student, teacher, *scalars)
    with pytest.raises(ValueError, match="max_scale"):
        dcd_loss(draw(3, 2), draw(3, 2), *scalars, max_scale=0)
