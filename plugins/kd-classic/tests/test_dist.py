from __future__ import annotations

import pytest
import torch
from kd_classic import DIST, dist_loss
from kd_classic.dist import dist_terms
from kd_classic.options.relations import DISTOptions

from kdcore import Requires

IMAGENET = {"beta": 1.0, "gamma": 1.0, "temperature": 1.0}
UNEVEN = {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}


@pytest.mark.parametrize("options", [IMAGENET, UNEVEN])
@pytest.mark.parametrize(("samples", "classes"), [(1, 3), (3, 2), (5, 7), (4, 1000)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, options):
    student, teacher, _ = draw(samples, classes)
    expected = oracle.dist(student.tolist(), teacher.tolist(), **options)
    assert dist_loss(student, teacher, **options).item() == pytest.approx(expected, rel=1e-9)
    single = dist_loss(student.float(), teacher.float(), **options)
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_where_probabilities_spread_the_authors_constant_does_not_matter(oracle, draw):
    student, teacher, _ = draw(6, 4)
    bare = oracle.dist(student.tolist(), teacher.tolist(), **IMAGENET, eps=0.0)
    assert dist_loss(student, teacher, **IMAGENET).item() == pytest.approx(bare, rel=1e-5)


def test_a_value_worked_out_by_hand():
    student = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.4, 0.4]], dtype=torch.float64)
    teacher = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]], dtype=torch.float64)
    inter, intra = dist_terms(student.log(), teacher.log(), temperature=1.0)
    # Rows less their mean 1/3, times 30. Row 1: (5, -1, -4) and (8, -1, -7): 69 / sqrt(42 * 114) = 0.997176.
    # Row 2: (-4, 2, 2) and (-7, -4, 11): 42 / sqrt(24 * 186) = 0.628619. 1 - their mean = 0.187103
    assert inter.item() == pytest.approx(0.187103, abs=2e-6)
    # Two samples: each column correlates by the sign of its change: +1, -1, +1. 1 - 1/3 = 0.666667
    assert intra.item() == pytest.approx(0.666667, abs=5e-6)
    loss = dist_loss(student.log(), teacher.log(), beta=2.0, gamma=3.0, temperature=1.0)
    assert loss.item() == pytest.approx(2 * 0.187103 + 3 * 0.666667, abs=2e-5)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: dist_loss(s, teacher, **UNEVEN), (student,))


def test_a_batch_of_one_has_no_intra_class_relation(draw):
    student, teacher, _ = draw(1, 6, dtype=torch.float32)
    student.requires_grad_()
    _, intra = dist_terms(student, teacher, temperature=2.0)
    assert intra.item() == 4.0  # T^2 * (1 - 0)
    intra.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("constant", ["student", "teacher"])
@pytest.mark.parametrize("classes", [7, 41, 43, 997])
def test_a_constant_row_counts_as_uncorrelated_and_gives_no_gradient(draw, dtype, constant, classes):
    # a classifier that starts at zero: without care its gradient is 1e8 times a rounding error
    student, teacher, _ = draw(7, classes, dtype=dtype)
    (student if constant == "student" else teacher).fill_(0.3)
    student.requires_grad_()
    loss = dist_loss(student, teacher, **IMAGENET)
    assert loss.item() == 2.0
    loss.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_a_class_that_no_sample_has_gives_no_gradient():
    # softmax underflows to exactly 0 in the last column of both
    student = torch.tensor([[1.0, 0.0, -1e4], [0.0, 1.0, -1e4]], requires_grad=True)
    teacher = torch.tensor([[2.0, 0.0, -1e4], [0.0, 1.0, -1e4]])
    loss = dist_loss(student, teacher, **IMAGENET)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(student.grad[:, 2], torch.zeros(2))


def test_pearson_sees_neither_scale_nor_shift_of_probabilities_and_both_of_logits(oracle):
    # p -> 0.4 p + 0.6/K keeps each row a distribution, and is a shift and scale of every row and column
    teacher = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.3, 0.5, 0.2]], dtype=torch.float64)
    flatter = 0.4 * teacher + 0.2
    assert dist_loss(flatter.log(), teacher.log(), **IMAGENET).item() == pytest.approx(0, abs=1e-5)
    assert dist_loss(0.4 * teacher.log(), teacher.log(), **IMAGENET).item() > 1e-3


def test_the_distiller_weighs_its_terms_and_asks_for_the_whole_batch(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = DIST(DISTOptions(weight=0.5, beta=3.0, gamma=4.0, temperature=2.0), setup)
    assert distiller.requires == Requires(whole_batch=True, unlabelled="given")
    inter, intra = dist_terms(student, teacher, temperature=2.0)
    torch.testing.assert_close(
        step(distiller, student, teacher, None), {"inter": 1.5 * inter, "intra": 2 * intra}
    )
