from __future__ import annotations

import math

import pytest
import torch
from kd_feature import ITRD, itrd_correlation_loss, itrd_mutual_loss
from kd_feature.options.relations import ITRDOptions


def slow_correlation(s: list[list[float]], t: list[list[float]], alpha: float) -> float:
    samples, total = len(s), 0.0
    for d in range(len(s[0])):
        columns = []
        for rows in (s, t):
            column = [row[d] for row in rows]
            mean = sum(column) / samples
            deviation = math.sqrt(sum((x - mean) ** 2 for x in column) / (samples - 1))
            columns.append([(x - mean) / deviation for x in column])
        c = sum(a * b for a, b in zip(*columns, strict=True)) / samples
        total += ((c - 1) ** 2) ** alpha
    return math.log2(total)


def slow_mutual(s: list[list[float]], t: list[list[float]]) -> float:
    def gram(rows):
        norms = [math.sqrt(sum(x * x for x in row)) for row in rows]
        return [
            [sum(x * y for x, y in zip(a, b, strict=True)) / n / m for b, m in zip(rows, norms, strict=True)]
            for a, n in zip(rows, norms, strict=True)
        ]

    ours, theirs = gram(s), gram(t)
    joint = [[a * b for a, b in zip(x, y, strict=True)] for x, y in zip(ours, theirs, strict=True)]

    def purity(table):
        trace = sum(table[i][i] for i in range(len(table)))
        return sum((x / trace) ** 2 for row in table for x in row)

    return purity(ours) - purity(joint)


@pytest.mark.parametrize("alpha", [1.5, 1.0, 1.01])
@pytest.mark.parametrize("shape", [(5, 3), (2, 4), (9, 1)])
def test_equal_the_authors_formulas(draw, shape, alpha):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    expected = slow_correlation(student.tolist(), teacher.tolist(), alpha)
    assert itrd_correlation_loss(student, teacher, alpha).item() == pytest.approx(expected, rel=1e-10)
    teacher = draw(shape[0], 6, seed=2)
    expected = slow_mutual(student.tolist(), teacher.tolist())
    assert itrd_mutual_loss(student, teacher).item() == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_values_worked_out_by_hand():
    # two samples on a line: the correlation over B of the unbiased deviation is (B - 1) / B = 1/2
    pair = torch.tensor([[0.0], [2.0]]).double()
    assert itrd_correlation_loss(pair, pair, 1.0).item() == pytest.approx(math.log2(0.25))
    # orthogonal samples of the student, equal ones of the teacher: G_s = 1, J = 1, both with trace 2: 2/4 - 2/4
    assert itrd_mutual_loss(torch.eye(2).double(), torch.ones(2, 3).double()).item() == 0
    # equal samples of the student, orthogonal ones of the teacher: 4/4 - 2/4
    assert itrd_mutual_loss(torch.ones(2, 3).double(), torch.eye(2).double()).item() == pytest.approx(0.5)


def test_the_gradients_are_those_of_the_formulas(draw):
    student, teacher = draw(5, 3).requires_grad_(), draw(5, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: itrd_correlation_loss(s, teacher), (student,))
    assert torch.autograd.gradcheck(lambda s: itrd_mutual_loss(s, draw(5, 4, seed=1)), (student,))


def test_agreement_is_finite_because_a_correlation_is_below_one(draw):
    embedding = draw(6, 3).requires_grad_()
    value = itrd_correlation_loss(embedding, embedding.detach())
    assert value.item() == pytest.approx(math.log2(3 * (1 / 36) ** 1.5))


def test_the_distiller_projects_always_for_one_term_and_for_the_other_if_dims_differ(
    make_setup, output, step
):
    for teacher_name, both in (("wide", True), ("cnn", False)):
        setup = make_setup("cnn", teacher_name)
        distiller = ITRD(ITRDOptions(weight=2.0), setup)
        student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
        terms = step(distiller, student, teacher)
        projected = distiller.projection(student.embedding)
        torch.testing.assert_close(
            terms["correlation"], 4 * itrd_correlation_loss(projected, teacher.embedding)
        )
        seen = projected if both else student.embedding
        torch.testing.assert_close(terms["mutual"], 0.1 * itrd_mutual_loss(seen, teacher.embedding))


def test_terms_of_weight_0_are_left_out(make_setup, output, step):
    setup = make_setup("cnn", "cnn")
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    distiller = ITRD(ITRDOptions(correlation_weight=0), setup)
    assert list(step(distiller, student, teacher)) == ["mutual"]
    assert not list(distiller.parameters())  # nothing that no term trains
    assert list(step(ITRD(ITRDOptions(mutual_weight=0), setup), student, teacher)) == ["correlation"]
    nothing = ITRDOptions(correlation_weight=0, mutual_weight=0)
    assert not list(ITRD(nothing, make_setup("cnn", "wide")).parameters())


def test_a_wrong_alpha_is_refused(draw):
    with pytest.raises(ValueError, match="alpha"):
        itrd_correlation_loss(draw(3, 2), draw(3, 2), 0)
