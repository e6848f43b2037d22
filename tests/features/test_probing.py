from __future__ import annotations

import pytest
import torch
from torch import nn

from kdcore import UserError
from kdcore.features.probing import probe, skeleton


class Undecided(nn.Module):
    """Its shape hangs on a value, which meta tensors have not."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        features = self.norm(self.layer(images))
        return features if features.mean().item() >= -1e9 else features[:, :1]


def test_runs_without_memory_or_weights(build):
    model = build("resnet10t")
    seen = []

    def look(twin, images):
        seen.append((twin, images))
        return twin(images).shape

    assert probe(model, (64, 32), 3, look) == (2, 10)
    twin, images = seen[0]
    assert images.shape == (2, 3, 64, 32)
    assert all(tensor.is_meta for tensor in (images, *twin.parameters(), *twin.buffers()))
    assert twin is not model


def test_leaves_the_model_and_the_generator_alone(build):
    model = build("resnet10t").train()
    try:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        generator = torch.get_rng_state()
        calls = []
        handle = model.layer1.register_forward_hook(lambda *args: calls.append(1))
        probe(model, (32, 32), 3, lambda twin, images: twin(images))
        handle.remove()
        assert calls == []
        assert model.training
        assert all(module.training for module in model.modules())
        assert torch.equal(torch.get_rng_state(), generator)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    finally:
        model.eval()


def test_values_that_are_needed_are_computed_on_the_cpu():
    model = Undecided().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    twins = []

    def look(twin, images):
        twins.append(twin)
        return twin(images).shape

    generator = torch.get_rng_state()
    assert probe(model, (8, 8), 3, look) == (1, 4, 6, 6)
    assert twins[-1].layer.weight.data_ptr() == model.layer.weight.data_ptr()  # no copy of the weights
    assert model.training
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_also_when_the_model_itself_has_no_values():
    with torch.device("meta"):
        model = Undecided()
    assert probe(model, (8, 8), 3, lambda twin, images: twin(images).shape) == (1, 4, 6, 6)


def test_also_where_another_device_is_the_default():
    model = Undecided()
    with torch.device("meta"):
        assert probe(model, (8, 8), 3, lambda twin, images: twin(images).shape) == (1, 4, 6, 6)


def test_tensors_kept_beside_the_parameters():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 1, 1))
            self.cache = {}
            self.listed = []

        def forward(self, images):
            self.cache["bias"] = self.scale * 2
            self.listed = [self.scale * 3]
            return images * self.cache["bias"]

    model = Keeping()
    model(torch.ones(1, 3, 2, 2))  # now it keeps tensors that cannot be deep-copied
    assert probe(model, (2, 2), 3, lambda twin, images: twin(images).shape) == (2, 3, 2, 2)
    assert skeleton(model, lambda tensor: tensor.to("meta")).cache["bias"].is_meta


def test_looks_through_a_compiled_model(build):
    compiled = torch.compile(build("resnet10t"), backend="eager")
    assert probe(compiled, (32, 32), 3, lambda twin, images: twin(images).shape) == (2, 10)


def test_what_cannot_run_is_explained():
    with pytest.raises(UserError, match=r"Conv2d cannot take images of 8x6 pixels with 1 channels: .+"):
        probe(nn.Conv2d(3, 4, 3), (8, 6), 1, lambda twin, images: twin(images))


def test_errors_for_the_user_pass():
    def look(twin, images):
        raise UserError(())

    with pytest.raises(UserError):
        probe(nn.Identity(), (8, 8), 3, look)
