from __future__ import annotations

import pytest
import torch
from kd_feature import MGD, mgd_loss
from kd_feature.heads import generator
from kd_feature.options.generation import MGDOptions


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (4, 2, 3, 5)])
def test_equals_the_sum_written_out(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    flat = zip(oracle.flat(student.tolist()), oracle.flat(teacher.tolist()), strict=True)
    expected = sum((a - b) ** 2 for a, b in flat) / shape[0]
    assert mgd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # two samples with 1 + 4 and 9 + 0
    student = torch.tensor([1.0, 2.0, 3.0, 0.0]).view(2, 2, 1, 1)
    assert mgd_loss(student, torch.zeros(2, 2, 1, 1)).item() == 7.0


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 2, 3, 3).requires_grad_(), draw(2, 2, 3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: mgd_loss(s, teacher), (student,))


def test_as_many_parameters_as_the_authors_module(make_setup):
    with torch.device("meta"):
        assert sum(p.numel() for p in generator(512).parameters()) == 4_719_616
        align = torch.nn.Conv2d(512, 2048, 1)
        heads = [*generator(2048).parameters(), *align.parameters()]
    assert sum(p.numel() for p in heads) == 76_552_192
    built = MGD(MGDOptions(), make_setup("cnn", "wide"))
    assert isinstance(built.aligns[0], torch.nn.Conv2d)
    assert built.aligns[0].bias is not None
    assert isinstance(MGD(MGDOptions(), make_setup("cnn", "cnn")).aligns[0], torch.nn.Identity)


@pytest.mark.parametrize(("mask", "shape"), [("channels", (4, 10, 1, 1)), ("places", (4, 1, 8, 8))])
def test_each_sample_has_its_own_mask(make_setup, draw, mask, shape):
    distiller = MGD(MGDOptions(mask=mask, mask_ratio=0.5), make_setup())
    torch.manual_seed(0)
    drawn = distiller._mask(draw(4, 10, 8, 8))
    assert drawn.shape == shape
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(drawn[0], drawn[1])


def test_the_part_that_is_hidden(make_setup, draw):
    distiller = MGD(MGDOptions(mask_ratio=0.15), make_setup())
    assert distiller._mask(draw(200, 100, 1, 1)).mean().item() == pytest.approx(0.85, abs=0.01)
    whole = MGD(MGDOptions(mask_ratio=0), make_setup())._mask(draw(50, 50, 1, 1))
    assert whole.min() == 1


def test_everything_counts_hidden_or_not(make_setup, output, step):
    setup = make_setup("fine", "fine")
    distiller = MGD(MGDOptions(weight=2.0), setup)
    student, teacher = output(setup.student, (4,), grad=True), output(setup.teacher, (4,), seed=1)
    torch.manual_seed(3)
    mask = (torch.rand(4, 6, 1, 1) >= 0.15).float()
    torch.manual_seed(3)
    found = step(distiller, student, teacher)["mgd"]
    made = distiller.generators[0](student.features[4].map * mask)
    torch.testing.assert_close(found, 2 * (made - teacher.features[4].map).square().sum() / 4)
    found.backward()
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_the_students_map_is_resized_to_the_teachers_grid(make_setup, output, step):
    for pair in (("fine", "oblong"), ("oblong", "fine")):
        setup = make_setup(*pair)
        terms = step(MGD(MGDOptions(), setup), output(setup.student, (4,)), output(setup.teacher, (4,)))
        assert terms["mgd"].isfinite()
