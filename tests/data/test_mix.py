from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.mix import Mixer


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, 3, 12, 10, generator=generator), torch.tensor([0, 1, 2, 3, 3, 0])


def test_mixup_by_hand(batch):
    images, target = batch
    mixer = Mixer(0.8, 0.0, 4, seed=1)
    lam, box = mixer.draw((12, 10), 2, 3)
    assert box is None
    mixed, probabilities = mixer(images, target, 2, 3)
    for row in range(6):
        other = 5 - row
        torch.testing.assert_close(mixed[row], lam * images[row] + (1 - lam) * images[other])
        expected = torch.zeros(4)
        expected[target[row]] += lam
        expected[target[other]] += 1 - lam
        torch.testing.assert_close(probabilities[row], expected)
    assert probabilities.dtype == torch.float32
    assert 0 < lam < 1


def test_cutmix_by_hand(batch):
    images, target = batch
    mixer = Mixer(0.0, 1.0, 4, seed=1)
    for step in range(20):
        mixed, probabilities = mixer(images, target, 0, step)
        lam, (top, bottom, left, right) = mixer.draw((12, 10), 0, step)
        from_other = torch.zeros(12, 10, dtype=torch.bool)
        from_other[top:bottom, left:right] = True
        for row in range(6):
            expected = torch.where(from_other, images[5 - row], images[row])
            assert torch.equal(mixed[row], expected)
        assert lam == pytest.approx(1 - float(from_other.sum()) / 120)
        assert float(probabilities[1, 1]) == pytest.approx(lam)
        assert torch.equal(images, batch[0])


@settings(deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 300),
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_boxes_are_inside(seed, epoch, step, height, width):
    lam, (top, bottom, left, right) = Mixer(0.0, 1.0, 2, seed=seed).draw((height, width), epoch, step)
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert 0 <= lam <= 1


@settings(deadline=None)
@given(st.floats(0.05, 5), st.integers(0, 2**63 - 1))
def test_probabilities_sum_to_one(alpha, seed):
    images, target = torch.rand(5, 1, 4, 4), torch.tensor([0, 2, 1, 1, 0])
    _, probabilities = Mixer(alpha, alpha, 3, seed=seed)(images, target, 0, 0)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5))
    assert float(probabilities.min()) >= 0


def test_draws_have_their_distributions():
    mixup = np.array([Mixer(2.0, 0.0, 2, seed=0).draw((8, 8), 0, step)[0] for step in range(2000)])
    assert mixup.mean() == pytest.approx(0.5, abs=0.02)
    assert mixup.var() == pytest.approx(0.05, abs=0.006)  # Beta(2, 2)
    both = [Mixer(1.0, 1.0, 2, seed=0).draw((64, 64), 0, step) for step in range(2000)]
    assert sum(box is not None for _, box in both) == pytest.approx(1000, abs=100)
    centres = np.array([(box[0] + box[1]) / 128 for _, box in both if box is not None])
    assert centres.mean() == pytest.approx(0.5, abs=0.03)


def test_a_function_of_seed_epoch_and_batch():
    first = Mixer(1.0, 0.0, 2, seed=0).draw((8, 8), 1, 2)
    assert Mixer(1.0, 0.0, 2, seed=0).draw((8, 8), 1, 2) == first
    others = [(0, 2, 2), (0, 1, 3), (1, 1, 2)]
    assert all(
        Mixer(1.0, 0.0, 2, seed=seed).draw((8, 8), epoch, step) != first for seed, epoch, step in others
    )


def test_draws_are_frozen():
    # a change here changes everybody's runs
    assert Mixer(0.8, 0.0, 2, seed=0).draw((8, 8), 0, 0)[0] == pytest.approx(0.6530547881479222, rel=1e-12)


def test_generators_are_untouched(batch):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    Mixer(1.0, 1.0, 4, seed=0)(*batch, 0, 0)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_views_are_mixed_alike(batch):
    images, target = batch
    for mixer in (Mixer(1.0, 0.0, 4, seed=0), Mixer(0.0, 1.0, 4, seed=0)):
        alone, _ = mixer(images, target, 0, 0)
        views, _ = mixer(torch.stack([images, images + 1], dim=1), target, 0, 0)
        assert torch.equal(views[:, 0], alone)
        torch.testing.assert_close(views[:, 1], alone + 1)


def test_without_labels(batch):
    images, _ = batch
    mixer = Mixer(1.0, 0.0, 4, seed=0)
    mixed, target = mixer(images, None, 0, 0)
    assert target is None
    assert not torch.equal(mixed, images)
    _, probabilities = mixer(images, torch.full((6,), -1), 0, 0)
    assert (probabilities == -1).all()


def test_an_image_that_is_mixed_of_one_without_a_label_has_none(batch):
    images, target = batch
    _, whole = Mixer(1.0, 0.0, 4, seed=0)(images, target, 0, 0)
    some = target.clone()
    some[1] = -1  # it is mixed with image 4, and that with it
    _, probabilities = Mixer(1.0, 0.0, 4, seed=0)(images, some, 0, 0)
    assert (probabilities[[1, 4]] == -1).all()
    assert torch.equal(probabilities[[0, 2, 3, 5]], whole[[0, 2, 3, 5]])


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (-1.0, 1.0)])
def test_wrong_alphas(alphas):
    with pytest.raises(ValueError, match="neither may be below 0"):
        Mixer(*alphas, 2, seed=0)


def mix_a_part(rank, world, address, images, target, answers):
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=world)
    part = len(images) // world
    rows = slice(rank * part, (rank + 1) * part)
    found = [
        Mixer(*alphas, 4, seed=5)(images[rows].clone(), target[rows].clone(), 1, 2)
        for alphas in ((1.0, 0.0), (0.0, 1.0))
    ]
    answers.put((rank, [(mixed.numpy(), probabilities.numpy()) for mixed, probabilities in found]))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_mix_as_one(batch, tmp_path, world):
    images, target = batch
    context = mp.get_context("fork")
    answers = context.Queue()
    arguments = (world, tmp_path / "rendezvous", images, target, answers)
    processes = [context.Process(target=mix_a_part, args=(rank, *arguments)) for rank in range(world)]
    for process in processes:
        process.start()
    parts = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(120)
    for kind, alphas in enumerate([(1.0, 0.0), (0.0, 1.0)]):
        mixed, probabilities = Mixer(*alphas, 4, seed=5)(images, target, 1, 2)
        np.testing.assert_array_equal(
            np.concatenate([parts[rank][kind][0] for rank in range(world)]), mixed.numpy()
        )
        together = np.concatenate([parts[rank][kind][1] for rank in range(world)])
        np.testing.assert_array_equal(together, probabilities.numpy())
