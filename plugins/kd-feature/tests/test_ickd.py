from __future__ import annotations

import pytest
import torch
from kd_feature import ICKD, ickd_loss
from kd_feature.options.maps import ICKDOptions


def ickd(oracle, student, teacher):
    def rows(sample):
        flat = [oracle.flat(channel) for channel in sample]
        return [oracle.unit([oracle.dot(a, b) for b in flat]) for a in flat]

    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += sum((a - b) ** 2 for a, b in zip(oracle.flat(rows(s)), oracle.flat(rows(t)), strict=True))
    return total / (len(student) * len(student[0]))


@pytest.mark.parametrize(("grid", "other"), [((1, 1), (1, 1)), ((2, 3), (2, 3)), ((4, 4), (2, 2))])
def test_equals_the_authors_formula(oracle, draw, grid, other):
    student, teacher = draw(3, 4, *grid), draw(3, 4, *other, seed=1)
    expected = ickd(oracle, student.tolist(), teacher.tolist())
    assert ickd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # the student's channels are orthogonal: rows (1, 0) and (0, 1); the teacher's are equal: (1, 1) / sqrt 2 twice
    student, teacher = torch.eye(2).view(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
    expected = 2 * ((1 - 0.5**0.5) ** 2 + 0.5) / 2
    assert ickd_loss(student, teacher).item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: ickd_loss(s, teacher), (student,))


def test_the_batch_divides_once(draw):
    # the authors' code for ImageNet divides by the batch once more, so that its value depends on it
    student, teacher = draw(2, 3, 2, 2), draw(2, 3, 2, 2, seed=1)
    twice = ickd_loss(student.repeat(2, 1, 1, 1), teacher.repeat(2, 1, 1, 1))
    torch.testing.assert_close(twice, ickd_loss(student, teacher))


def test_a_channel_of_zeros_gets_no_gradient(draw):
    student = draw(2, 3, 2, 2)
    student[:, 1] = 0
    student.requires_grad_()
    ickd_loss(student, draw(2, 3, 2, 2, seed=1)).backward()
    assert student.grad.abs().max() < 10


def test_other_channels_are_refused(draw):
    with pytest.raises(ValueError, match="compares their channels element by element"):
        ickd_loss(draw(2, 3, 2, 2), draw(2, 4, 2, 2))


@pytest.mark.parametrize("pair", [("cnn", "wide"), ("vit", "oblong")], ids="-".join)
def test_the_head_is_a_convolution_without_bias_and_batch_norm(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = ICKD(ICKDOptions(weight=3.0, stages=(3, 4)), setup)
    student, teacher = output(setup.student, (3, 4), grad=True), output(setup.teacher, (3, 4), seed=1)
    expected = sum(
        3 * ickd_loss(embed(student.features[stage].map), teacher.features[stage].map)
        for embed, stage in zip(distiller.embeds, (3, 4), strict=True)
    )
    found = step(distiller, student, teacher)["ickd"]
    torch.testing.assert_close(found, expected)
    assert [type(layer).__name__ for layer in distiller.embeds[0]] == ["Conv2d", "BatchNorm2d"]
    assert distiller.embeds[0][0].bias is None
    found.backward()
    assert all(p.grad is not None for p in distiller.parameters())
