"""What is suggested for pairs of models and images."""

from __future__ import annotations

import io
import tarfile

import pytest
from PIL import Image

from kd_init.families import SMALL_INPUT, family_of
from kd_init.images import has_splits, image_side
from kd_init.suggest import distillers, image_size, recipe, teacher_weights
from kdcore.plugins import Plugins, get_plugins
from kdcore.spec.recipes import recipes

CNN, MOBILE, VIT = family_of("resnet18"), family_of("mobilenetv2_100"), family_of("vit_tiny_patch16_224")


def test_families():
    assert (CNN.file, CNN.tokens, CNN.mobile, CNN.small_input) == ("resnet", False, False, True)
    assert (MOBILE.mobile, VIT.tokens) == (True, True)
    assert family_of("timm/resnet18.a1_in1k") == CNN
    assert family_of("a_plugins_model").file is None


def test_the_files_with_a_variant_for_small_images_are_those_of_the_variants():
    from kdcore.models.small_input import FAMILIES

    modules = {module.rpartition(".")[2] for family in FAMILIES for module in family.modules}
    assert modules == SMALL_INPUT


@pytest.mark.parametrize(
    ("student", "teacher", "best"),
    [
        (CNN, family_of("resnet50"), "dkd"),
        (CNN, VIT, "ofa"),
        (VIT, CNN, "ofa"),
        (MOBILE, CNN, "dist"),
        (CNN, None, "vanilla"),
    ],
)
def test_distillers_for_a_pair(student, teacher, best):
    assert distillers(student, teacher, get_plugins())[0].value == best


def test_only_what_is_installed_is_suggested():
    (only,) = distillers(CNN, VIT, Plugins.discover([], disabled=()))
    assert only.value == "vanilla"
    assert "pip install" in only.why


@pytest.mark.parametrize(
    ("side", "student", "size"),
    [(32, CNN, 32), (8, CNN, 32), (64, VIT, 64), (500, CNN, 224), (None, CNN, 224)],
)
def test_image_sizes(side, student, size):
    assert image_size(side, student).value == str(size)


def test_small_images_are_enlarged_for_a_token_model_without_a_variant():
    assert image_size(32, family_of("mixer_s16_224")).value == "224"


@pytest.mark.parametrize(
    ("side", "size", "student", "distiller", "name"),
    [
        (32, 32, CNN, "dkd", "cifar-240"),
        (32, 32, MOBILE, "dkd", "cifar-240-mobile"),
        (32, 224, CNN, "dkd", "cifar-224-cnn"),
        (32, 224, VIT, "ofa", "cifar-224-vit"),
        (500, 224, CNN, "dkd", "imagenet-100"),
        (None, 224, CNN, "kd-ofa/ofa", "imagenet-100-ofa"),
        (500, 224, MOBILE, "kd", "imagenet-450"),
        (500, 224, VIT, "kd", "imagenet-300-vit"),
    ],
)
def test_recipes(side, size, student, distiller, name):
    assert name in recipes()
    assert recipe(side, size, student, quick=False, distiller=distiller).value == name
    assert recipe(side, size, student, quick=True, distiller=distiller) is None


def test_weights_of_teachers():
    assert teacher_weights("data/imagenet", 500, CNN).value == "pretrained"
    assert teacher_weights("photos", 500, CNN).value == "finetune"
    assert teacher_weights("photos", 32, CNN).value == "train"
    assert teacher_weights("photos", 32, VIT).value == "finetune"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos" / "train" / "cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (48, 40)).save(folder / "a.png")
    for hidden in (folder / ".ipynb_checkpoints" / "a.png", folder / "._0.png"):
        hidden.parent.mkdir(exist_ok=True)
        Image.new("RGB", (99, 99)).save(hidden)  # these are no samples
    return tmp_path / "photos"


def test_a_look_at_a_folder(photos):
    assert image_side("photos", photos) == 48
    assert has_splits(photos)
    assert has_splits(photos / "train") is False


def test_a_look_at_a_tar(photos, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(photos, "photos")
    assert image_side("a", tmp_path / "a.tar.gz") == 48
    assert has_splits(tmp_path / "a.tar.gz")


def test_a_look_at_what_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar")
    (tmp_path / "b.png").write_bytes(b"no image")
    assert image_side("a", tmp_path / "a.tar") is None
    assert has_splits(tmp_path / "a.tar") is None
    assert image_side("b", tmp_path) is None
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    (tmp_path / "c.tar").write_bytes(empty.getvalue())
    assert has_splits(tmp_path / "c.tar") is False


def test_known_names():
    assert image_side("torch/cifar100", None) == 32
    assert image_side("torch/imagenet", None) is None
