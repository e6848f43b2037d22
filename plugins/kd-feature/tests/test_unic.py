from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from kd_feature import UNIC, unic_loss
from kd_feature.ladders import Ladder
from kd_feature.options.embeddings import UNICOptions
from kd_feature.running import RunningStandardise
from kd_feature.unic import keep_teachers, of_each_sample
from torch.nn import functional as F

from kdcore import Batch, Progress

ZERO = Progress(epoch=0.0, step=0, total_steps=10, total_epochs=1)


@pytest.fixture
def several(make_setup, model):
    """A setup with two teachers."""
    setup = make_setup("vit", "vit")
    return replace(setup, teacher=None, teachers={"a": model("vit"), "b": model("wide")})


def outputs_of(setup, output, seed=1):
    return {
        name: output(info, (4,), seed=seed + number)
        for number, (name, info) in enumerate(setup.teachers.items())
    }


def call(distiller, student, teachers, progress=ZERO):
    return distiller(student, teachers, Batch(torch.zeros(4, 3, 2, 2), None), progress)


def test_the_loss_of_each_sample(draw):
    for shape in ((4, 5), (4, 3, 5)):
        student, teacher = draw(*shape), draw(*shape, seed=1)
        found = of_each_sample(student, teacher, 0.9, 0.1)
        expected = [unic_loss(student[k : k + 1], teacher[k : k + 1], 0.9, 0.1) for k in range(4)]
        torch.testing.assert_close(found, torch.stack(expected))


def test_the_teacher_with_the_largest_loss_is_never_dropped():
    torch.manual_seed(0)
    losses = torch.rand(3, 2000)
    kept = keep_teachers(losses, 0.5)
    assert (kept.gather(0, losses.argmax(0, keepdim=True)) == 1).all()
    others = kept.sum() - 2000
    assert others.item() / 4000 == pytest.approx(0.5, abs=0.05)
    assert keep_teachers(losses, 0.0).min() == 1
    assert (keep_teachers(losses, 1.0).sum(0) == 1).all()


def test_the_ladder_adds_one_mlp_for_each_block(draw):
    ladder = Ladder([3, 4], 5, 6, 7).double()
    outputs = [draw(2, 3), draw(2, 4, seed=1)]
    expected = 0.0
    for rung, given in zip(ladder.rungs, outputs, strict=True):
        expected = expected + F.linear(
            F.gelu(F.linear(given, rung[0].weight, rung[0].bias)), rung[2].weight, rung[2].bias
        )
    torch.testing.assert_close(ladder(outputs), expected)
    assert [list(rung[0].weight.shape) for rung in ladder.rungs] == [[6, 3], [7, 4]]
    assert all(rung[0].bias.abs().sum() == 0 for rung in ladder.rungs)


def test_running_statistics_are_those_of_the_steps_before(draw):
    module = RunningStandardise(3).double()
    first, second = 5 * draw(8, 3) + 2, draw(2, 4, 3, seed=1)
    # the first step: mean 0, deviation 1
    torch.testing.assert_close(module(first, "ema", 0.5), first / (1 + 1e-6))
    mean, deviation = 0.5 * first.mean(0), 0.5 + 0.5 * (first.std(0) + 1e-6)
    torch.testing.assert_close(module(second, "ema", 1.0), (second - mean) / (deviation + 1e-6))
    flat = second.flatten(0, 1)
    torch.testing.assert_close(module.mean, flat.mean(0))
    torch.testing.assert_close(module.deviation, flat.std(0) + 1e-6)
    module.eval()
    module(first, "ema", 0.5)
    torch.testing.assert_close(module.mean, flat.mean(0))


def test_statistics_of_the_batch_as_in_dune(draw):
    module = RunningStandardise(3).double()
    features = 5 * draw(8, 3) + 2
    features[:, 2] = 1.0
    found = module(features, "batch", 0.3)
    torch.testing.assert_close(found[:, :2], ((features - features.mean(0)) / features.std(0))[:, :2])
    assert found[:, 2].abs().max() == 0  # the deviation is at least 1e-3
    torch.testing.assert_close(module.mean, 0.1 * features.mean(0))
    assert module(features, "none", 0.3) is features


def test_the_terms_without_dropping(several, output):
    distiller = UNIC(UNICOptions(weight=2.0, drop_probability=0, standardise="none"), several)
    assert distiller.requires.several_teachers
    assert dict(distiller.requires.teacher_stages) == {"a": (4,), "b": (4,)}
    student, teachers = output(several.student, (4,)), outputs_of(several, output)
    terms = call(distiller, student, teachers)
    assert list(terms) == ["a", "b"]
    for number, name in enumerate(terms):
        target = teachers[name].features[4]
        of_class, of_patches = distiller.heads[number]
        own = student.features[4].prefix[:, 0]
        resized = F.interpolate(student.features[4].map, target.map.shape[2:], mode="bilinear").flatten(2).mT
        other = target.map.mean((2, 3)) if target.prefix is None else target.prefix[:, 0]
        both = unic_loss(of_class([own]), other) + unic_loss(of_patches([resized]), target.map.flatten(2).mT)
        torch.testing.assert_close(terms[name], 2 * both / 2 / 2)  # the weight, two types, two teachers


def test_weights_of_images_with_more_teachers(several, output):
    student, teachers = output(several.student, (4,)), outputs_of(several, output)
    found = {}
    for balance in ("batch", "image"):
        torch.manual_seed(3)
        distiller = UNIC(UNICOptions(balance=balance, standardise="none"), several)
        losses = torch.stack(
            [distiller._losses(k, student, teachers[name], 0.0) for k, name in enumerate(teachers)]
        )
        torch.manual_seed(4)
        found[balance] = sum(call(distiller, student, teachers).values())
        torch.manual_seed(4)
        kept = keep_teachers(losses, 0.5)
        whole = (kept * losses).sum() / kept.sum()
        each = ((kept * losses).sum(0) / kept.sum(0)).mean()
        torch.testing.assert_close(found[balance], whole if balance == "batch" else each)
    assert not torch.allclose(found["batch"], found["image"])


def test_the_momentum_goes_along_a_cosine(several):
    distiller = UNIC(UNICOptions(), several)
    for step, expected in ((0, 1.0), (5, 0.001 + 0.5 * 0.999), (10, 0.001), (20, 0.001)):
        assert distiller._momentum(replace(ZERO, step=step)) == pytest.approx(expected)
    assert math.isclose(distiller._momentum(replace(ZERO, total_steps=0)), 1.0)


def test_a_resumed_run_has_the_statistics(several, output):
    student, teachers = output(several.student, (4,)), outputs_of(several, output)
    distiller = UNIC(UNICOptions(drop_probability=0), several)
    for seed in range(3):
        call(distiller, student, outputs_of(several, output, seed))
    resumed = UNIC(UNICOptions(drop_probability=0), several)
    resumed.load_state_dict(distiller.state_dict())
    terms = call(distiller, student, teachers)
    for name, term in call(resumed, student, teachers).items():
        assert torch.equal(term, terms[name])
    buffers = dict(resumed.named_buffers())
    assert {name.rpartition(".")[2] for name in buffers} == {"mean", "deviation"}


def test_the_head_of_dune_sees_all_tokens(several, output):
    options = UNICOptions(head="block", standardise="batch")
    distiller = UNIC(options, several)
    student, teachers = output(several.student, (4,), grad=True), outputs_of(several, output)
    sum(call(distiller, student, teachers).values()).backward()
    assert all(one.grad is not None for one in distiller.parameters())
    assert student.features[4].prefix.grad.abs().sum() > 0


def test_one_teacher_is_enough_and_none_is_refused(make_setup, output):
    setup = make_setup("cnn", "vit")
    distiller = UNIC(UNICOptions(), setup)
    (name,) = setup.teachers
    terms = call(distiller, output(setup.student, (4,)), {name: output(setup.teacher, (4,), seed=1)})
    assert list(terms) == [name]
    with pytest.raises(ValueError, match="there is none"):
        UNIC(UNICOptions(), make_setup("cnn", None))
