from __future__ import annotations

import pickle

import pytest
import torch
from torchvision.transforms import functional as F

from kdcore.data.normalise import Arrival, Normalise

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)


@pytest.fixture
def levels():
    """Every grey level at many places of a row, in each channel, `[B, C, H, W]`."""
    rows = torch.stack([torch.arange(256, dtype=torch.uint8).roll(shift) for shift in range(17)])
    return rows.expand(2, 3, 17, 256).contiguous()


def test_the_same_bits_as_torchvision(levels):
    found = Normalise(MEAN, STD)(levels)
    for image, kept in zip(found, levels, strict=True):
        one = F.to_tensor(kept.permute(1, 2, 0).numpy())
        assert torch.equal(image, F.normalize(one, list(MEAN), list(STD)))


def test_views_grey_and_floats(levels):
    normalise = Normalise((0.5,), (0.25,))
    views = levels[:, None, :1].repeat(1, 2, 1, 1, 1)
    assert torch.equal(normalise(views)[:, 1], normalise(levels[:, :1]))
    done = normalise(levels[:, :1])
    assert normalise(done) is done


def test_arrival(levels):
    normalise = Normalise(MEAN, STD)
    found = Arrival("cpu", normalise)(levels)
    assert torch.equal(found, normalise(levels))
    assert Arrival("meta", normalise).device.type == "cpu"
    on_meta = Arrival("cpu", normalise)
    on_meta.device = torch.device(
        "meta"
    )  # another device than the batch's: bytes go there, floats are made there
    assert (on_meta(levels).device.type, on_meta(levels).dtype) == ("meta", torch.float32)


def test_loader_processes_get_nothing_of_another_device(levels):
    normalise = Normalise(MEAN, STD)
    normalise(levels.to("meta"))
    assert len(normalise._numbers) == 2
    copy = pickle.loads(pickle.dumps(normalise))
    assert list(copy._numbers) == [torch.device("cpu")]
    assert torch.equal(copy(levels), normalise(levels))
