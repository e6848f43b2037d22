from __future__ import annotations

import math

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import OFD, ofd_loss, ofd_margin
from kd_feature.options.generation import OFDOptions

from kdcore import FeatureMap, ModelOutput

STAGES = (1, 2, 3, 4)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (3, 4, 2, 5)])
def test_the_loss_equals_the_sum_written_out(draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    margin = -draw(shape[1], seed=2).abs()
    expected = 0.0
    for b in range(shape[0]):
        for c in range(shape[1]):
            pairs = zip(student[b, c].flatten().tolist(), teacher[b, c].flatten().tolist(), strict=True)
            for s, t in pairs:
                target = max(t, margin[c].item())
                expected += (s - target) ** 2 if s > target or t > 0 else 0.0
    assert ofd_loss(student, teacher, margin).item() == pytest.approx(expected / shape[0], rel=1e-12)


def test_values_worked_out_by_hand():
    margin = torch.tensor([-1.0])

    def loss(s, t):
        return ofd_loss(torch.tensor(s).view(1, 1, 1, 1), torch.tensor(t).view(1, 1, 1, 1), margin).item()

    assert loss(-3.0, -2.0) == 0  # both below the margin
    assert loss(0.5, -2.0) == 1.5**2
    assert loss(-0.8, -0.5) == 0  # the student is below a negative teacher
    assert loss(-0.2, -0.5) == pytest.approx(0.09)
    assert loss(1.0, 3.0) == 4


def test_the_margin_is_the_mean_of_the_negative_values():
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    bias = torch.tensor([0.0, 0.7, -0.3], dtype=torch.float64)
    for found, sigma, mu in zip(
        ofd_margin(weight, bias).tolist(), (1.0, 2.0, 0.5), bias.tolist(), strict=True
    ):
        steps = [-12 * sigma + mu + 1e-3 * sigma * (i + 0.5) for i in range(24_000)]
        density = [math.exp(-(((x - mu) / sigma) ** 2) / 2) for x in steps]
        below = [(x, p) for x, p in zip(steps, density, strict=True) if x < 0]
        assert found == pytest.approx(
            sum(x * p for x, p in below) / sum(p for _, p in below), abs=1e-3 * sigma
        )


def test_margins_at_the_ends():
    # negative in less than a thousandth of the cases, and no deviation at all
    weight = torch.tensor([0.5, -0.1, 0.0, 0.0])
    found = ofd_margin(weight, torch.tensor([2.0, 5.0, -0.4, 0.4]))
    torch.testing.assert_close(found, torch.tensor([-1.5, -0.3, -0.4, 0.0]))
    assert ofd_margin(torch.ones(1), torch.tensor([-50.0])).item() == pytest.approx(-50)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(
        lambda s: ofd_loss(s, teacher, torch.tensor([-1.0, -0.5, -0.1])), (student,)
    )


def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ValueError, match=r"margin has shape \[2\]; it must be \[C\], here \[3\]"):
        ofd_loss(draw(2, 3, 2, 2), draw(2, 3, 2, 2), draw(2))
    with pytest.raises(ValueError, match=r"both must be \[C\]"):
        ofd_margin(draw(3), draw(2))


def test_the_deepest_stage_counts_most_and_margins_come_from_the_teacher(draw):
    models = build_models(Pair())
    distiller = OFD(OFDOptions(weight=2.0), models.setup).eval()
    paths = tuple(f"layer{n}.0.act2:in" for n in STAGES)
    assert distiller.requires.student_stages == distiller.requires.teacher_stages == paths
    norm = models.teachers["teacher"].layer3[0].bn2
    torch.testing.assert_close(distiller.margin2, ofd_margin(norm.weight, norm.bias))
    assert "margin2" in distiller.state_dict()
    grids = ((8, 8), (4, 4), (2, 2), (1, 1))
    student = ModelOutput(
        None,
        {
            p: FeatureMap(draw(4, c, *g).float())
            for p, c, g in zip(paths, (8, 12, 16, 20), grids, strict=True)
        },
    )
    larger = [(2 * h, 2 * w) for h, w in grids]
    teacher = ModelOutput(
        None,
        {
            p: FeatureMap(draw(4, c, *g).float())
            for p, c, g in zip(paths, (12, 16, 20, 24), larger, strict=True)
        },
    )
    expected = 0.0
    for number, path in enumerate(paths):
        ours = distiller.connectors[number](student.features[path].map)
        theirs = torch.nn.functional.avg_pool2d(teacher.features[path].map, 2)
        margin = distiller.get_buffer(f"margin{number}")
        expected += 2 * ofd_loss(ours, theirs, margin) / (8, 4, 2, 1)[number]
    torch.testing.assert_close(distiller(student, teacher, None, None)["ofd"], expected)


def test_a_teacher_without_a_relu_is_refused_with_what_to_give():
    setup = build_models(Pair("conv", "vit")).setup
    with pytest.raises(ValueError, match="kd knows none at the end of stage 1 of vit_tiny"):
        OFD(OFDOptions(), setup)
    setup = build_models(Pair()).setup
    with pytest.raises(ValueError, match="'teacher_norms' has 1 paths for 4 stages"):
        OFD(OFDOptions(teacher_norms=("layer1.0.bn2",)), setup)
    with pytest.raises(ValueError, match=r"'layer1\.0\.conv1' of the teacher is Conv2d; ofd needs a norm"):
        OFD(OFDOptions(stages=(1,), teacher_norms=("layer1.0.conv1",)), setup)
    assert OFD(OFDOptions(stages=("layer1.0.bn2",), teacher_norms=("layer1.0.bn2",)), setup).pairs
