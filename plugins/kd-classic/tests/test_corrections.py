from __future__ import annotations

import pytest
import torch
from kd_classic import (
    DIST,
    DKD,
    KD,
    NKD,
    dist_loss,
    dkd_loss,
    kd_loss,
    nkd_loss,
    sort_kd_loss,
    sort_logits,
    standardize_logits,
    swap_kd_loss,
    swap_logits,
)
from kd_classic.options.decoupled import DKDOptions, NKDOptions
from kd_classic.options.relations import DISTOptions
from kd_classic.options.softened import KDOptions


def swapped(row: list[float], y: int) -> list[float]:
    row, top = list(row), max(range(len(row)), key=lambda k: row[k])
    row[y], row[top] = row[top], row[y]
    return row


def sorted_to(row: list[float], y: int) -> list[float]:
    order = [y, *sorted((k for k in range(len(row)) if k != y), key=lambda k: -row[k])]
    values = sorted(row, reverse=True)
    return [values[order.index(k)] for k in range(len(row))]


@pytest.mark.parametrize(("correct", "slow"), [(swap_logits, swapped), (sort_logits, sorted_to)])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (6, 3), (40, 7), (3, 1000)])
def test_equals_the_rule_row_by_row(draw, correct, slow, samples, classes):
    _, teacher, target = draw(samples, classes)
    expected = [slow(row, y) for row, y in zip(teacher.tolist(), target.tolist(), strict=True)]
    assert correct(teacher, target).tolist() == expected


def test_values_worked_out_by_hand():
    teacher = torch.tensor([[3.0, 5.0, 1.0, 4.0]])
    # class 0 has rank 3 of 5, 4, 3, 1
    assert swap_logits(teacher, torch.tensor([0])).tolist() == [[5.0, 3.0, 1.0, 4.0]]
    assert sort_logits(teacher, torch.tensor([0])).tolist() == [[5.0, 4.0, 1.0, 3.0]]
    assert swap_logits(teacher, torch.tensor([2])).tolist() == [[3.0, 1.0, 5.0, 4.0]]
    assert sort_logits(teacher, torch.tensor([2])).tolist() == [[1.0, 4.0, 5.0, 3.0]]


@pytest.mark.parametrize("correct", [swap_logits, sort_logits])
def test_a_teacher_that_is_right_stays_as_it_is(draw, correct):
    _, teacher, _ = draw(5, 6)
    assert torch.equal(correct(teacher, teacher.argmax(1)), teacher)
    equal = torch.ones(2, 3)
    assert torch.equal(correct(equal, torch.tensor([0, 2])), equal)


@pytest.mark.parametrize("correct", [swap_logits, sort_logits])
def test_of_a_soft_target_the_most_probable_class_counts(draw, correct):
    _, teacher, target = draw(5, 4)
    soft = torch.full((5, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    assert torch.equal(correct(teacher, soft), correct(teacher, target))


@pytest.mark.parametrize(("loss", "slow"), [(swap_kd_loss, swapped), (sort_kd_loss, sorted_to)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_losses_are_kd_with_corrected_logits(oracle, draw, loss, slow, temperature):
    student, teacher, target = draw(5, 7)
    rows = [slow(row, y) for row, y in zip(teacher.tolist(), target.tolist(), strict=True)]
    expected = oracle.kd(student.tolist(), rows, temperature=temperature)
    assert loss(student, teacher, target, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: loss(s, teacher, target, temperature=temperature), (student,), fast_mode=True
    )


@pytest.mark.parametrize(("name", "correct"), [("swap", swap_logits), ("sort", sort_logits)])
def test_the_option_works_for_each_distiller(setup, step, draw, name, correct):
    student, teacher, target = draw(4, 5)
    right = correct(teacher, target)
    given = {"weight": 1.0, "correct": name}
    for distiller, expected in (
        (KD(KDOptions(**given), setup), kd_loss(student, right, temperature=4.0)),
        (
            DKD(DKDOptions(**given), setup),
            dkd_loss(student, right, target, alpha=1.0, beta=8.0, temperature=4.0),
        ),
        (NKD(NKDOptions(**given), setup), nkd_loss(student, right, target, gamma=1.5, temperature=1.0)),
        (DIST(DISTOptions(**given), setup), dist_loss(student, right, beta=1.0, gamma=1.0, temperature=1.0)),
    ):
        assert distiller.requires.target
        terms = step(distiller, student, teacher, target)
        torch.testing.assert_close(sum(terms.values()), expected)


def test_with_z_scores_too(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = KD(KDOptions(weight=9.0, temperature=2.0, correct="swap", standardize=True), setup)
    terms = step(distiller, student, teacher, target)
    z_scores = standardize_logits(student), standardize_logits(swap_logits(teacher, target))
    torch.testing.assert_close(terms["kd"], 9 * kd_loss(*z_scores, temperature=2.0))


def test_without_a_target_the_distiller_says_so(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    with pytest.raises(ValueError, match="kd reads the ground truth"):
        step(KD(KDOptions(correct="sort"), setup), student, teacher, None)
