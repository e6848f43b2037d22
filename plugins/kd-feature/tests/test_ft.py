from __future__ import annotations

import pytest
import torch
from kd_feature import FT, ft_loss
from kd_feature.ft import Paraphraser, translator
from kd_feature.options.initial import FTOptions

from kdcore import Batch, Progress


@pytest.mark.parametrize(("p1", "p2"), [(2, 1), (2, 2), (3, 1)])
def test_equals_repdistillers_formula(oracle, draw, p1, p2):
    student, teacher = draw(3, 4, 4, 4), draw(3, 2, 2, 2, seed=1)
    s, t = oracle.aligned(student.tolist(), teacher.tolist())

    def attention(sample):
        channels = [oracle.flat(channel) for channel in sample]
        return oracle.unit([oracle.mean(c[i] ** p1 for c in channels) for i in range(len(channels[0]))])

    expected = oracle.mean(
        abs(a - b) ** p2
        for x, y in zip(s, t, strict=True)
        for a, b in zip(attention(x), attention(y), strict=True)
    )
    assert ft_loss(student, teacher, p1, p2).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # squares 9 and 16 of one channel, divided by their norm sqrt(337); the teacher has only the first place
    student = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    teacher = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2)
    expected = (1 - 9 / 337**0.5 + 16 / 337**0.5) / 2
    assert ft_loss(student, teacher).item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: ft_loss(s, teacher), (student,))


def test_the_networks_are_the_authors():
    back = [type(layer).__name__ for layer in Paraphraser(8, 4).decoder]
    assert back == ["ConvTranspose2d", "LeakyReLU"] * 3
    there = [type(layer).__name__ for layer in Paraphraser(8, 4).encoder]
    assert there == ["Conv2d", "LeakyReLU"] * 3
    assert [type(layer).__name__ for layer in translator(3, 4)] == ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3
    assert [p.shape[0] for p in translator(3, 4).parameters() if p.dim() == 4] == [3, 4, 4]
    assert translator(3, 4)[2].negative_slope == 0.1
    assert Paraphraser(8, 4).decoder(Paraphraser(8, 4).encoder(torch.zeros(1, 8, 3, 3))).shape == (1, 8, 3, 3)


def _terms(distiller, setup, output, epoch):
    student, teacher = output(setup.student, (3,), grad=True), output(setup.teacher, (3,), seed=1)
    progress = Progress(epoch=epoch, step=0, total_steps=10, total_epochs=9)
    batch = Batch(images=torch.zeros(4, 3, 2, 2), target=None)
    distiller.zero_grad()
    terms = distiller(student, teacher, batch, progress)
    sum(terms.values()).backward()
    trained = {
        name
        for name, part in (("paraphraser", distiller.paraphrasers), ("translator", distiller.translators))
        if any(p.grad is not None for p in part.parameters())
    }
    return terms, trained, student, teacher


def test_both_are_trained_together_by_default(make_setup, output):
    setup = make_setup()
    distiller = FT(FTOptions(weight=3.0, paraphraser_weight=2.0), setup)
    terms, trained, student, teacher = _terms(distiller, setup, output, 5.0)
    assert trained == {"paraphraser", "translator"}
    assert not distiller.requires.idle_parameters
    (paraphraser,), (translate,) = distiller.paraphrasers, distiller.translators
    theirs = teacher.features[3].map
    factor = paraphraser.encoder(theirs)
    assert factor.shape[1] == 6
    torch.testing.assert_close(terms["ft"], 3 * ft_loss(translate(student.features[3].map), factor))
    error = (paraphraser.decoder(factor) - theirs).square().mean()
    torch.testing.assert_close(terms["paraphraser"], 6 * error)


def test_the_paraphraser_first_and_then_fixed(make_setup, output):
    setup = make_setup()
    distiller = FT(FTOptions(paraphraser_epochs=2), setup)
    assert distiller.requires.idle_parameters  # otherwise several processes cannot leave out one of both
    terms, trained, *_ = _terms(distiller, setup, output, 1.9)
    assert trained == {"paraphraser"}
    assert terms["ft"].item() == 0
    terms, trained, *_ = _terms(distiller, setup, output, 2.0)
    assert trained == {"translator"}
    assert terms["ft"].item() > 0


def test_a_grid_of_one_place_is_refused(make_setup):
    with pytest.raises(ValueError, match="a map has a grid of one place"):
        FT(FTOptions(stages=(4,)), make_setup())
