"""The adapter keeps the contract for every class of network, and stages are where the README says."""

from __future__ import annotations

import pytest
import torch
from kd_dev.testing import adapter_checks, parametrize_with_checks
from kdcore import StageInfo, UserError

from kd_cifar_models.adapter import CifarAdapter

ONE_OF_EACH = [
    "cifar_resnet8",
    "cifar_wrn_16_1",
    "cifar_vgg8",
    "cifar_mobilenetv2_half",
    "cifar_shufflenetv1",
    "cifar_shufflenetv2",
]
STAGES = {
    "cifar_resnet20": [(16, 32), (16, 32), (32, 16), (64, 8)],
    "cifar_resnet8x4": [(32, 32), (64, 32), (128, 16), (256, 8)],
    "cifar_wrn_40_2": [(16, 32), (32, 32), (64, 16), (128, 8)],
    "cifar_vgg13": [(128, 16), (256, 8), (512, 4), (512, 4)],
    "cifar_mobilenetv2_half": [(12, 16), (16, 8), (48, 4), (160, 2)],
    "cifar_shufflenetv1": [(24, 32), (240, 16), (480, 8), (960, 4)],
    "cifar_shufflenetv2": [(24, 32), (116, 16), (232, 8), (464, 4)],
}
PATHS = {  # of the modules whose outputs stages are, or of which they are the ReLU
    "cifar_resnet20": {2: "layer1", 3: "layer2", 4: "layer3"},
    "cifar_wrn_16_2": {1: "conv1", 2: "block1", 3: "block2", 4: "block3"},
    "cifar_vgg8": {1: "block1", 2: "block2", 3: "block3", 4: "block4"},
    "cifar_mobilenetv2_half": {1: "blocks.1", 2: "blocks.2", 3: "blocks.4", 4: "blocks.6"},
    "cifar_shufflenetv1": {2: "layer1", 3: "layer2", 4: "layer3"},
    "cifar_shufflenetv2": {2: "layer1", 3: "layer2", 4: "layer3"},
}


@parametrize_with_checks(adapter_checks("cifar", models=ONE_OF_EACH))
def test_conformance(check):
    check()


def test_the_layers_after_stage_4_can_be_run_alone_and_no_others(build):
    model = build("cifar_vgg8").eval()
    output = CifarAdapter().forward(model, torch.randn(2, 3, 32, 32), (4,), True)
    alone = CifarAdapter().tail(model, 4)(output.features[4], embedding=True)
    torch.testing.assert_close(alone.logits, output.logits)
    torch.testing.assert_close(alone.embedding, output.embedding)
    with pytest.raises(UserError, match="after stage 3 cannot be run alone"):
        CifarAdapter().tail(model, 3)


@pytest.mark.parametrize("name", STAGES)
def test_stages(build, name):
    with torch.device("meta"):
        model = build(name)
    wanted = tuple(StageInfo(n, channels, (side, side)) for n, (channels, side) in enumerate(STAGES[name], 1))
    assert CifarAdapter().stages(model, (32, 32)) == wanted


@pytest.mark.parametrize("size", [(32, 32), (30, 45), (64, 64), (96, 70)], ids=str)
@pytest.mark.parametrize("name", STAGES)
def test_stages_at_other_sizes(build, name, size):
    with torch.device("meta"):
        model = build(name).eval()
        images = torch.empty(2, 3, *size)
    adapter = CifarAdapter()
    features = adapter.forward(model, images, (1, 2, 3, 4), False).features
    for info in adapter.stages(model, size):
        assert features[info.stage].map.shape == (2, info.channels, *info.grid)


@pytest.mark.parametrize("name", PATHS)
def test_stages_are_these_modules_outputs(build, images, name):
    model = build(name).eval()
    seen = {}
    for stage, path in PATHS[name].items():
        model.get_submodule(path).register_forward_hook(
            lambda module, given, output, stage=stage: seen.update({stage: output})
        )
    with torch.no_grad():
        features = CifarAdapter().forward(model, images, (1, 2, 3, 4), False).features
    for stage, output in seen.items():
        expected = output.relu() if name == "cifar_vgg8" else output
        assert torch.equal(features[stage].map, expected)


def test_the_sum_of_a_block_is_its_map_before_the_relu(build, images):
    model = build("cifar_resnet14").eval()
    seen = []
    model.layer3[1].sum.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.no_grad():
        deepest = CifarAdapter().forward(model, images, (4,), False).features[4].map
    assert torch.equal(seen[0].relu(), deepest)
    assert seen[0].min() < 0


def test_other_models_are_refused():
    with pytest.raises(UserError, match="Linear is not a network of kd-cifar-models"):
        CifarAdapter().stages(torch.nn.Linear(1, 1), (32, 32))
