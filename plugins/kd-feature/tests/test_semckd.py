from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kd_feature import SemCKD, semckd_loss
from kd_feature.options.generation import SemCKDOptions
from torch.nn import functional as F


def test_equals_the_sum_written_out(draw):
    losses, attention = draw(3, 2, 4), draw(3, 2, 4, seed=1).softmax(2)
    expected = sum(
        losses[b, s, t].item() * attention[b, s, t].item()
        for b in range(3)
        for s in range(2)
        for t in range(4)
    )
    assert semckd_loss(losses, attention).item() == pytest.approx(expected / 6, rel=1e-12)


def test_a_value_worked_out_by_hand():
    losses, attention = torch.tensor([[[4.0, 8.0]]]), torch.tensor([[[0.25, 0.75]]])
    assert semckd_loss(losses, attention).item() == 7


def test_the_gradient_goes_to_both(draw):
    given = draw(2, 2, 3).requires_grad_(), draw(2, 2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(semckd_loss, given)


def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ValueError, match=r"both must be \[B, S, T\]"):
        semckd_loss(draw(2, 2, 3), draw(2, 3, 2))
    with pytest.raises(ValueError, match=r"both must be \[B, S, T\]"):
        semckd_loss(draw(2, 3), draw(2, 3))


def _similar(features, batch_size):
    flat = features.flatten(1)
    found = torch.zeros(len(flat), batch_size)
    for i, a in enumerate(flat):
        for j, b in enumerate(flat):
            found[i, j] = (a * b).sum()
    return found


@pytest.mark.parametrize("batch_size", [4, 6])
@pytest.mark.parametrize("pair", [("cnn", "wide"), ("vit", "oblong")], ids="-".join)
def test_all_pairs_of_stages_weighted_by_attention(make_setup, output, step, pair, batch_size):
    setup = make_setup(*pair)
    options = SemCKDOptions(weight=2.0, stages=(1, (3, 4)), batch_size=batch_size, softness=0.5)
    distiller = SemCKD(options, setup)
    student, teacher = output(setup.student, (1, 3), grad=True), output(setup.teacher, (1, 4), seed=1)
    ours, theirs = [student.features[s].map for s in (1, 3)], [teacher.features[s].map for s in (1, 4)]
    query = torch.stack([e(_similar(m, batch_size)) for e, m in zip(distiller.queries, ours, strict=True)])
    key = torch.stack([e(_similar(m, batch_size)) for e, m in zip(distiller.keys, theirs, strict=True)])
    attention = (torch.einsum("sbd,tbd->bst", query, key) / 0.5).softmax(2)
    losses = torch.zeros(4, 2, 2)
    for i, s in enumerate(ours):
        for j, t in enumerate(theirs):
            grid = tuple(min(a, b) for a, b in zip(s.shape[2:], t.shape[2:], strict=True))
            a, b = (F.adaptive_avg_pool2d(one, grid) for one in (s, t))
            losses[:, i, j] = (distiller.projectors[2 * i + j](a) - b).square().mean((1, 2, 3))
    found = step(distiller, student, teacher)["semckd"]
    torch.testing.assert_close(found, 2 * semckd_loss(losses, attention), rtol=1e-4, atol=1e-5)
    found.backward()
    assert all(p.grad is not None for p in distiller.parameters())


def test_the_attention_has_weights_for_the_batch_of_the_run(make_setup):
    def width(of_run, of_option=None):
        setup = replace(make_setup(), batch_size=of_run)
        return SemCKD(SemCKDOptions(batch_size=of_option), setup).queries[0].layers[0].in_features

    assert [width(12), width(None), width(None, 5), width(4, 5)] == [12, 64, 5, 5]
    with pytest.raises(ValueError, match="'batch_size' 3, and the batch has 12 samples"):
        width(12, 3)


def test_a_larger_batch_than_the_attention_has_weights_for_is_refused(make_setup, output, step):
    setup = make_setup()
    distiller = SemCKD(SemCKDOptions(batch_size=3), setup)
    stages = (1, 2, 3, 4)
    with pytest.raises(ValueError, match="'batch_size' 3, and the batch has 4 samples"):
        step(distiller, output(setup.student, stages), output(setup.teacher, stages))


def test_a_smaller_batch_counts_too(make_setup, output, step):
    # as at the end of an epoch; the authors' code leaves such a batch out
    setup = make_setup()
    torch.manual_seed(0)
    distiller = SemCKD(SemCKDOptions(batch_size=7), setup)
    stages = (1, 2, 3, 4)
    student, teacher = output(setup.student, stages), output(setup.teacher, stages)
    found = step(distiller, student, teacher)["semckd"]
    found.backward()
    assert found > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in distiller.parameters())


def test_the_networks_are_the_authors(make_setup):
    distiller = SemCKD(SemCKDOptions(stages=(4,), batch_size=64), make_setup())
    assert [tuple(p.shape) for p in distiller.queries[0].parameters()] == [(32, 64), (32,), (16, 32), (16,)]
    names = [type(layer).__name__ for layer in distiller.projectors[0]]
    assert names == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert distiller.projectors[0][0].out_channels == 28
