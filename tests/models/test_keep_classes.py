from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from kdcore import UserError
from kdcore.features.logits_only import PlainAdapter
from kdcore.features.timm import TimmAdapter
from kdcore.models.digest import weights_digest
from kdcore.models.keep_classes import keep_classes

ROWS, KNOWN, SHAPE = (4, 0, 2), 5, (3, 32, 32)


class Plain(nn.Module):
    """A model that shows no classifier."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, KNOWN))

    def forward(self, images):
        return self.net(images)


class Scaled(Plain):
    """Its last layer is not what gives the logits."""

    def get_classifier(self):
        return self.net

    def forward(self, images):
        return super().forward(images).softmax(-1)


def timm_model(name, **options):
    return timm.create_model(name, num_classes=KNOWN, **options)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_last_layer_whose_weights_are_computed_from_others(device):
    torch.manual_seed(0)
    model = timm_model("test_resnet").eval()
    nn.utils.parametrizations.weight_norm(model.fc)
    model.fc.parametrizations.weight.original0.data.mul_(3)
    images = torch.randn(2, *SHAPE, device=device)
    model = model.to(device)
    with torch.no_grad():
        before = model(images)
        with torch.device(device):
            keep_classes(model, TimmAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
        after = model(images)
    assert after.shape == (2, len(ROWS))
    assert model.fc.weight.shape[0] == len(ROWS)
    if device == "cpu":
        torch.testing.assert_close(after, before[:, list(ROWS)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {}),
        ("test_vit", {"img_size": 32}),
        ("dla46_c", {"channels": (8, 8, 8, 8, 8, 16), "levels": (1, 1, 1, 1, 1, 1)}),
        ("deit_tiny_distilled_patch16_224", {"img_size": 32, "depth": 1, "embed_dim": 24}),
        ("repvit_m0_9", {"embed_dim": (8, 8, 16, 16), "depth": (1, 1, 1, 1), "distillation": True}),
        ("caformer_s18", {}),
    ],
    ids=["linear", "vit", "convolution", "two heads", "mean of two heads", "block"],
)
def test_the_logits_are_those_of_the_chosen_classes(name, options):
    torch.manual_seed(0)
    model = timm_model(name, **options).eval()
    images = torch.randn(2, *SHAPE)
    with torch.no_grad():
        before = model(images)
        keep_classes(model, TimmAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
        torch.testing.assert_close(model(images), before[:, list(ROWS)])
    assert model.num_classes == len(ROWS)


def test_a_linear_classifier_is_cut_to_the_same_rows_also_on_the_meta_device():
    model = timm_model("test_resnet")
    weight = model.get_classifier().weight.detach().clone()
    keep_classes(model, TimmAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
    classifier = model.get_classifier()
    assert torch.equal(classifier.weight, weight[list(ROWS)])
    assert (classifier.out_features, classifier.bias.shape) == (3, (3,))
    with torch.device("meta"):
        model = timm_model("test_resnet")
        keep_classes(model, TimmAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
    assert model.get_classifier().weight.shape[0] == 3


def test_a_model_that_shows_no_classifier_gets_its_output_cut():
    model, images = Plain().eval(), torch.randn(2, *SHAPE)
    before, digest = model(images), weights_digest(model)
    keep_classes(model, PlainAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
    assert torch.equal(model(images), before[:, list(ROWS)])
    assert isinstance(model, Plain)
    assert weights_digest(model) != digest


def test_a_model_whose_last_layer_is_not_linear_is_refused_as_it_was():
    model = Scaled().eval()
    with pytest.raises(UserError, match="cannot be chosen"):
        keep_classes(model, PlainAdapter(), ROWS, KNOWN, SHAPE, "teacher.classes")
    assert model(torch.randn(1, *SHAPE)).shape == (1, KNOWN)


def test_the_same_classes_in_the_same_order_change_nothing():
    model = Scaled()
    keep_classes(model, PlainAdapter(), range(KNOWN), KNOWN, SHAPE, "teacher.classes")
    assert model.net[-1].out_features == KNOWN
