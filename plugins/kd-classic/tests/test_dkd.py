from __future__ import annotations

import math

import pytest
import torch
from kd_classic import DKD, dkd_loss, kd_loss, standardize_logits
from kd_classic.dkd import dkd_terms
from kd_classic.options.decoupled import DKDOptions

from kdcore import DistillerEntry, Requires
from kdcore.inspect import paper_settings
from kdcore.plugin import get_plugins

PLAIN = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}


@pytest.mark.parametrize("options", [PLAIN, {"alpha": 2.0, "beta": 0.5, "temperature": 1.0}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 3), (3, 2), (5, 7), (4, 1000)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, options):
    student, teacher, target = draw(samples, classes)
    expected = oracle.dkd(student.tolist(), teacher.tolist(), target.tolist(), **options)
    assert dkd_loss(student, teacher, target, **options).item() == pytest.approx(expected, rel=1e-9)
    single = dkd_loss(student.float(), teacher.float(), target, **options)
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_a_value_worked_out_by_hand():
    # teacher (4/8, 3/8, 1/8), student (1/3, 1/3, 1/3), target 0, T = 1
    teacher = torch.tensor([[4.0, 3.0, 1.0]], dtype=torch.float64).log()
    student = torch.zeros(1, 3, dtype=torch.float64)
    tckd, nckd = dkd_terms(student, teacher, torch.tensor([0]), temperature=1.0)
    # TCKD: KL of (1/2, 1/2) and (1/3, 2/3) = 1/2 ln(3/2) + 1/2 ln(3/4) = 0.202733 - 0.143841 = 0.058892
    assert tckd.item() == pytest.approx(0.058892, abs=1e-6)
    # NCKD: KL of (3/4, 1/4) and (1/2, 1/2) = 3/4 ln(3/2) + 1/4 ln(1/2) = 0.130812
    assert nckd.item() == pytest.approx(0.130812, abs=1e-6)
    # 0.058892 + 8 * 0.130812 = 1.105388
    loss = dkd_loss(student, teacher, torch.tensor([0]), alpha=1.0, beta=8.0, temperature=1.0)
    assert loss.item() == pytest.approx(1.105388, abs=8e-6)


def test_kd_is_tckd_plus_nckd_times_what_the_teacher_leaves_to_the_others(draw):
    # equation 6 of the paper, for one sample
    student, teacher, target = draw(1, 6)
    tckd, nckd = dkd_terms(student, teacher, target, temperature=2.0)
    left = 1 - (teacher / 2).softmax(1)[0, target[0]]
    torch.testing.assert_close(kd_loss(student, teacher, temperature=2.0), tckd + left * nckd)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, target = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: dkd_loss(s, teacher, target, **PLAIN), (student,))


def test_two_classes_have_no_non_target_part(draw):
    student, teacher, target = draw(6, 2, scale=50.0)
    student.requires_grad_()
    tckd, nckd = dkd_terms(student, teacher, target, temperature=4.0)
    assert nckd.item() == 0
    torch.testing.assert_close(tckd, kd_loss(student, teacher, temperature=4.0))
    nckd.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_a_target_logit_of_any_size_leaves_the_other_classes_as_they_are():
    # A mask of -1000 on the target would leave it the largest here, and NCKD 0.
    student, teacher = torch.tensor([[1e4, 0.0, 1.0]]), torch.tensor([[1e4, 1.0, 0.0]])
    _, nckd = dkd_terms(student, teacher, torch.tensor([0]), temperature=1.0)
    # KL of (e, 1)/(e + 1) and (1, e)/(e + 1): (e - 1)/(e + 1) = 0.462117
    assert nckd.item() == pytest.approx((math.e - 1) / (math.e + 1), rel=1e-6)


def test_a_certain_teacher_against_a_certain_student_of_another_class():
    # T = 4: TCKD is 16 * (0 - log softmax(s/4)_1) = 16 * 2500
    student, teacher = torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([[0.0, 1e4, 0.0]])
    tckd, _ = dkd_terms(student, teacher, torch.tensor([1]), temperature=4.0)
    assert tckd.item() == pytest.approx(40_000, rel=1e-6)


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, teacher, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    expected = dkd_loss(student, teacher, target, **PLAIN)
    torch.testing.assert_close(dkd_loss(student, teacher, soft, **PLAIN), expected)
    torch.testing.assert_close(dkd_loss(student, teacher, target.int(), **PLAIN), expected)


def test_the_distiller_weighs_its_terms(setup, step, draw):
    student, teacher, target = draw(4, 5)
    options = DKDOptions(weight=0.5, alpha=3.0, beta=2.0, temperature=2.0, warmup_epochs=0)
    distiller = DKD(options, setup)
    assert distiller.requires == Requires(target=True, unlabelled="skipped")
    terms = step(distiller, student, teacher, target, epoch=0.0)
    tckd, nckd = dkd_terms(student, teacher, target, temperature=2.0)
    torch.testing.assert_close(terms, {"tckd": 1.5 * tckd, "nckd": 1.0 * nckd})


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0.0, 0.05), (0.99, 0.05), (1.0, 0.1), (9.5, 0.5), (18.999, 0.95), (19.0, 1), (300.5, 1)],
)
def test_the_warm_up_grows_by_the_epoch_and_counts_from_one(setup, step, draw, epoch, factor):
    student, teacher, target = draw(4, 5)
    distiller = DKD(DKDOptions(), setup)
    terms = step(distiller, student, teacher, target, epoch=epoch)
    expected = dkd_loss(student, teacher, target, **PLAIN) * factor
    torch.testing.assert_close(terms["tckd"] + terms["nckd"], expected)


def test_without_a_target_the_distiller_says_so(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    with pytest.raises(ValueError, match="dkd reads the ground truth"):
        step(DKD(DKDOptions(), setup), student, teacher, None)


def test_with_standardisation_the_distiller_sees_z_scores(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = DKD(DKDOptions(weight=9, temperature=2.0, standardize=True), setup)
    terms = step(distiller, student, teacher, target)
    z_scores = standardize_logits(student), standardize_logits(teacher)
    expected = 9 * dkd_loss(*z_scores, target, alpha=1.0, beta=8.0, temperature=2.0)
    torch.testing.assert_close(terms["tckd"] + terms["nckd"], expected)


def test_beta_is_that_of_the_authors_for_their_pairs():
    settings = paper_settings(get_plugins().find(DistillerEntry, "dkd", "distiller"), "distiller")
    betas = {
        (teacher, student): pair.options["beta"]
        for pair in settings.pairs
        for teacher in pair.teachers
        for student in pair.students
    }
    assert betas[("cifar_resnet56", "cifar_resnet20")] == 2.0
    assert betas[("cifar_vgg13", "cifar_vgg8")] == betas[("cifar_wrn_40_2", "cifar_wrn_40_1")] == 6.0
