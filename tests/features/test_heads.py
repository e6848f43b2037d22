"""The two classifiers of distilled models."""

from __future__ import annotations

import copy

import pytest
import timm
import torch

from kdcore import TimmAdapter
from kdcore.features import Extractor, PlainAdapter, model_info, set_distilled_training

DEIT = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}
DISTILLED = {
    "deit": ("deit_tiny_distilled_patch16_224", DEIT, 32),
    "levit": (
        "levit_128s",
        {"img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 8, "depth": (1, 1, 1)},
        64,
    ),
    "repvit": ("repvit_m0_9", {}, 32),
}


@pytest.fixture(scope="module", params=DISTILLED)
def distilled(request):
    name, options, size = DISTILLED[request.param]
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **options)
    for parameter in model.parameters():  # some heads start at zero
        torch.nn.init.normal_(parameter, 0.1, 0.2)
    return model, torch.randn(4, 3, size, size)


@pytest.mark.parametrize("stages", [(), (4,)], ids=["alone", "with a map"])
@pytest.mark.parametrize("adapter", [TimmAdapter(), PlainAdapter()], ids=["timm", "plain"])
def test_in_training_the_logits_are_apart(distilled, adapter, stages):
    if stages and isinstance(adapter, PlainAdapter):
        stages = ("head",)
    model, images = distilled
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    mean = Extractor(model, adapter, stages)(images)
    assert mean.distillation_logits is None
    set_distilled_training(model)
    first, second = model(images)
    output = Extractor(model, adapter, stages, embedding=bool(stages) and isinstance(adapter, TimmAdapter))(
        images
    )
    assert torch.equal(output.logits, first)
    assert torch.equal(output.distillation_logits, second)
    assert not torch.allclose(first, second)
    assert torch.allclose(mean.logits, (first + second) / 2, atol=1e-5)
    assert set(output.features) == set(stages)
    evaluated = Extractor(model.eval(), adapter, stages)(images)
    assert evaluated.distillation_logits is None
    assert torch.equal(evaluated.logits, model(images))


@pytest.mark.parametrize("name", [*DISTILLED, "test_vit", "pit_ti_224"])
def test_a_model_is_asked_before_training(name):
    architecture, options, size = DISTILLED.get(name, (name, {"img_size": 64}, 64))
    model = timm.create_model(architecture, num_classes=5, **options)
    before = copy.deepcopy(model.state_dict())
    info = model_info("net", model, TimmAdapter(), (size, size), 3)
    assert info.has_distillation_logits is (name in DISTILLED)
    assert not isinstance(model(torch.randn(2, 3, size, size)), tuple), "the model itself is as it was"
    model.load_state_dict(before)
