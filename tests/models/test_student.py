from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import load_file

from kdcore import UserError
from kdcore.data.inputs import InputConfig
from kdcore.models import load_config, load_student, save_student

OWN = InputConfig((32, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", 1.0)


@pytest.fixture
def save(tmp_path, no_plugins):
    def call(built, name, *, folder="student", taken=OWN, small_input=False, options=None, plugins=None):
        save_student(
            built.model,
            tmp_path / folder,
            model_name=name,
            num_classes=10,
            input=taken,
            options=options or {},
            small_input=small_input,
            class_names=[f"class {index}" for index in range(10)],
            metrics={"top1": 91.25},
            plugins=plugins or no_plugins,
        )
        return tmp_path / folder

    return call


@pytest.mark.parametrize(
    ("name", "small_input", "options"),
    [
        ("resnet10t", False, {"drop_rate": 0.1, "channels": [16, 32, 64, 128]}),
        ("mobilenetv2_035", False, {}),
        ("test_vit", False, {}),
        ("deit_tiny_distilled_patch16_224", True, {"depth": 2}),
        ("test_vit", True, {"depth": 2}),
        ("test_convnext", True, {}),
        ("swin_tiny_patch4_window7_224", True, {"depths": [1, 1, 1, 1]}),
    ],
)
def test_timm_and_kd_load_it(build, save, no_plugins, name, small_input, options):
    built = build(name, small_input=small_input, options=options)
    folder = save(built, name, small_input=small_input, options=options)
    images = torch.randn(2, 3, 32, 32)
    expected = built.model.eval()(images)
    by_timm = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert torch.equal(by_timm(images), expected)
    data = timm.data.resolve_model_data_config(by_timm)
    assert data["input_size"] == (3, 32, 32)
    assert (tuple(data["mean"]), tuple(data["std"])) == (OWN.mean, OWN.std)
    assert (data["interpolation"], data["crop_pct"]) == ("bilinear", 1.0)
    assert by_timm.pretrained_cfg["label_names"][3] == "class 3"
    by_kd = load_student(folder, plugins=no_plugins)
    assert torch.equal(by_kd.model(images), expected)
    assert not by_kd.model.training
    assert by_kd.input == OWN
    assert by_kd.config.class_names[3] == "class 3"


@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "mobilenetv2_035", "convnext_atto_ols"])
def test_what_timm_cannot_build_it_refuses(build, save, no_plugins, name):
    """timm would load a stride-1 MobileNet's weights without a word, and compute other logits from them."""
    built = build(name, small_input=True)
    folder = save(built, name, small_input=True)
    with pytest.raises(RuntimeError, match=rf"Unknown model \({name}_needs_kdcore\)"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    images = torch.randn(2, 3, 32, 32)
    found = load_student(folder.parent, plugins=no_plugins)
    assert torch.equal(found.model(images), built.model.eval()(images))
    assert "load_student" in found.config.raw["kdcore"]["load_with"]


def test_plugin_models(build, save, plugins):
    built = build("nets/tiny-net", known=plugins, options={"width": 6})
    folder = save(built, "nets/tiny-net", options={"width": 6}, plugins=plugins)
    images = torch.randn(2, 3, 32, 32)
    found = load_student(folder, plugins=plugins)
    assert torch.equal(found.model(images), built.model(images))
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_grey_images(build, save, no_plugins):
    built = build("resnet10t", in_chans=1)
    folder = save(built, "resnet10t", taken=OWN.replace(mean=(0.5,), std=(0.25,)))
    images = torch.randn(1, 1, 32, 32)
    expected = built.model.eval()(images)
    assert torch.equal(timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(images), expected)
    assert torch.equal(load_student(folder, plugins=no_plugins).model(images), expected)


def test_one_mean_for_three_channels(build, save):
    folder = save(build("resnet10t"), "resnet10t", taken=OWN.replace(mean=(0.5,), std=(0.25,)))
    config = load_config(folder)
    assert config.in_chans == 3
    assert config.input.mean == (0.5, 0.5, 0.5)


def test_what_the_folder_says(build, save):
    folder = save(build("resnet10t"), "resnet10t", options={"drop_path_rate": 0.1})
    raw = json.loads((folder / "config.json").read_text())
    assert raw["architecture"] == "resnet10t"
    assert raw["num_classes"] == 10
    assert raw["kdcore"]["metrics"] == {"top1": 91.25}
    assert raw["kdcore"]["options"] == {"drop_path_rate": 0.1}
    assert raw["model_args"] == {"in_chans": 3}  # dropout is a matter of training
    assert not {"url", "hf_hub_id", "file", "source"} & raw["pretrained_cfg"].keys()
    config = load_config(folder)
    assert config.spec.options == {"drop_path_rate": 0.1}
    assert config.weights == folder / "model.safetensors"


def test_weights_as_they_are(build, save):
    built = build("resnet10t")
    built.model.to(memory_format=torch.channels_last)
    built.model.layer1[0].bn1.bias = built.model.layer1[0].bn2.bias  # tied
    stored = load_file(save(built, "resnet10t") / "model.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in built.model.state_dict().items())


def test_replaces_what_was_there(build, save, tmp_path, no_plugins):
    save(build("resnet10t"), "resnet10t")
    built = build("test_vit")
    (tmp_path / "student" / "old.txt").write_text("old")
    folder = save(built, "test_vit")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert load_config(folder).spec.model == "test_vit"


def test_options_must_be_json(build, save):
    with pytest.raises(UserError) as caught:
        save(build("resnet10t"), "resnet10t", options={"act_layer": torch.nn.GELU})
    assert caught.value.problems[0].where == "student.options.act_layer"


def test_no_student(tmp_path, no_plugins):
    assert load_config(tmp_path) is None
    assert load_config(tmp_path / "nowhere") is None
    with pytest.raises(UserError, match="there is no student here"):
        load_student(tmp_path, plugins=no_plugins)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"architecture": "resnet10t", "pretrained_cfg": {}}'])
def test_damaged_config(build, save, text):
    folder = save(build("resnet10t"), "resnet10t")
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match="is not a configuration") as caught:
        load_config(folder)
    assert caught.value.problems[0].where == str(folder / "config.json")


def test_a_folder_that_timm_wrote(tmp_path, build, no_plugins):
    model = timm.create_model("test_vit", num_classes=10, img_size=32, patch_size=8).eval()
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    config = load_config(tmp_path)
    assert config.spec.model == "test_vit"
    assert config.spec.options["patch_size"] == 8
    assert config.input.image_size == (32, 32)
    built = build(None, teacher=True, checkpoint=str(tmp_path), image_size=None)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(built.model.eval()(images), model(images))
