from __future__ import annotations

import math

import pytest
import torch
from kd_feature import VID, vid_loss
from kd_feature.options.maps import VIDOptions

from kdcore import Requires


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (3, 4, 2, 5)])
def test_equals_the_papers_formula(oracle, draw, shape):
    student, teacher, log_scale = draw(*shape), draw(*shape, seed=1), draw(shape[1], seed=2, scale=3)
    expected = oracle.vid(student.tolist(), teacher.tolist(), log_scale.tolist())
    assert vid_loss(student, teacher, log_scale).item() == pytest.approx(expected, rel=1e-9)
    assert vid_loss(student.float(), teacher.float(), log_scale.float()).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_a_value_worked_out_by_hand():
    # variance 2: log_scale log(exp(2 - 1e-5) - 1); difference 4: (16 / 2 + log 2) / 2
    log_scale = torch.tensor([math.log(math.exp(2 - 1e-5) - 1)])
    student, teacher = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), -1.0)
    assert vid_loss(student, teacher, log_scale).item() == pytest.approx(4 + math.log(2) / 2)


def test_the_gradient_is_that_of_the_formula(draw):
    student, log_scale = draw(2, 3, 2, 2).requires_grad_(), draw(3, seed=2).requires_grad_()
    teacher = draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s, v: vid_loss(s, teacher, v), (student, log_scale))


def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ValueError, match="element by element"):
        vid_loss(draw(2, 3, 4, 4), draw(2, 3, 2, 2), draw(3))
    with pytest.raises(ValueError, match=r"log_scale has shape \[2\]; it must be \[C\], here \[3\]"):
        vid_loss(draw(2, 3, 4, 4), draw(2, 3, 4, 4), draw(2))


@pytest.mark.parametrize(
    "pair", [("cnn", "wide"), ("fine", "cnn"), ("cnn", "fine"), ("vit", "oblong")], ids="-".join
)
def test_the_distiller_on_every_stage_of_every_pair(make_setup, output, step, oracle, pair):
    setup = make_setup(*pair)
    distiller = VID(VIDOptions(weight=2.0), setup)
    stages = (1, 2, 3, 4)
    assert distiller.requires == Requires(student_stages=stages, teacher_stages=stages, teacher_logits=False)
    student, teacher = output(setup.student, stages, grad=True), output(setup.teacher, stages, seed=1)
    terms = step(distiller, student, teacher)
    assert list(terms) == ["vid"]
    expected = 0.0
    for number, stage in enumerate(stages):
        s, t = oracle.aligned(student.features[stage].map.tolist(), teacher.features[stage].map.tolist())
        guess = distiller.regressors[number](torch.tensor(s))
        expected += 2 * oracle.vid(guess.tolist(), t, distiller.log_scales[number].tolist())
    assert terms["vid"].item() == pytest.approx(expected, rel=1e-5)
    terms["vid"].backward()
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_the_regressor_and_the_start_are_the_authors(make_setup):
    distiller = VID(VIDOptions(stages=(2,)), make_setup())
    (regressor,), (log_scale,) = distiller.regressors, distiller.log_scales
    assert [tuple(p.shape) for p in regressor.parameters()] == [(9, 6, 1, 1), (9, 9, 1, 1), (9, 9, 1, 1)]
    torch.testing.assert_close(log_scale.exp().log1p() + 1e-5, torch.full((9,), 5.0))
    other = VID(VIDOptions(stages=(2,), initial_variance=0.5), make_setup())
    torch.testing.assert_close(other.log_scales[0].exp().log1p() + 1e-5, torch.full((9,), 0.5))
