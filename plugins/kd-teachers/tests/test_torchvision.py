"""torchvision's classifiers: their logits, classes and sizes."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
import torchvision
from kd_teachers.torchvision_model import images_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def same_weights(model, other):
    other.load_state_dict(model.state_dict())
    return other.eval()


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5"])
def test_the_logits_are_torchvisions_and_the_last_layer_is_the_classifier(name, make):
    built = make("torchvision", name=name)
    other = same_weights(built.model, torchvision.models.get_model(name, num_classes=10))
    images = IMAGES if name != "squeezenet1_1" else torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(built.model.eval()(images), other(images))
    last = built.model.get_classifier()
    assert getattr(last, "out_features", None) == 10 or last.out_channels == 10
    assert built.random_weights
    assert built.input.image_size == (32, 32)  # the student's


def test_every_classifier_is_built_on_the_meta_device(make):
    smallest: dict[str, tuple[int, str]] = {}  # of each family: the others differ in depth and width
    for name in torchvision.models.list_models(module=torchvision.models):
        size = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
        family = re.split(r"[\d_]", name)[0]
        smallest[family] = min(smallest.get(family, (size, name)), (size, name))
    assert len(smallest) > 15
    for _, name in smallest.values():
        model = make("torchvision", name=name, device="meta", num_classes=7).model
        last = model.get_classifier()
        assert 7 in (getattr(last, "out_features", 0), getattr(last, "out_channels", 0)), name


def test_without_classes_it_gives_its_embedding(make):
    model = make("torchvision", name="resnet18", num_classes=0).model
    assert model(IMAGES).shape == (2, 512)


def test_a_vit_is_built_for_one_size(problem):
    found = problem("torchvision", name="vit_b_32", device="meta", image_size=64)
    assert found.where == "teacher.image_size"
    assert "224x224" in found.message


def test_a_name_that_torchvision_lacks(problem):
    found = problem("torchvision", name="resnet81")
    assert (found.where, found.value, found.nearest) == ("teacher.options.name", "resnet81", "resnet18")


def test_grey_images_are_refused(problem):
    assert "3 channels, not 1" in problem("torchvision", name="resnet18", in_chans=1).message


@pytest.mark.parametrize(
    ("name", "mean", "interpolation"),
    [
        ("resnet18", (0.485, 0.456, 0.406), "bilinear"),
        ("efficientnet_v2_s", (0.485, 0.456, 0.406), "bilinear"),
        ("efficientnet_v2_l", (0.5,) * 3, "bicubic"),
        ("googlenet", (0.5,) * 3, "bilinear"),
        ("inception_v3", (0.5,) * 3, "bilinear"),
    ],
)
def test_its_images_are_those_of_its_weights(name, mean, interpolation):
    found, _, how = images_of(name)
    assert (found, how) == (pytest.approx(mean), interpolation)


def test_a_built_model_says_which_images_it_takes(make):
    built = make("torchvision", name="resnet18", device="meta")
    assert (built.input.mean, built.input.std, built.input.interpolation) == images_of("resnet18")


def test_a_model_that_torchvision_lets_change_its_input_gets_the_changed_images():
    """With weights, GoogLeNet and Inception turn images of ImageNet's mean and deviation into others."""
    preset = torchvision.models.GoogLeNet_Weights.DEFAULT.transforms()
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preset.mean, preset.std))
    for kind in (torchvision.models.GoogLeNet, torchvision.models.Inception3):
        changed = kind._transform_input(SimpleNamespace(transform_input=True), (images - mean) / std)
        torch.testing.assert_close(changed, (images - 0.5) / 0.5)
