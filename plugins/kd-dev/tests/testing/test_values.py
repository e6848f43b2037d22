"""The values that tests of losses and distillers are made of."""

from __future__ import annotations

import pytest
import torch
from kd_dev.testing.values import logits_and_target, model_of_shapes, numbers, output_of, setup_of, terms_of
from torch import nn

from kdcore import ModelOutput, StageInfo, UserError

VIT = model_of_shapes("vit", [(12, (4, 4), 1)] * 4, 16)


class Sum(nn.Module):
    def forward(self, student, teacher, batch, progress):
        self.seen = student, teacher, batch, progress
        return {"sum": (student.logits + teacher.logits).sum()}


def test_a_model_has_the_stages_that_it_was_given_and_no_other():
    named = model_of_shapes("net", {"layer3.conv": (4, (5, 3), 0)})
    assert named.stage("layer3.conv") == StageInfo("layer3.conv", 4, (5, 3))
    assert VIT.stage(2) == StageInfo(2, 12, (4, 4), 1)
    assert VIT.embedding_dim == 16
    with pytest.raises(UserError, match="net: there is no stage 1"):
        named.stage(1)
    with pytest.raises(UserError, match="net: no feature adapter knows its embedding"):
        named.embedding_dim  # noqa: B018


def test_an_output_has_the_shapes_of_its_model():
    output = output_of(VIT, [1, 2], samples=3, classes=7, embedding=True, gradient=True)
    assert output.logits.shape == (3, 7)
    assert output.embedding.shape == (3, 16)
    assert {stage: tuple(found.map.shape) for stage, found in output.features.items()} == {
        1: (3, 12, 4, 4),
        2: (3, 12, 4, 4),
    }
    assert output.features[1].prefix.shape == (3, 1, 12)
    assert output.features[1].map.requires_grad
    plain = output_of(VIT, seed=1)
    assert (plain.embedding, plain.features, plain.logits.requires_grad) == (None, {}, False)


def test_equal_seeds_give_equal_numbers_in_every_type():
    assert torch.equal(numbers(3, 4, seed=1).float(), numbers(3, 4, seed=1, dtype=torch.float32))
    assert not torch.equal(numbers(3, 4, seed=1), numbers(3, 4, seed=2))
    student, teacher, target = logits_and_target(6, 4)
    assert student.shape == teacher.shape == (6, 4)
    assert not torch.equal(student, teacher)
    assert target.min() >= 0
    assert target.max() < 4


def test_a_distiller_gets_what_was_given():
    distiller, student = Sum(), output_of(VIT, [1])
    target, index = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    terms = terms_of(distiller, student, torch.ones(4, 5), target=target, index=index, epoch=2.5)
    assert terms["sum"] == student.logits.sum() + 20
    seen, teacher, batch, progress = distiller.seen
    assert seen is student
    assert isinstance(teacher, ModelOutput)
    assert batch.images.shape[0] == 4
    assert batch.target is target
    assert batch.index is index
    assert progress.epoch == 2.5


def test_a_setup_draws_from_its_seed():
    first, again = (setup_of(VIT, None, seed=3) for _ in range(2))
    assert torch.equal(torch.rand(2, generator=first.generator), torch.rand(2, generator=again.generator))
    assert first.teacher is None
