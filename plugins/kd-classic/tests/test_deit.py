from __future__ import annotations

import math

import pytest
import torch
from kd_classic import DeiTHard, DeiTSoft, deit_hard_loss, deit_soft_loss, kd_loss
from kd_classic.options.tokens import DeiTHardOptions, DeiTSoftOptions
from kd_dev.testing.values import numbers, terms_of

from kdcore import ModelOutput, Requires


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 1000)])
def test_soft_equals_the_authors_mean_over_all_elements(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    expected = oracle.kd(student.tolist(), teacher.tolist(), temperature=temperature)
    elements = deit_soft_loss(student, teacher, temperature=temperature)
    assert elements.item() == pytest.approx(expected / classes, rel=1e-9)


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 1000)])
def test_hard_equals_the_cross_entropy_of_the_teachers_class(oracle, draw, samples, classes):
    student, teacher, _ = draw(samples, classes)
    pairs = zip(student.tolist(), teacher.tolist(), strict=True)
    losses = [-math.log(oracle.softmax(a)[b.index(max(b))]) for a, b in pairs]
    assert deit_hard_loss(student, teacher).item() == pytest.approx(oracle.mean(losses), rel=1e-9)


def test_the_gradients_are_those_of_the_formulas(draw):
    student, teacher, _ = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: deit_soft_loss(s, teacher, temperature=3.0), (student,))
    assert torch.autograd.gradcheck(lambda s: deit_hard_loss(s, teacher), (student,))


def test_the_distillers_read_the_second_classifier_only(setup):
    first, second, teacher = (numbers(4, 5, seed=seed).requires_grad_() for seed in range(3))
    student = ModelOutput(first, distillation_logits=second)
    hard = DeiTHard(DeiTHardOptions(), setup)
    soft = DeiTSoft(DeiTSoftOptions(weight=0.1, temperature=3.0, reduction="batchmean"), setup)
    assert hard.requires == soft.requires == Requires(distillation_logits=True)
    elements = DeiTSoft(DeiTSoftOptions(weight=0.1, temperature=3.0), setup)
    expected = 0.1 * deit_soft_loss(second, teacher, temperature=3.0)
    torch.testing.assert_close(terms_of(elements, student, teacher)["deit"], expected)
    of_hard, of_soft = terms_of(hard, student, teacher)["deit"], terms_of(soft, student, teacher)["deit"]
    torch.testing.assert_close(of_hard, 0.5 * deit_hard_loss(second, teacher))
    torch.testing.assert_close(of_soft, 0.1 * kd_loss(second, teacher, temperature=3.0))
    (of_hard + of_soft).backward()
    assert first.grad is None
    assert teacher.grad is None
    assert second.grad.abs().sum() > 0


def test_a_student_with_one_classifier_gives_a_message(setup):
    with pytest.raises(ValueError, match="distillation token"):
        terms_of(DeiTHard(DeiTHardOptions(), setup), numbers(4, 5), numbers(4, 5))
