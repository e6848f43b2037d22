from __future__ import annotations

import math

import pytest
import torch
from kd_classic import LDRLD, kd_loss, ldrld_loss
from kd_classic.ldrld import ldrld_terms
from kd_classic.options.decoupled import LDRLDOptions


def slow(oracle, student, teacher, temperature, top_k):
    """Both terms, subset by subset."""
    relations, remaining = [], []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        order = sorted(range(len(s)), key=lambda k: -s[k])

        def kl(chosen, s=s, t=t):
            if not chosen:
                return 0.0
            p, q = ([row[k] for k in chosen] for row in (t, s))
            return temperature**2 * oracle.kl(oracle.softmax(p, temperature), oracle.softmax(q, temperature))

        top, rest = order[:top_k], order[top_k:]
        sets = [(i, j) for i in range(len(top)) for j in range(i + 1, len(top))] + [tuple(range(len(top)))]
        total = 0.0
        for one in sets:
            weight = 1.0
            if len(one) == 2:
                i, j = one
                weight = 2 / (1.5 + abs(i - j)) * math.exp(-0.05 * (i + j + 2))
            total += weight * kl([top[i] for i in one])
        relations.append(total / len(sets))
        remaining.append(kl(rest))
    return oracle.mean(relations), oracle.mean(remaining)


@pytest.mark.parametrize("top_k", [2, 3, 7])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 3), (5, 8), (3, 300)])
def test_equals_the_released_formula(oracle, draw, samples, classes, top_k):
    student, teacher, _ = draw(samples, classes)
    relations, remaining = slow(oracle, student, teacher, 4.0, top_k)
    found = ldrld_terms(student, teacher, temperature=4.0, top_k=top_k)
    assert found[0].item() == pytest.approx(relations, rel=1e-9)
    assert found[1].item() == pytest.approx(remaining, rel=1e-9, abs=1e-15)
    loss = ldrld_loss(student, teacher, alpha=10.5, beta=7.0, temperature=4.0, top_k=top_k)
    assert loss.item() == pytest.approx(10.5 * relations + 7 * remaining, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # two classes: the pair (0, 1) twice, with weight 2 / 2.5 * e^-0.15, divided by two sets
    teacher = torch.tensor([[math.log(3), 0.0]])
    student = torch.tensor([[1e-3, 0.0]])
    relations, remaining = ldrld_terms(student, teacher, temperature=1.0, top_k=2)
    # KL of (3/4, 1/4) and (1/2, 1/2) is 0.130812; times 0.8 * 0.860708 = 0.090072
    assert relations.item() == pytest.approx(0.090072, abs=2e-4)
    assert remaining.item() == 0


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(3, 8)
    assert torch.autograd.gradcheck(
        lambda s: ldrld_loss(s, teacher, alpha=2.0, beta=3.0, temperature=4.0, top_k=4),
        (student.requires_grad_(),),
        fast_mode=True,
    )


def test_the_students_ranking_counts_and_not_the_teachers(draw):
    student = torch.tensor([[5.0, 4.0, 3.0, 0.0, 0.0]], dtype=torch.float64)
    # agrees on the student's top three classes, and differs in the others, which are the teacher's top
    teacher = torch.tensor([[5.0, 4.0, 3.0, 9.0, 8.0]], dtype=torch.float64)
    relations, remaining = ldrld_terms(student, teacher, temperature=1.0, top_k=3)
    assert relations.item() == 0
    assert remaining.item() > 0.1


def test_with_fewer_classes_than_top_k_nothing_remains(draw):
    student, teacher, _ = draw(4, 5)
    five = ldrld_terms(student, teacher, temperature=4.0, top_k=5)
    seven = ldrld_terms(student, teacher, temperature=4.0, top_k=7)
    assert seven[1].item() == 0
    torch.testing.assert_close(seven, five)


def test_a_large_logit_stays_out_of_the_other_sets():
    # the authors take 1000 from the classes that are not in a set
    student = torch.tensor([[1e4, 9e3, 1.0, 0.0]])
    teacher = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    _, remaining = ldrld_terms(student, teacher, temperature=1.0, top_k=2)
    expected = kd_loss(student[:, 2:], teacher[:, 2:], temperature=1.0)
    torch.testing.assert_close(remaining, expected)


def test_one_top_class_is_refused():
    with pytest.raises(ValueError, match="top_k is 1; it must be 2 or more"):
        ldrld_loss(torch.zeros(2, 3), torch.zeros(2, 3), alpha=1.0, beta=1.0, temperature=1.0, top_k=1)


def test_the_distiller_weighs_its_terms(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = LDRLD(LDRLDOptions(weight=0.5, alpha=4.0, beta=6.0, top_k=3), setup)
    assert not distiller.requires.target
    relations, remaining = ldrld_terms(student, teacher, temperature=4.0, top_k=3)
    torch.testing.assert_close(
        step(distiller, student, teacher, None), {"relations": 2 * relations, "remaining": 3 * remaining}
    )
