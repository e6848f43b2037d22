from __future__ import annotations

import copy

import pytest
import torch
from kd_feature import Manifold, manifold_patch_loss, manifold_random_loss, manifold_sample_loss
from kd_feature.manifold import merged
from kd_feature.options.relations import ManifoldOptions


def slow(oracle, groups):
    """The mean squared difference over groups of (student's tokens, teacher's tokens)."""
    found = []
    for ours, theirs in groups:
        ours, theirs = [oracle.unit(x) for x in ours], [oracle.unit(x) for x in theirs]
        found += [
            (oracle.dot(ours[i], ours[j]) - oracle.dot(theirs[i], theirs[j])) ** 2
            for i in range(len(ours))
            for j in range(len(ours))
        ]
    return oracle.mean(found)


@pytest.mark.parametrize("dims", [(3, 5), (4, 2)])
@pytest.mark.parametrize("shape", [(1, 1), (2, 4), (4, 3)])
def test_equal_the_authors_formulas(oracle, draw, shape, dims):
    student, teacher = draw(*shape, dims[0]), draw(*shape, dims[1], seed=1)
    s, t = student.tolist(), teacher.tolist()
    patch = slow(oracle, zip(s, t, strict=True))
    places = [[[one[n] for one in x] for x in (s, t)] for n in range(shape[1])]
    index = torch.arange(shape[0] * shape[1])[::2]
    chosen = [[token for one in x for token in one][::2] for x in (s, t)]
    for value, expected in (
        (manifold_patch_loss(student, teacher), patch),
        (manifold_sample_loss(student, teacher), slow(oracle, places)),
        (manifold_random_loss(student, teacher, index), slow(oracle, [chosen])),
    ):
        assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_values_worked_out_by_hand():
    # the student's tokens are orthogonal, the teacher's are equal: two of the four products differ by 1
    student, teacher = torch.eye(2)[None], torch.ones(1, 2, 3)
    assert manifold_patch_loss(student, teacher).item() == pytest.approx(0.5)
    assert manifold_sample_loss(student, teacher).item() == pytest.approx(0)
    assert manifold_random_loss(student, teacher, torch.tensor([0, 1])).item() == pytest.approx(0.5)


def test_the_gradients_are_those_of_the_formulas_also_in_parts(draw, monkeypatch):
    student, teacher = draw(3, 4, 2).requires_grad_(), draw(3, 4, 5, seed=1)
    index = torch.tensor([0, 5, 7, 11])
    for loss in (
        manifold_patch_loss,
        manifold_sample_loss,
        lambda s, t: manifold_random_loss(s, t, index),
    ):
        assert torch.autograd.gradcheck(lambda s, loss=loss: loss(s, teacher), (student,))
        whole = torch.autograd.grad(loss(student, teacher), student)
        with monkeypatch.context() as patch:
            patch.setattr("kd_feature.gradient_in_forward.AT_ONCE", 1)
            torch.testing.assert_close(torch.autograd.grad(loss(student, teacher), student), whole)


def test_no_table_of_all_tokens_is_made():
    # 400 * 200 tokens: a table of all pairs would have 6.4e9 numbers
    student, teacher = torch.randn(400, 200, 4, requires_grad=True), torch.randn(400, 200, 4)
    manifold_random_loss(student, teacher, torch.randperm(80_000)[:192]).backward()
    assert (student.grad.abs().sum(2) > 0).sum() == 192


def test_neighbours_on_a_finer_grid_are_joined(draw):
    student, teacher = draw(2, 3, 2, 4), draw(2, 5, 1, 2, seed=1)
    ours, theirs = merged(student, teacher)
    assert list(ours.shape) == [2, 2, 12]
    torch.testing.assert_close(ours[0, 1].reshape(3, 2, 2), student[0, :, :, 2:])
    torch.testing.assert_close(theirs, teacher.flatten(2).transpose(1, 2))
    # the similarities of joined tokens are those of their concatenation, in any order
    torch.testing.assert_close(manifold_patch_loss(ours.flip(2), theirs), manifold_patch_loss(ours, theirs))


def test_grids_that_do_not_fit_are_refused_before_training(make_setup):
    with pytest.raises(ValueError, match="one is a multiple of the other"):
        Manifold(ManifoldOptions(stages=(1,)), make_setup("cnn", "oblong"))


@pytest.mark.parametrize("pair", [("cnn", "wide"), ("vit", "mixer"), ("fine", "vit")], ids="-".join)
def test_the_distiller_weighs_means_over_the_stages(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = Manifold(ManifoldOptions(weight=2.0, stages=(2, 3), random_tokens=5), setup)
    assert distiller.requires.whole_batch
    assert not list(distiller.parameters())
    student, teacher = output(setup.student, (2, 3)), output(setup.teacher, (2, 3), seed=1)
    twin = copy.deepcopy(distiller)
    terms = step(distiller, student, teacher)
    tokens = [merged(student.features[k].map, teacher.features[k].map) for k in (2, 3)]
    generator = twin.draws.next()
    losses = {
        "patch": [manifold_patch_loss(*pair) for pair in tokens],
        "sample": [manifold_sample_loss(*pair) for pair in tokens],
        "random": [
            manifold_random_loss(*pair, torch.randperm(4 * pair[0].shape[1], generator=generator)[:5])
            for pair in tokens
        ],
    }
    for name, factor in (("patch", 4), ("sample", 0.1), ("random", 0.2)):
        torch.testing.assert_close(terms[name], 2 * factor * torch.stack(losses[name]).mean())


def test_terms_of_weight_0_are_left_out(make_setup, output, step):
    setup = make_setup()
    distiller = Manifold(ManifoldOptions(sample_weight=0, random_weight=0), setup)
    student, teacher = output(setup.student, (1, 2, 3, 4)), output(setup.teacher, (1, 2, 3, 4), seed=1)
    assert list(step(distiller, student, teacher)) == ["patch"]


def test_the_random_tokens_are_the_same_on_every_process_and_after_a_resume(make_setup, output, step):
    setup = make_setup()
    options = ManifoldOptions(stages=(1,), random_tokens=3)
    student, teacher = output(setup.student, (1,)), output(setup.teacher, (1,), seed=1)
    first, other = Manifold(options, make_setup()), Manifold(options, make_setup())
    torch.manual_seed(1)  # another process has another seed
    drawn = [step(first, student, teacher)["random"] for _ in range(3)]
    torch.manual_seed(2)
    assert torch.equal(step(other, student, teacher)["random"], drawn[0])
    resumed = Manifold(options, make_setup(seed=0))
    resumed.load_state_dict(other.state_dict())
    assert torch.equal(step(resumed, student, teacher)["random"], drawn[1])
    assert not torch.equal(drawn[0], drawn[1])


def test_tokens_of_unequal_numbers_are_refused(draw):
    with pytest.raises(ValueError, match="equal B and N"):
        manifold_patch_loss(draw(2, 3, 4), draw(2, 5, 4))


def test_an_index_without_tokens_is_refused(draw):
    with pytest.raises(ValueError, match="the index has no tokens"):
        manifold_random_loss(draw(2, 3, 4), draw(2, 3, 4), torch.empty(0, dtype=torch.long))
