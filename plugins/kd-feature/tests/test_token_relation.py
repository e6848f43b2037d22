from __future__ import annotations

import math

import pytest
import torch
from kd_feature import TokenRelation, lightly_global_loss, lightly_local_loss
from kd_feature.options.relations import TokenRelationOptions
from torch.nn import functional as F


def slow(oracle, s, t, temperature):
    rows = []
    for ours, theirs in zip(s, t, strict=True):
        ours, theirs = [oracle.unit(x) for x in ours], [oracle.unit(x) for x in theirs]
        for i in range(len(ours)):
            p, q = ([math.exp(oracle.dot(x[i], y) / temperature) for y in x] for x in (ours, theirs))
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            rows.append(sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))
    return oracle.mean(rows)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (2, 4), (3, 5)])
def test_equals_the_formula(oracle, draw, shape, temperature):
    student, teacher = draw(*shape, 3), draw(*shape, 6, seed=1)
    expected = slow(oracle, student.tolist(), teacher.tolist(), temperature)
    value = lightly_local_loss(student, teacher, temperature)
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_value_worked_out_by_hand():
    # the student's tokens are equal: 1/2 and 1/2; the teacher's are orthogonal: e and 1 over e + 1, at T = 1
    p = math.e / (1 + math.e)
    expected = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    value = lightly_local_loss(torch.ones(1, 2, 3).double(), torch.eye(2)[None].double(), 1.0)
    assert value.item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_formula_also_in_parts(draw, monkeypatch):
    student, teacher = draw(3, 4, 2).requires_grad_(), draw(3, 4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: lightly_local_loss(s, teacher, 0.3), (student,))
    whole = torch.autograd.grad(lightly_local_loss(student, teacher), student)
    monkeypatch.setattr("kd_feature.gradient_in_forward.AT_ONCE", 1)
    torch.testing.assert_close(torch.autograd.grad(lightly_local_loss(student, teacher), student), whole)


@pytest.mark.parametrize("pair", [("cnn", "vit"), ("vit", "wide")], ids="-".join)
def test_the_distiller_projects_and_resizes_the_student(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = TokenRelation(TokenRelationOptions(weight=2.0, local_weight=3.0, queue=5), setup)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    terms = step(distiller, student, teacher)
    rows = torch.zeros(5, setup.teacher.embedding_dim)
    rows[:4] = F.normalize(teacher.embedding, dim=1)
    whole = lightly_global_loss(distiller.global_projection(student.embedding), teacher.embedding, rows)
    torch.testing.assert_close(terms["global"], 2 * whole)
    weight, bias = distiller.local_projection.weight, distiller.local_projection.bias
    projected = F.conv2d(student.features[4].map, weight[:, :, None, None], bias)
    resized = F.interpolate(projected, teacher.features[4].map.shape[2:], mode="bilinear")
    local = lightly_local_loss(resized.flatten(2).mT, teacher.features[4].map.flatten(2).mT)
    torch.testing.assert_close(terms["local"], 6 * local)
    assert sum(len(list(one.parameters())) for one in distiller.children()) == 4  # two linear layers


def test_the_last_tokens_are_those_after_the_norm_of_a_transformer(make_setup):
    from kdcore import StageInfo

    setup = make_setup("cnn", "vit")
    setup.teacher._probed["norm"] = StageInfo("norm", 12, (4, 4), prefix_tokens=1)
    try:
        distiller = TokenRelation(TokenRelationOptions(), setup)
    finally:
        del setup.teacher._probed["norm"]
    assert distiller.requires.student_stages == (4,)
    assert distiller.requires.teacher_stages == ("norm",)
