from __future__ import annotations

import pytest
import torch
from kd_feature import FSP, fsp_loss
from kd_feature.options.initial import FSPOptions


def flow(oracle, first, second):
    tables = []
    for x, y in zip(*oracle.aligned(first.tolist(), second.tolist()), strict=True):
        a, b = ([oracle.flat(c) for c in sample] for sample in (x, y))
        tables.append([[oracle.dot(p, q) / len(p) for q in b] for p in a])
    return tables


def test_equals_the_papers_formula(oracle, draw):
    student = draw(3, 2, 4, 4), draw(3, 5, 2, 2, seed=1)
    teacher = draw(3, 2, 3, 3, seed=2), draw(3, 5, 6, 6, seed=3)
    expected = oracle.hint(flow(oracle, *student), flow(oracle, *teacher))
    assert fsp_loss(*student, *teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # products 1 * 3 and 2 * 4, mean 5.5; the teacher's is 0
    first, second = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2), torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    assert fsp_loss(first, second, 0 * first, second).item() == 5.5**2


def test_the_gradient_is_that_of_the_formula(draw):
    given = draw(2, 2, 3, 3).requires_grad_(), draw(2, 3, 2, 2, seed=1).requires_grad_()
    teacher = draw(2, 2, 3, 3, seed=2), draw(2, 3, 2, 2, seed=3)
    assert torch.autograd.gradcheck(lambda a, b: fsp_loss(a, b, *teacher), given)


def test_other_channels_are_refused(draw):
    with pytest.raises(ValueError, match="compares their channels element by element"):
        fsp_loss(draw(2, 3, 2, 2), draw(2, 3, 2, 2), draw(2, 3, 2, 2), draw(2, 4, 2, 2))


@pytest.mark.parametrize(("pair", "heads"), [(("cnn", "cnn"), 0), (("cnn", "wide"), 3), (("vit", "fine"), 3)])
def test_every_two_consecutive_stages(make_setup, output, step, pair, heads):
    setup = make_setup(*pair)
    distiller = FSP(FSPOptions(weight=2.0, stages=(1, 2, 4)), setup)
    assert sum(isinstance(align, torch.nn.Conv2d) for align in distiller.aligns) == heads
    student, teacher = output(setup.student, (1, 2, 4)), output(setup.teacher, (1, 2, 4), seed=1)
    ours = [a(student.features[s].map) for a, s in zip(distiller.aligns, (1, 2, 4), strict=True)]
    theirs = [teacher.features[s].map for s in (1, 2, 4)]
    expected = 2 * (fsp_loss(*ours[:2], *theirs[:2]) + fsp_loss(*ours[1:], *theirs[1:]))
    torch.testing.assert_close(step(distiller, student, teacher)["fsp"], expected)


def test_one_stage_is_refused(make_setup):
    with pytest.raises(ValueError, match="give 'stages' at least two"):
        FSP(FSPOptions(stages=(4,)), make_setup())
