from __future__ import annotations

import math

import pytest
import torch
from kd_feature import PKD, pkd_loss
from kd_feature.options.maps import PKDOptions


def standardised(oracle, maps):
    columns = []
    for c in range(len(maps[0])):
        values = [v for sample in maps for v in oracle.flat(sample[c])]
        mean = oracle.mean(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
        columns.append([(v - mean) / (deviation + 1e-6) for v in values])
    return columns


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (3, 4, 2, 5)])
def test_equals_mmrazors_formula(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    ours, theirs = (standardised(oracle, maps.tolist()) for maps in (student, teacher))
    expected = oracle.hint(ours, theirs) / 2
    assert pkd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # 1 and -1 have the unbiased deviation sqrt 2; the teacher's order is turned around: differences of 2 / sqrt 2
    student = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    assert pkd_loss(student, -student).item() == pytest.approx(2 / 2, abs=1e-5)


def test_it_is_about_one_minus_the_correlation(draw):
    student, teacher = draw(50, 1, 4, 4), draw(50, 1, 4, 4, seed=1)
    teacher = teacher + student
    correlation = torch.corrcoef(torch.stack([student.flatten(), teacher.flatten()]))[0, 1]
    assert pkd_loss(student, teacher).item() == pytest.approx(1 - correlation.item(), rel=2e-3)


def test_mean_and_scale_of_a_channel_do_not_matter(draw):
    student, teacher = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1)
    other = student * torch.tensor([1.0, 5.0, 100.0]).view(1, 3, 1, 1) + 7
    assert pkd_loss(other, teacher).item() == pytest.approx(pkd_loss(student, teacher).item(), rel=1e-5)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: pkd_loss(s, teacher), (student,))


def test_one_value_per_channel_gives_zero(draw):
    student = draw(1, 3, 1, 1).requires_grad_()
    value = pkd_loss(student, draw(1, 3, 1, 1, seed=1))
    value.backward()
    assert value.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize("pair", [("fine", "fine"), ("cnn", "vit")], ids="-".join)
def test_the_students_map_is_resized_bilinearly(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = PKD(PKDOptions(weight=2.0), setup)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    ours, theirs = student.features[4].map, teacher.features[4].map
    if ours.shape[2:] != theirs.shape[2:]:
        ours = torch.nn.functional.interpolate(ours, theirs.shape[2:], mode="bilinear")
    expected = 2 * pkd_loss(distiller.aligns[0](ours), theirs)
    torch.testing.assert_close(step(distiller, student, teacher)["pkd"], expected)
