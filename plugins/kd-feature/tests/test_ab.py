from __future__ import annotations

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import AB, ab_loss
from kd_feature.options.initial import ABOptions


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_equals_the_papers_formula(oracle, draw, margin):
    student, teacher = draw(3, 4, 2, 3, scale=1.5), draw(3, 4, 2, 3, seed=1)
    teacher[0, 0] = 0  # counts as not active
    expected = 0.0
    for s, t in zip(oracle.flat(student.tolist()), oracle.flat(teacher.tolist()), strict=True):
        if t <= 0 and s > -margin:
            expected += (s + margin) ** 2
        if t > 0 and s <= margin:
            expected += (s - margin) ** 2
    assert ab_loss(student, teacher, margin).item() == pytest.approx(0.003 * expected / 3, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # far enough: 0; on the wrong side by 2 and by 1.5
    student = torch.tensor([5.0, -1.0, 0.5]).view(1, 3, 1, 1)
    teacher = torch.tensor([1.0, 2.0, -3.0]).view(1, 3, 1, 1)
    assert ab_loss(student, teacher).item() == pytest.approx(0.003 * (4 + 2.25))


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: ab_loss(s, teacher), (student,))


def test_only_the_teachers_signs_matter(draw):
    student, teacher = draw(2, 3, 2, 2), draw(2, 3, 2, 2, seed=1)
    assert torch.equal(ab_loss(student, 100 * teacher), ab_loss(student, teacher.sign()))


def test_a_margin_of_zero_is_refused(draw):
    with pytest.raises(ValueError, match="margin is 0"):
        ab_loss(draw(2, 3, 2, 2), draw(2, 3, 2, 2), 0)


def test_deeper_stages_count_more(make_setup, output, step):
    setup = make_setup("cnn", "wide")
    distiller = AB(ABOptions(weight=2.0, margin=0.5), setup)
    stages = (1, 2, 3, 4)
    student, teacher = output(setup.student, stages, grad=True), output(setup.teacher, stages, seed=1)
    expected = sum(
        2 * ab_loss(distiller.connectors[i](student.features[s].map), teacher.features[s].map, 0.5) / f
        for i, (s, f) in enumerate(zip(stages, (8, 4, 2, 1), strict=True))
    )
    found = step(distiller, student, teacher)["ab"]
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(p.grad is not None for p in distiller.parameters())


def test_a_connector_only_where_shapes_differ_and_without_relu(make_setup):
    same = AB(ABOptions(), make_setup("cnn", "cnn"))
    assert not list(same.parameters())
    assert not same.requires.whole_batch
    other = AB(ABOptions(stages=(2,)), make_setup("cnn", "fine"))
    names = [type(m).__name__ for m in other.connectors[0].modules() if not list(m.children())]
    assert names == ["ConvTranspose2d", "BatchNorm2d"]


def test_maps_before_the_last_relu():
    requires = AB(ABOptions(), build_models(Pair()).setup).requires
    assert requires.student_stages == tuple(f"layer{n}.0.act2:in" for n in (1, 2, 3, 4))
