"""Image classifiers of transformers: the same logits, and what their folders say."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("transformers", reason="needs kd-teachers[transformers]")

import transformers
from kd_teachers.transformers_adapter import TransformersAdapter
from kd_teachers.transformers_model import quiet
from transformers import AutoModelForImageClassification, ViTConfig

from kdcore.models.keep_classes import keep_classes

SIDE, CLASSES = 32, 10
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
LAYERS = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = {"image_size": SIDE, "patch_size": 8, **LAYERS}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4}
WINDOWS = {"image_size": SIDE, "patch_size": 2, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 1, 2, 2],
           "window_size": 2}  # fmt: skip
CONFIGS = {
    "beit": ("BeitConfig", TOKENS),
    "bit": ("BitConfig", {**STAGES, "embedding_size": 8, "num_groups": 4}),
    "clip": ("CLIPConfig", {"vision_config": TOKENS, "text_config": LAYERS}),
    "convnext": ("ConvNextConfig", STAGES),
    "convnextv2": ("ConvNextV2Config", STAGES),
    "deit": ("DeiTConfig", {**TOKENS, "architectures": ["DeiTForImageClassification"]}),
    "dinov2": ("Dinov2Config", TOKENS),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", TOKENS),
    "mobilenet_v2": ("MobileNetV2Config", {"image_size": SIDE, "depth_multiplier": 0.25}),
    "regnet": ("RegNetConfig", {**STAGES, "embedding_size": 8, "groups_width": 8, "layer_type": "x"}),
    "resnet": ("ResNetConfig", {**STAGES, "embedding_size": 8, "layer_type": "basic"}),
    "siglip": ("SiglipConfig", {"vision_config": TOKENS, "text_config": LAYERS}),
    "swin": ("SwinConfig", WINDOWS),
    "swinv2": ("Swinv2Config", WINDOWS),
    "vit": ("ViTConfig", TOKENS),
}
COLUMNS = (
    "beit",
    "clip",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "siglip",
    "vit",
)  # one grid in all layers


def config_of(kind):
    name, given = CONFIGS[kind]
    return getattr(transformers, name)(**given, num_labels=CLASSES)


def vit(labels=CLASSES, **given):
    """A tiny ViT of transformers."""
    return ViTConfig(
        image_size=SIDE, patch_size=8, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=32, num_labels=labels, **given,
    )  # fmt: skip


@pytest.fixture
def save(tmp_path):
    """Save a tiny random model of transformers from its configuration, with its preprocessing."""

    def call(config, preprocessor=True, name="saved"):
        import json

        import torch

        torch.manual_seed(0)
        with quiet(transformers):
            model = AutoModelForImageClassification.from_config(config).eval()
            model.save_pretrained(tmp_path / name)
            model = AutoModelForImageClassification.from_pretrained(tmp_path / name)
        if preprocessor:
            said = {
                "image_mean": MEAN,
                "image_std": STD,
                "size": {"height": SIDE, "width": SIDE},
                "resample": 2,
            }
            (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(said))
        return model, tmp_path / name

    return call


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_logits_are_those_of_transformers_to_the_bit(kind, save, make):
    model, folder = save(config_of(kind))
    built = make("transformers", path=str(folder))
    assert not built.random_weights
    with torch.no_grad():
        found, wanted = built.model.eval()(IMAGES), model(IMAGES).logits
    assert torch.equal(found, wanted)
    assert set(built.model.state_dict()) == set(model.state_dict())
    meta = make("transformers", path=str(folder), device="meta").model
    assert {name: value.shape for name, value in meta.state_dict().items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_adapter_gives_four_stages_and_the_embedding(kind, save, make):
    _, folder = save(config_of(kind))
    model = make("transformers", path=str(folder)).model.eval()
    adapter = TransformersAdapter()
    stages = adapter.stages(model, (SIDE, SIDE))
    assert [one.stage for one in stages] == [1, 2, 3, 4]
    with torch.no_grad():
        output = adapter.forward(model, IMAGES, (1, 2, 3, 4), True)
        assert torch.equal(output.logits, model(IMAGES))
        assert torch.equal(
            model.classifier(output.embedding.reshape(2, -1, *[1, 1][: 2 * (kind == "resnet")])),
            output.logits,
        )
    for info in stages:
        assert tuple(output.features[info.stage].map.shape) == (2, info.channels, *info.grid)
        prefix = output.features[info.stage].prefix
        assert info.prefix_tokens == (0 if prefix is None else prefix.shape[1])
    grids = {info.grid for info in stages}
    assert grids == {(4, 4)} if kind in COLUMNS else len(grids) >= 3


@pytest.mark.parametrize(("size", "grid"), [((25, 27), (3, 3)), ((16, 16), (2, 2)), ((24, 31), (3, 3))])
def test_the_grid_is_that_of_the_patches(size, grid, save, make):
    """Also if the side is no multiple of the patches', and with more extra tokens than patches."""
    _, folder = save(transformers.Dinov2WithRegistersConfig(**TOKENS, num_labels=CLASSES))
    model = make("transformers", path=str(folder)).model
    for one in TransformersAdapter().stages(model, size):
        assert (one.grid, one.prefix_tokens) == (grid, 5)


WITH_TWO = {
    "DeiT": TOKENS,
    "Levit": {"image_size": 64, "hidden_sizes": [16, 16, 16], "num_attention_heads": [1, 1, 1], "depths": [1, 1, 1],
              "key_dim": [8, 8, 8]},
    "SwiftFormer": {"depths": [1] * 4, "embed_dims": [8, 8, 16, 16]},
}  # fmt: skip


@pytest.mark.parametrize("kind", WITH_TWO)
def test_a_model_with_two_classifiers(kind, tmp_path, make):
    """Their mean gives the logits; DeiT and LeViT are so after their distillation."""
    side = 64 if kind == "Levit" else SIDE
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    name = f"{kind}ForImageClassification{'' if kind == 'SwiftFormer' else 'WithTeacher'}"
    torch.manual_seed(0)
    with quiet(transformers):
        config = getattr(transformers, f"{kind}Config")(**WITH_TWO[kind], num_labels=CLASSES)
        model = getattr(transformers, name)(config).eval()
        model.save_pretrained(tmp_path)
    given = {"path": str(tmp_path), "image_size": side}
    wanted = model(images).logits.detach()
    built = make("transformers", **given).model.eval()
    adapter = TransformersAdapter()
    output = adapter.forward(built, images, (), True)
    assert torch.equal(output.logits, wanted)
    keep_classes(built, adapter, (3, 1), CLASSES, (3, side, side), "teacher.classes")
    torch.testing.assert_close(built(images), wanted[:, [3, 1]])
    encoder = make("transformers", num_classes=0, **given).model.eval()
    assert torch.equal(adapter.forward(encoder, images, (), True).embedding, output.embedding)
    student = make("transformers", teacher=False, num_classes=4, **given)
    assert student.model(images).shape == (2, 4)
    assert "knows 10 classes, the data has 4" in student.warnings[-1]


def test_its_images_and_classes_are_those_of_the_folder(save, make):
    _, folder = save(vit(labels=3, id2label={0: "cat", 1: "dog", 2: "owl"}))
    built = make("transformers", num_classes=3, path=str(folder))
    assert (built.input.mean, built.input.std, built.input.image_size) == (MEAN, STD, (SIDE, SIDE))
    assert built.input.interpolation == "bilinear"
    assert built.class_names == ("cat", "dog", "owl")
    assert built.warnings == ()
    assert (
        make("transformers", num_classes=3, path=str(folder), device="meta").class_names == built.class_names
    )


def test_labels_that_nobody_named_are_no_names(save, make):
    _, folder = save(vit())
    assert make("transformers", path=str(folder)).class_names is None


def test_without_preprocessing_it_warns(save, make):
    _, folder = save(vit(), preprocessor=False)
    (warning,) = make("transformers", path=str(folder)).warnings
    assert warning.startswith("teacher.options.path: the folder has no preprocessor_config.json")


def test_the_file_of_a_processor_of_images_and_texts_is_read(save, make):
    """`save_pretrained` of CLIP's processor writes this one only; transformers reads it before the other."""
    _, folder = save(vit())
    said = json.loads((folder / "preprocessor_config.json").read_text())
    nested = {"image_processor": said | {"image_mean": [0.7] * 3}, "processor_class": "CLIPProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    assert make("transformers", path=str(folder)).input.mean == (0.7,) * 3
    (folder / "preprocessor_config.json").unlink()
    built = make("transformers", path=str(folder))
    assert (built.input.mean, built.input.std, built.warnings) == ((0.7,) * 3, STD, ())
    # one of an earlier version has nothing about images
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert make("transformers", path=str(folder)).input.mean == MEAN


def test_a_vit_takes_another_size_as_transformers_does(save, make):
    model, folder = save(vit())
    built = make("transformers", path=str(folder), image_size=48)
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(built.model.eval()(images), model(images, interpolate_pos_encoding=True).logits)


def test_a_dinov2_has_the_size_of_its_preprocessing_and_takes_any(save, make):
    """Its configuration has the size of its training, 518, and its processor crops to 224."""
    model, folder = save(transformers.Dinov2Config(**{**TOKENS, "image_size": 64}, num_labels=CLASSES))
    built = make("transformers", path=str(folder))
    assert built.input.image_size == (SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(built.model.eval()(IMAGES), model(IMAGES).logits)


def test_a_clip_takes_its_own_size_only(save, make, problem):
    _, folder = save(config_of("clip"))
    assert make("transformers", path=str(folder)).input.image_size == (SIDE, SIDE)
    found = problem("transformers", path=str(folder), image_size=48, device="meta")
    assert found.where == "teacher.image_size"


def test_a_student_with_other_classes_gets_a_new_classifier(save, make):
    model, folder = save(vit())
    built = make("transformers", teacher=False, num_classes=4, image_size=SIDE, path=str(folder))
    assert "knows 10 classes, the data has 4" in built.warnings[0]
    assert built.model(IMAGES).shape == (2, 4)
    assert built.model.training
    key = "vit.embeddings.cls_token"
    assert torch.equal(built.model.state_dict()[key], model.state_dict()[key])


def test_a_teacher_with_other_classes_is_an_error(save, problem):
    _, folder = save(vit())
    found = problem("transformers", num_classes=4, path=str(folder), device="meta")
    assert found.where == "teacher.options.path"
    assert found.message == "the model knows 10 classes, the data has 4"


def test_without_classes_it_gives_its_embedding(save, make):
    model, folder = save(vit())
    built = make("transformers", num_classes=0, path=str(folder))
    with torch.no_grad():
        hidden = model.vit(IMAGES).last_hidden_state[:, 0]
        assert torch.equal(built.model.eval()(IMAGES), hidden)


def test_an_encoder_has_no_classifier(save, make, problem):
    _, folder = save(vit())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["ViTModel"]}))
    assert problem("transformers", path=str(folder)).message == "the model has no classifier, the data has 10"
    assert make("transformers", num_classes=0, path=str(folder)).warnings == ()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_folder_that_cannot_be_opened_is_a_problem_at_its_path(tmp_path, save, problem, device):
    _, folder = save(vit())
    whole = json.loads((folder / "config.json").read_text())

    def found():
        one = problem("transformers", path=str(folder), device=device)
        assert one.where == "teacher.options.path"
        return one.message

    for content, text in (
        (json.dumps(whole | {"model_type": "bert"}), "no image classifier of the kind 'bert'"),
        (json.dumps(whole | {"model_type": "nothing"}), "transformers cannot open it"),
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
    ):
        (folder / "config.json").write_text(content)
        assert text in found()
    (folder / "config.json").write_text(json.dumps(whole))
    (folder / "preprocessor_config.json").write_text('{"image_mean": 3}')
    assert "preprocessor_config.json cannot be read" in found()
    (folder / "preprocessor_config.json").unlink()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "opens no pickled weights" in found()
    (folder / "config.json").unlink()
    assert "the folder has no config.json" in found()


def test_code_in_the_folder_is_not_run(save, problem):
    _, folder = save(vit())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    assert "transformers cannot open it" in problem("transformers", path=str(folder)).message


def test_grey_images_are_refused(save, problem):
    _, folder = save(vit())
    assert "3 channels, not 1" in problem("transformers", in_chans=1, path=str(folder)).message


def test_missing_weights_are_named(save, problem):
    from safetensors.torch import load_file, save_file

    _, folder = save(vit())
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(key for key in weights if "classifier" not in key))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "weights are missing in the folder" in problem("transformers", path=str(folder)).message


@pytest.mark.parametrize("kind", ["Dinov2", "CLIP", "ViT"])
def test_a_saved_encoder_gives_its_embedding(kind, tmp_path, make):
    """Without a classifier in the folder; the weights have no prefix there."""
    config = config_of(kind.lower())
    with quiet(transformers):
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}Model")(config).eval()
        model.save_pretrained(tmp_path)
        built = make("transformers", num_classes=0, path=str(tmp_path))
    state = built.model.state_dict()
    shared = [
        key for key in state if key.split(".", 1)[-1] in model.state_dict() or key in model.state_dict()
    ]
    assert len(shared) == len(state)
    for key in shared:
        own = model.state_dict()
        assert torch.equal(state[key], own[key] if key in own else own[key.split(".", 1)[-1]]), key
    assert built.model.eval()(IMAGES).dim() == 2
