"""What is suggested for pairs of models and images."""

from __future__ import annotations

import io
import tarfile

import pytest
from kd_init.families import SMALL_INPUT, family_of
from kd_init.images import has_splits, image_side
from kd_init.suggest import (
    distillers,
    general_recipe,
    image_size,
    known_options,
    recipe,
    teacher_weights,
)
from PIL import Image

from kdcore.inspect import find_recipe
from kdcore.plugin import get_plugins

from .conftest import FILES, add_plugin

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


PLAIN = ("plain", "the plain method")
AT_LAST = ("cousin", "at last")
PAIRS = {
    "same family": (CNN, family_of("resnet50"), [("twin", "for relatives"), PLAIN, AT_LAST]),
    "other family": (MOBILE, CNN, [("cousin", "for cousins"), ("twin", "works too"), PLAIN]),
    "other kind": (CNN, VIT, [("bridge", "for strangers"), PLAIN, AT_LAST]),
    "other kind, the other way": (VIT, CNN, [("bridge", "for strangers"), PLAIN, AT_LAST]),
    "no teacher": (CNN, None, [("vanilla", "there is no teacher")]),
}


@pytest.mark.parametrize(("student", "teacher", "suited"), PAIRS.values(), ids=PAIRS)
def test_distillers_for_a_pair(toys, student, teacher, suited):
    assert [(item.value, item.why) for item in distillers(student, teacher, get_plugins())] == suited


def test_of_two_distillers_with_one_name_the_plugin_is_named(toys, site):
    add_plugin(
        site, "kd-rivals", {name: text.replace("kd_toys", "kd_rivals") for name, text in FILES.items()}
    )
    suited = distillers(CNN, family_of("resnet50"), get_plugins())
    assert [item.value for item in suited][:2] == ["kd-rivals/twin", "kd-toys/twin"]


def test_without_a_distiller_the_baseline_is_suggested(alone):
    (only,) = distillers(CNN, VIT, get_plugins())
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
        (32, 32, CNN, "twin", "cifar-240"),
        (32, 32, MOBILE, "twin", "cifar-240-mobile"),
        (32, 224, CNN, "twin", "cifar-224-cnn"),
        (32, 224, VIT, "bridge", "cifar-224-vit"),
        (500, 224, CNN, "twin", "imagenet-100"),
        (None, 224, CNN, "bridge", "toy-100"),
        (None, 224, CNN, "kd-toys/bridge", "toy-100"),
        (500, 224, MOBILE, "bridge", "imagenet-450"),
        (500, 224, VIT, "plain", "imagenet-300-vit"),
    ],
)
def test_recipes(toys, side, size, student, distiller, name):
    plugins = get_plugins()
    assert find_recipe(name, "", plugins).name == name
    assert recipe(side, size, student, plugins, quick=False, distiller=distiller).value == name
    assert recipe(side, size, student, plugins, quick=True, distiller=distiller) is None


def test_a_teacher_trains_by_the_general_recipe(toys):
    assert general_recipe("toy-100", get_plugins()) == "imagenet-100"
    assert general_recipe("cifar-240", get_plugins()) == "cifar-240"


@pytest.mark.parametrize(
    ("teacher", "student", "recipe_name", "found"),
    [
        ("resnet34", "resnet18", None, {"beta": (2.0, "toys b.yaml"), "stages": ([2, 3], "toys b.yaml")}),
        ("timm/resnet34.a1_in1k", "resnet18", "cifar-240", {"stages": ([2, 3], "toys b.yaml")}),
        (
            "resnet50",
            "resnet18",
            "imagenet-100",
            {"beta": (3.0, "toys c.yaml"), "stages": ([2, 3], "toys b.yaml")},
        ),
        (
            "resnet50",
            "resnet18",
            "kdcore/imagenet-100",
            {"beta": (3.0, "toys c.yaml"), "stages": ([2, 3], "toys b.yaml")},
        ),
        ("vit_tiny_patch16_224", "resnet18", None, {}),
        (None, "resnet18", None, {}),
    ],
)
def test_options_of_a_known_pair(toys, teacher, student, recipe_name, found):
    options = known_options("plain", teacher, student, recipe_name, get_plugins())
    assert {option.name: (option.value, option.source) for option in options} == found
    assert known_options("twin", teacher, student, recipe_name, get_plugins()) == ()


def test_weights_of_teachers():
    assert teacher_weights("data/imagenet", 500, CNN).value == "pretrained"
    for name in (
        "torch/imagenet",
        "hfds/timm/imagenet-1k-wds",
        "tfds/imagenet2012",
        "ILSVRC2012/a",
        "ImageNet.tar",
    ):
        assert teacher_weights(name, 500, CNN).value == "pretrained", name
    # their classes are not those of timm's weights
    for name in ("imagenette2-160", "imagenet-100", "data/imagenet/imagenet-r", "imagenet21k", "imagewoof"):
        assert teacher_weights(name, 500, CNN).value == "finetune", name
    assert teacher_weights("tiny-imagenet-200", 64, CNN).value == "train"
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
