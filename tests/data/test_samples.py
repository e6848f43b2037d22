from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from kdcore.data.keyed_randomness import TORCH
from kdcore.data.registered import WrappedSource
from kdcore.data.samples import KeyedSamples, SampleFailure, unexpected, varied
from kdcore.data.steps import Steps
from kdcore.errors import RunFailed


class Noise(Steps):
    draws = TORCH

    def __init__(self) -> None: ...

    def fixed(self, image: Image.Image) -> Image.Image:
        return image

    def vary(self, fixed: Image.Image) -> torch.Tensor:
        return pil_to_tensor(fixed).float() + torch.rand(3, 1, 1)


noise = Noise()


@pytest.fixture
def source(make_pairs):
    return WrappedSource(make_pairs(6), "mine", 3)


def test_a_batch(source):
    samples = KeyedSamples(source, None, noise, seed=0)
    assert len(samples) == 6
    images, target, index = samples.__getitems__([(0, 4), (0, 2)])
    assert images.shape == (2, 3, 10, 12)
    assert (target.tolist(), index.tolist()) == ([1, 2], [4, 2])
    alone = samples[0, 2]
    assert torch.equal(alone[0][0], images[1])


def test_keys_decide(source):
    samples = KeyedSamples(source, None, noise, seed=0)
    torch.manual_seed(123)
    first = samples[1, 2][0]
    torch.manual_seed(456)
    assert torch.equal(samples[1, 2][0], first)
    assert not torch.equal(samples[2, 2][0], first)
    assert not torch.equal(KeyedSamples(source, None, noise, seed=1)[1, 2][0], first)


def test_positions(source):
    samples = KeyedSamples(source, np.array([5, 0]), noise, seed=0)
    assert len(samples) == 2
    _, target, index = samples.__getitems__([(0, 0), (0, 1)])
    assert (target.tolist(), index.tolist()) == ([2, 0], [0, 1])


def test_views_are_independent_and_the_first_is_the_only_one(source):
    one = KeyedSamples(source, None, noise, seed=0)[3, 1][0]
    three = KeyedSamples(source, None, noise, seed=0, views=3)[3, 1][0]
    assert three.shape == (1, 3, 3, 10, 12)
    assert torch.equal(three[:, 0], one)
    assert len({view.numpy().tobytes() for view in three[0]}) == 3
    assert varied(Image.new("RGB", (2, 2)), noise, 2, 0, 0, 0).shape == (2, 3, 2, 2)


def test_what_goes_wrong_comes_back_as_a_value(source, make_pairs):
    class Broken(Noise):
        def fixed(self, image):
            raise ValueError("no such mode")

    class Failing(Noise):
        def vary(self, fixed):
            raise ValueError("no such size")

    assert KeyedSamples(source, None, Failing(), seed=0)[0, 3] == SampleFailure(
        "image 3 cannot be transformed: mine[3]: no such size"
    )
    assert KeyedSamples(source, None, Broken(), seed=0)[0, 3] == SampleFailure(
        "image 3 cannot be transformed: mine[3]: no such mode"
    )
    few = KeyedSamples(source, None, noise, seed=0, num_classes=2)
    assert few[0, 2] == SampleFailure("image 2: mine[2] has class 2, but there are only 2 classes")
    assert not isinstance(few[0, 1], SampleFailure)

    class Gone(WrappedSource):
        error: Exception = RunFailed("image 0 cannot be read: a.jpg: gone")

        def __getitem__(self, index):
            raise self.error

    failing = Gone(make_pairs(1, targets=[0]), "mine", 3)
    samples = KeyedSamples(failing, None, noise, seed=0)
    assert samples[0, 0] == SampleFailure("image 0 cannot be read: a.jpg: gone")
    failing.error = ZeroDivisionError("a bug")
    assert "ZeroDivisionError: a bug (" in samples[0, 0].message


def test_unexpected_errors_have_a_place():
    try:
        raise KeyError("x")
    except KeyError as error:
        message = unexpected(error)
    assert "KeyError: 'x' (" in message
    assert "test_samples.py, line " in message
    assert "\n" not in message
