from __future__ import annotations

import pytest
import torch
from torch import nn

from kdcore import RunFailed, UserError
from kdcore.data.inputs import InputConfig
from kdcore.models import architecture as architectures
from kdcore.models import save_student

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def problem(caught):
    (found,) = caught.value.problems
    return found


def test_a_student(build):
    built = build("resnet10t", options={"drop_rate": 0.1})
    assert built.model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert built.model.drop_rate == 0.1
    assert built.name == "resnet10t"
    assert built.random_weights
    assert built.pretrained_tag is None
    assert built.input.image_size == (32, 32)


def test_its_own_input(build):
    own = build("resnet10t", image_size=None).input
    assert own.image_size == (176, 176)
    assert own.interpolation == "bicubic"
    assert (own.mean, own.std) == IMAGENET
    assert build("resnet10t", image_size=(32, 64)).input.image_size == (32, 64)


def test_grey_images(build):
    built = build("resnet10t", in_chans=1)
    assert built.model.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    assert built.input.mean == pytest.approx((0.449,))


def test_shapes_only(build):
    built = build("test_vit", device="meta")
    assert all(parameter.is_meta for parameter in built.model.parameters())
    assert build("test_vit", device="meta", pretrained=True).random_weights is False


def test_building_is_seeded(build):
    torch.manual_seed(1)
    first = build("resnet10t").model.state_dict()
    torch.manual_seed(1)
    second = build("resnet10t").model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fixed_input_sizes(build):
    built = build("deit_tiny_distilled_patch16_224", image_size=48, options={"depth": 1})
    assert built.model(torch.zeros(1, 3, 48, 48)).shape == (1, 10)


@pytest.mark.parametrize(
    ("model", "options", "place", "nearest"),
    [
        ("resnet10t", {"drop_rat": 0.1}, "drop_rat", "drop_rate"),
        ("test_vit", {"embed_dims": 3}, "embed_dims", "embed_dim"),
        ("mobilenetv2_035", {"stemsize": 3}, "stemsize", "stem_size"),
    ],
)
def test_unknown_options(build, model, options, place, nearest):
    with pytest.raises(UserError, match="has no such option") as caught:
        build(model, options=options)
    assert problem(caught).where == f"student.options.{place}"
    assert problem(caught).nearest == nearest


def test_options_that_the_architecture_fixes(build):
    with pytest.raises(UserError, match="mixer_s32_224 fixes this itself") as caught:
        build("mixer_s32_224", options={"patch_size": 4}, image_size=64)
    assert problem(caught).where == "student.options.patch_size"


def test_options_that_are_not_the_constructors(build):
    with pytest.raises(UserError) as caught:
        build("resnet10t", options={"num_classes": 5, "checkpoint_path": "x", "drop_rate": 0.1})
    assert {found.where for found in caught.value.problems} == {
        "student.options.num_classes",
        "student.options.checkpoint_path",
    }


def test_values_that_a_constructor_refuses(build):
    with pytest.raises(UserError, match="resnet10t cannot be built so: AssertionError") as caught:
        build("resnet10t", options={"output_stride": 7})
    assert problem(caught).where == "student.options"


def test_sizes_that_an_architecture_refuses(build):
    with pytest.raises(UserError) as caught:
        build("crossvit_9_240", image_size=32)
    assert problem(caught).where == "student.model"
    assert "cannot take images of 32x32 pixels" in problem(caught).message


def test_encoders(build):
    with pytest.raises(UserError, match="an encoder without a classifier"):
        build("qwen3_vit_88m_enc", device="meta", image_size=None)


def test_a_plugins_model_with_an_options_model(build, plugins):
    built = build("checked-net", known=plugins, options={"width": 7})
    assert (built.model.fc.in_features, built.model.fc.bias) == (7, None)
    assert build("checked-net", known=plugins).model.fc.in_features == 6
    with pytest.raises(UserError) as caught:
        build("checked-net", known=plugins, options={"widht": 7, "bias": 3})
    problems = {problem.where: problem for problem in caught.value.problems}
    assert problems.keys() == {"student.options.widht", "student.options.bias"}
    assert problems["student.options.widht"].nearest == "width"


def test_plugin_models(build, plugins):
    built = build("tiny-net", known=plugins, options={"width": 7}, image_size=None)
    assert built.model.fc.in_features == 7
    assert built.input == InputConfig((224, 224), *IMAGENET, "bicubic", 0.875)
    with pytest.raises(UserError, match="nets/tiny-net has no such option") as caught:
        build("tiny-net", known=plugins, options={"widht": 7})
    assert problem(caught).where == "student.options.widht"
    assert problem(caught).nearest == "width"
    with pytest.raises(UserError, match=r"returned int; it must return an nn\.Module"):
        build("no-model", known=plugins)
    with pytest.raises(UserError, match="is not a model of timm") as caught:
        build("tiny-net", known=plugins, pretrained=True)
    assert problem(caught).where == "student.pretrained"
    with pytest.raises(UserError, match="no known variant of nets/tiny-net"):
        build("tiny-net", known=plugins, small_input=True)


class TestPretrained:
    def test_other_classes_in_a_teacher(self, build):
        with pytest.raises(
            UserError, match="resnet18: the weights know 1000 classes, the data has 10"
        ) as caught:
            build("resnet18", teacher=True, pretrained=True, device="meta")
        assert problem(caught).where == "teacher.pretrained"

    def test_other_classes_in_a_student(self, build):
        built = build("resnet18", pretrained=True, device="meta")
        assert "1000 classes, the data has 10: the classifier starts" in built.warnings[0]
        assert built.pretrained_tag == "a1_in1k"
        assert not built.random_weights

    def test_the_same_classes(self, build):
        built = build(
            "resnet18", teacher=True, pretrained=True, num_classes=1000, device="meta", image_size=224
        )
        assert built.warnings == ()

    def test_none_there(self, build):
        with pytest.raises(UserError, match="timm has no pretrained weights of coatnet_0_224"):
            build("coatnet_0_224", pretrained=True, device="meta", image_size=None)

    def test_wrong_options_are_told_before_the_download(self, build):
        with pytest.raises(UserError, match="has no such option"):
            build("resnet10t", pretrained=True, options={"drop_rat": 0.1})

    def _timm_that(self, monkeypatch, behave):
        create = architectures.timm.create_model

        def fake(name, pretrained=False, **arguments):
            model = create(name, pretrained=False, **arguments)
            return behave(model) if pretrained else model

        monkeypatch.setattr(architectures.timm, "create_model", fake)

    def test_no_network(self, build, monkeypatch):
        def fail(model):
            raise ConnectionError("Name or service not known")

        self._timm_that(monkeypatch, fail)
        with pytest.raises(RunFailed, match="weights of resnet10t could not be downloaded: Name or service"):
            build("resnet10t", pretrained=True)

    def test_weights_that_do_not_fit(self, build, monkeypatch):
        def fail(model):
            raise RuntimeError("Error(s) in loading state_dict")

        self._timm_that(monkeypatch, fail)
        with pytest.raises(UserError, match="do not fit this model: Error"):
            build("resnet10t", pretrained=True)

    def test_a_new_classifier_has_weights_of_torchs_size(self, build, monkeypatch):
        self._timm_that(monkeypatch, lambda model: model)
        new = build("mobilenetv2_100", pretrained=True, num_classes=10)
        assert new.warnings
        classifier = new.model.classifier
        assert classifier.weight.std(correction=0).item() == pytest.approx((3 * 1280) ** -0.5, rel=1e-5)
        scratch = build("mobilenetv2_100", num_classes=10).model.classifier
        assert scratch.weight.abs().max().item() == pytest.approx(10**-0.5, rel=1e-2)  # as timm has it

    def test_small_input_keeps_what_was_learnt(self, build, monkeypatch):
        def learnt(model):
            for parameter in model.parameters():
                nn.init.constant_(parameter, 0.25)
            return model

        self._timm_that(monkeypatch, learnt)
        model = build("resnet10t", pretrained=True, small_input=True).model
        assert model.conv1[0].stride == (1, 1)
        assert all((parameter == 0.25).all() for parameter in model.parameters())


class TestRunDirectory:
    @pytest.fixture
    def run(self, build, tmp_path, no_plugins):
        """A run directory with a small-input ResNet, normalised in its own way."""
        torch.manual_seed(0)
        built = build("resnet10t", small_input=True, options={"drop_rate": 0.1})
        own = InputConfig((24, 24), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", 0.9)
        save_student(
            built.model,
            tmp_path / "student",
            model_name="resnet10t",
            num_classes=10,
            input=own,
            options=built.options,
            small_input=True,
            class_names=None,
            plugins=no_plugins,
        )
        return tmp_path, built.model, own

    @pytest.mark.parametrize("below", ["", "student"])
    def test_knows_all_about_its_model(self, build, run, below):
        path, model, own = run
        built = build(None, teacher=True, checkpoint=str(path / below), image_size=None)
        assert built.input == own
        assert built.name == "resnet10t"
        assert built.small_input
        assert built.options == {"drop_rate": 0.1}
        assert not built.random_weights
        images = torch.randn(2, 3, 24, 24)
        assert torch.equal(built.model.eval()(images), model.eval()(images))

    def test_the_spec_may_change_size_and_options(self, build, run):
        path, _, own = run
        built = build("resnet10t", checkpoint=str(path), image_size=32, options={"drop_rate": 0.3})
        assert built.input.image_size == (32, 32)
        assert built.input.mean == own.mean
        assert built.model.drop_rate == 0.3

    def test_another_model(self, build, run):
        with pytest.raises(UserError, match="holds another model") as caught:
            build("resnet18", checkpoint=str(run[0]))
        assert problem(caught).where == "student.model"
        assert "'resnet10t'" in problem(caught).allowed

    def test_other_classes(self, build, run):
        with pytest.raises(UserError, match="knows 10 classes, the data has 7"):
            build("resnet10t", teacher=True, checkpoint=str(run[0]), num_classes=7)
        built = build("resnet10t", checkpoint=str(run[0]), num_classes=7)
        assert "knows 10 classes, the data has 7" in built.warnings[0]

    def test_shapes_only(self, build, run):
        built = build("resnet10t", checkpoint=str(run[0]), device="meta")
        assert not built.random_weights
        with pytest.raises(UserError, match="knows 10 classes"):
            build("resnet10t", teacher=True, checkpoint=str(run[0]), num_classes=7, device="meta")

    def test_weights_may_be_left_unopened(self, build, run):
        (run[0] / "student" / "model.safetensors").write_bytes(b"")
        assert not build("resnet10t", checkpoint=str(run[0]), load_weights=False).random_weights


def test_a_model_must_be_named(build, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        build(None, teacher=True, checkpoint=str(weights))
    assert problem(caught).where == "teacher.model"


@pytest.mark.parametrize(
    ("model", "size", "small", "words"),
    [
        ("resnet10t", 32, False, ("1x1 at 32x32 px", '"small_input": true')),
        ("test_vit", 32, False, ("sees 32x32 px as 2x2 patches only", '"small_input": true')),
        ("regnetx_002", 32, False, ("1x1 at 32x32 px", "no 'small_input' variant")),
        ("mobilenetv2_035", 16, True, ("1x1 at 16x16 px", "larger images")),
    ],
)
def test_warns_of_inputs_that_leave_nothing(build, model, size, small, words):
    (warning,) = build(model, image_size=size, small_input=small, device="meta").warnings
    assert warning.startswith("student: ")
    assert all(word in warning for word in words)


@pytest.mark.parametrize(
    ("model", "size", "small"),
    [("resnet10t", 64, False), ("resnet10t", 32, True), ("test_vit", 48, False), ("test_vit", 32, True)],
)
def test_does_not_warn_of_others(build, model, size, small):
    assert build(model, image_size=size, small_input=small, device="meta").warnings == ()
