"""Private parts of transformers that kd-teachers relies on."""

from __future__ import annotations

import pytest
import torch
from kd_teachers.compat import INSTALLED, install_again

transformers = pytest.importorskip("transformers", reason="needs kd-teachers[transformers]")


def test_hidden_states_come_back_after_a_models_hooks_were_removed():
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
    )
    model = transformers.ViTForImageClassification(config).eval()
    images = torch.zeros(1, 3, 32, 32)
    assert not install_again(model)
    assert model(images, output_hidden_states=True).hidden_states
    assert any(getattr(module, INSTALLED, False) for module in model.modules())
    for module in model.modules():
        module._forward_hooks.clear()
    assert not model(images, output_hidden_states=True).hidden_states
    assert install_again(model)
    assert model(images, output_hidden_states=True).hidden_states
