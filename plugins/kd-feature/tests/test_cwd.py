from __future__ import annotations

import math

import pytest
import torch
from kd_feature import CWD, cwd_loss
from kd_feature.options.maps import CWDOptions


def softmax(values, temperature):
    powers = [math.exp(v / temperature) for v in values]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equals_the_papers_formula(oracle, draw, temperature):
    student, teacher = draw(3, 4, 2, 3), draw(3, 4, 2, 3, seed=1)
    expected = 0.0
    for x, y in zip(student.tolist(), teacher.tolist(), strict=True):
        for s, t in zip(x, y, strict=True):
            p, q = softmax(oracle.flat(s), temperature), softmax(oracle.flat(t), temperature)
            expected += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    expected *= temperature**2 / (3 * 4)
    assert cwd_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # the student's places have the probabilities 1/2 and 1/2, the teacher's 3/4 and 1/4
    teacher = torch.tensor([math.log(3), 0.0]).view(1, 1, 1, 2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert cwd_loss(torch.zeros(1, 1, 1, 2), teacher).item() == pytest.approx(expected)


def test_a_shift_of_a_channel_does_not_matter_and_one_place_gives_zero(draw):
    student, teacher, shift = draw(2, 3, 2, 2), draw(2, 3, 2, 2, seed=1), draw(2, 3, 1, 1, seed=2)
    torch.testing.assert_close(cwd_loss(student + shift, teacher - shift), cwd_loss(student, teacher))
    assert cwd_loss(draw(2, 3, 1, 1), draw(2, 3, 1, 1, seed=1)).item() == 0


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: cwd_loss(s, teacher, 2.0), (student,))


def test_a_temperature_of_zero_is_refused(draw):
    with pytest.raises(ValueError, match="temperature is 0"):
        cwd_loss(draw(2, 3, 2, 2), draw(2, 3, 2, 2), 0)


@pytest.mark.parametrize(("pair", "convolution"), [(("fine", "fine"), False), (("vit", "fine"), True)])
def test_maps_are_averaged_down_and_projected_if_they_have_to(make_setup, output, step, pair, convolution):
    setup = make_setup(*pair)
    distiller = CWD(CWDOptions(weight=2.0, temperature=3.0, stages=(4,)), setup)
    assert isinstance(distiller.aligns[0], torch.nn.Conv2d) == convolution
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    ours = torch.nn.functional.adaptive_avg_pool2d(student.features[4].map, (2, 2))
    expected = 2 * cwd_loss(distiller.aligns[0](ours), teacher.features[4].map, 3.0)
    torch.testing.assert_close(step(distiller, student, teacher)["cwd"], expected)


def test_a_grid_of_one_place_is_refused(make_setup):
    with pytest.raises(
        ValueError, match="at stage 4 of the student, 3 of the teacher, the grid has one place"
    ):
        CWD(CWDOptions(stages=(1, (4, 3))), make_setup("cnn", "wide"))
