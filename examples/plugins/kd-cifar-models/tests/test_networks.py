"""The networks are those of the tables."""

from __future__ import annotations

import re

import pytest
import torch

# parameters at 10 and at 100 classes, counted with RepDistiller's own models
COUNTS = {
    "cifar_resnet8": (78_042, 83_892),
    "cifar_resnet14": (175_258, 181_108),
    "cifar_resnet20": (272_474, 278_324),
    "cifar_resnet32": (466_906, 472_756),
    "cifar_resnet44": (661_338, 667_188),
    "cifar_resnet56": (855_770, 861_620),
    "cifar_resnet110": (1_730_714, 1_736_564),
    "cifar_resnet8x4": (1_210_410, 1_233_540),
    "cifar_resnet32x4": (7_410_730, 7_433_860),
    "cifar_wrn_16_1": (175_066, 180_916),
    "cifar_wrn_16_2": (691_674, 703_284),
    "cifar_wrn_40_1": (563_930, 569_780),
    "cifar_wrn_40_2": (2_243_546, 2_255_156),
    "cifar_vgg8": (3_918_858, 3_965_028),
    "cifar_vgg11": (9_231_114, 9_277_284),
    "cifar_vgg13": (9_416_010, 9_462_180),
    "cifar_vgg16": (14_728_266, 14_774_436),
    "cifar_vgg19": (20_040_522, 20_086_692),
    "cifar_mobilenetv2_half": (697_546, 812_836),
    "cifar_shufflenetv1": (862_768, 949_258),
    "cifar_shufflenetv2": (1_263_278, 1_355_528),
    "cifar_mixer": (476_842, 485_572),  # by the sum below
}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_all_are_counted(entries):
    assert entries.keys() == COUNTS.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(build, entries, name):
    with torch.device("meta"):
        found = tuple(count(build(name, num_classes)) for num_classes in (10, 100))
    assert found == COUNTS[name]
    said = re.search(r"([\d.]+) M parameters", entries[name].summary)
    assert said is not None
    assert float(said[1]) == round(found[1] / 1e6, 2)


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)], ids=str
)
def test_the_papers_resnets_have_shortcut_a(build, depth, millions):
    """He et al. 2016, table 6: "# params" of the networks for CIFAR-10."""
    found = count(build(f"cifar_resnet{depth}", shortcut="A")) / 1e6
    assert round(found, 2 if millions < 1 else 1) == millions


@pytest.mark.parametrize(("patch_size", "num_blocks", "channels"), [(8, 6, 96), (4, 2, 20)])
def test_the_mixers_parameters(build, patch_size, num_blocks, channels):
    """Tolstikhin et al. 2021, section 2: two layers over patches, two over channels, and a norm before each pair."""
    patches = (32 // patch_size) ** 2
    over_patches = patches * channels // 2 * 2 + channels // 2 + patches
    over_channels = channels * 4 * channels * 2 + 4 * channels + channels
    stem = 3 * patch_size**2 * channels + channels
    blocks = num_blocks * (over_patches + over_channels + 4 * channels)
    rest = 2 * channels + channels * 10 + 10
    model = build("cifar_mixer", patch_size=patch_size, num_blocks=num_blocks, embed_dim=channels)
    assert count(model) == stem + blocks + rest
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("value", "words"), [(5, "must divide the side of the images, 32"), (0, "patch_size")]
)
def test_patches_that_do_not_fit_are_refused(build, value, words):
    with pytest.raises(ValueError, match=words), torch.device("meta"):
        build("cifar_mixer", patch_size=value)


@pytest.mark.parametrize(("name", "millions"), [("cifar_wrn_40_1", 0.6), ("cifar_wrn_40_2", 2.2)])
def test_the_papers_wide_resnets(build, name, millions):
    """Zagoruyko and Komodakis 2016, table 4."""
    assert round(count(build(name)) / 1e6, 1) == millions


def test_counted_by_hand(build):
    # convolutions 3x3 without bias, two numbers per channel for each batch norm, one linear layer with bias
    stem = 3 * 16 * 9 + 32
    narrow = 2 * (16 * 16 * 9 + 32)
    middle = 16 * 32 * 9 + 64 + 32 * 32 * 9 + 64
    deep = 32 * 64 * 9 + 128 + 64 * 64 * 9 + 128
    linear = 64 * 10 + 10
    shortcuts = 16 * 32 + 64 + 32 * 64 + 128
    assert count(build("cifar_resnet8", shortcut="A")) == stem + narrow + middle + deep + linear
    assert count(build("cifar_resnet8")) == stem + narrow + middle + deep + linear + shortcuts


def test_weights_have_repdistillers_names(build):
    some = {
        "cifar_resnet8": [
            "conv1.weight",
            "layer2.0.downsample.1.running_var",
            "layer3.0.bn2.weight",
            "fc.bias",
        ],
        "cifar_wrn_16_2": ["block2.layer.0.convShortcut.weight", "block3.layer.1.bn2.bias", "bn1.weight"],
        "cifar_vgg13": ["block0.3.weight", "block4.4.running_mean", "classifier.weight"],
        "cifar_mobilenetv2_half": [
            "conv1.1.bias",
            "blocks.3.2.conv.7.weight",
            "conv2.0.weight",
            "classifier.0.bias",
        ],
        "cifar_shufflenetv1": ["layer1.3.conv3.weight", "layer2.0.bn3.bias", "linear.weight"],
        "cifar_shufflenetv2": ["layer3.0.conv5.weight", "layer2.7.bn3.bias", "conv2.weight", "linear.bias"],
    }
    for name, keys in some.items():
        assert set(keys) <= build(name).state_dict().keys()


def test_shortcut_a_is_the_papers(build):
    block = build("cifar_resnet8", shortcut="A").layer2[0]
    features = torch.randn(2, 16, 6, 6)
    padded = block.downsample(features)
    assert padded.shape == (2, 32, 3, 3)
    for channel in range(32):
        expected = features[:, channel - 8, ::2, ::2] if 8 <= channel < 24 else torch.zeros(2, 3, 3)
        assert torch.equal(padded[:, channel], expected)


def test_a_shortcut_that_keeps_the_shape_is_the_identity(build):
    layer = build("cifar_resnet14").layer1
    assert [len(list(block.downsample.parameters())) for block in layer] == [0, 0]
    wide = build("cifar_resnet8x4", shortcut="A").layer1[0]  # more channels on the same grid
    assert wide.downsample(torch.ones(1, 32, 4, 4)).shape == (1, 64, 4, 4)


def test_a_block_by_hand(build):
    """A basic block whose convolutions pass their input on: max(0, max(0, x) + x)."""
    block = build("cifar_resnet8").layer1[0].eval()
    for convolution in (block.conv1, block.conv2):
        torch.nn.init.dirac_(convolution.weight)
    for norm in (block.bn1, block.bn2):
        norm.eps = 0.0
    features = torch.randn(2, 16, 4, 4)
    expected = features.clamp(min=0) + features
    torch.testing.assert_close(block.sum(features.clamp(min=0), features), expected)
    torch.testing.assert_close(block(features), expected.clamp(min=0))


def test_channels_are_shuffled():
    from kd_cifar_models.shufflenetv1 import shuffled

    channels = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffled(channels, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffled(channels, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert shuffled(channels, 1) is channels


def test_other_channels_and_normalisations(build):
    model = build("cifar_vgg8", 7, 1, normalize="cifar10")
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert model.pretrained_cfg["mean"] == (0.4914, 0.4822, 0.4465)
    assert build("cifar_vgg8").pretrained_cfg["std"] == (0.2675, 0.2565, 0.2761)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("option", [{"normalize": "cifar"}, {"depth": 20}])
def test_wrong_options_are_refused(build, name, option):
    with pytest.raises(ValueError, match=next(iter(option))), torch.device("meta"):
        build(name, **option)


def test_depths_that_there_are_not():
    from kd_cifar_models.resnet import ResNet
    from kd_cifar_models.wrn import WideResNet

    with pytest.raises(ValueError, match="depth is 18; it must be 6n"):
        ResNet(10, 3, depth=18, channels=(16, 16, 32, 64), shortcut="A", normalize="cifar10")
    with pytest.raises(ValueError, match="depth is 4; it must be 6n"):
        WideResNet(10, 3, depth=4, width=1, normalize="cifar10")
