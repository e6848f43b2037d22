from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from kdcore import FeatureMap, ModelOutput, StageInfo, UserError
from kdcore.features import PlainAdapter, TimmAdapter, model_info


def test_what_it_tells(build):
    model = build("resnet10t")
    info = model_info("resnet10t", model, TimmAdapter(), (32, 64), 3)
    assert info.name == "resnet10t"
    assert info.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert info.classifier is model.fc
    assert info.embedding_dim == 512
    assert info.stages == (
        StageInfo(1, 64, (8, 16)),
        StageInfo(2, 128, (4, 8)),
        StageInfo(3, 256, (2, 4)),
        StageInfo(4, 512, (1, 2)),
    )
    assert info.stage(3) == info.stages[2]
    assert info.stage("layer2.0.conv1") == StageInfo("layer2.0.conv1", 128, (4, 8))
    assert info.stage("fc") == StageInfo("fc", 10, (1, 1))


def test_tokens(build):
    info = model_info("deit", build("deit_tiny_distilled_patch16_224"), TimmAdapter(), (32, 32), 3)
    assert info.stages[0] == StageInfo(1, 192, (4, 4), 2)
    assert info.stage("blocks.2") == StageInfo("blocks.2", 192, (4, 4), 2)
    assert info.classifier is build("deit_tiny_distilled_patch16_224").head


def test_published_shapes_at_224():
    """The table of the OFA-KD paper's models: channels and grids at 224 px."""
    known = {
        "resnet50": [(256, 56), (512, 28), (1024, 14), (2048, 7)],
        "convnext_tiny": [(96, 56), (192, 28), (384, 14), (768, 7)],
        "mobilenetv2_100": [(24, 56), (32, 28), (96, 14), (320, 7)],
        "swin_tiny_patch4_window7_224": [(96, 56), (192, 28), (384, 14), (768, 7)],
        "vit_base_patch16_224": [(768, 14)] * 4,
        "mixer_b16_224": [(768, 14)] * 4,
    }
    for name, expected in known.items():
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=10)
        stages = model_info(name, model, TimmAdapter(), (224, 224), 3).stages
        assert [(stage.channels, *stage.grid) for stage in stages] == [(c, g, g) for c, g in expected]


def test_is_lazy():
    class Broken(nn.Module):
        def forward(self, images):
            raise AssertionError

    info = model_info("broken", Broken(), PlainAdapter(), (8, 8), 3)
    assert info.num_parameters == 0
    assert info.classifier is None


def test_errors_name_the_model(build):
    info = model_info("the student", build("resnet10t"), TimmAdapter(), (32, 32), 3)
    with pytest.raises(UserError) as caught:
        info.stage("layer9")
    assert caught.value.problems[0].where == "the student"
    with pytest.raises(UserError, match="is not a timm model"):
        _ = model_info("net", nn.Flatten(), PlainAdapter(), (8, 8), 3).embedding_dim


def test_leaves_no_hooks_and_no_mode(build):
    model = build("resnet10t").train()
    try:
        info = model_info("resnet10t", model, TimmAdapter(), (32, 32), 3)
        assert info.stage("layer1").channels == 64
        assert info.embedding_dim == 512
        assert not any(module._forward_hooks for module in model.modules())
        assert all(module.training for module in model.modules())
    finally:
        model.eval()


class TwoStages:
    """An adapter of a network with two levels, which announces shapes that are not its maps'."""

    def stages(self, model, image_size):
        return (StageInfo(1, 99, (9, 9)), StageInfo(2, 99, (9, 9)))

    def forward(self, model, images, stages, embedding):
        first = model[0](images)
        maps = {1: first, 2: model[1](first)}
        logits = model[2](maps[2].mean((2, 3)))
        return ModelOutput(logits, {stage: FeatureMap(maps[stage]) for stage in stages})


def test_an_adapter_may_serve_fewer_stages_and_shapes_are_seen_not_believed():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1), nn.Linear(6, 5))
    info = model_info("two", model, TwoStages(), (16, 24), 3)
    assert info.stage(2) == StageInfo(2, 6, (4, 6))
    with pytest.raises(UserError, match="has no stage 3") as caught:
        info.stage(3)
    assert caught.value.problems[0].allowed == "stages 1, 2"


def two_stages(forward):
    """A small network seen through an adapter with this `forward`."""
    adapter = type("Two", (TwoStages,), {"forward": forward})()
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1), nn.Linear(6, 5))
    model.forward = lambda images: TwoStages().forward(model, images, (), False).logits
    return model_info("two", model, adapter, (16, 24), 3)


def of_first(change):
    return lambda output: replace(output, features={1: change(output.features[1])})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda output: (output.logits, output.features),
            "returned tuple; it must return a kdcore.ModelOutput",
        ),
        (lambda output: replace(output, logits=None), "gave None as logits"),
        (lambda output: replace(output, features=[*output.features.values()]), "gave its maps as list"),
        (
            lambda output: replace(output, features={}),
            r"no map of stage 1, which stages\(\) .* those of: none",
        ),
        (
            of_first(lambda one: one.map),
            r"stage 1 a tensor of shape \[2, 4, 8, 12\]; it must be a kdcore.FeatureMap",
        ),
        (
            of_first(lambda one: FeatureMap(one.map.flatten(2))),
            r"\[2, 4, 96\]; for 2 images \[2, C, H, W\] is required",
        ),
        (
            of_first(lambda one: FeatureMap(one.map[:1])),
            r"\[1, 4, 8, 12\]; for 2 images \[2, C, H, W\] is required",
        ),
        (
            of_first(lambda one: FeatureMap(one.map, one.map)),
            r"a prefix that is .*; for 2 images \[2, P, C\]",
        ),
    ],
)
def test_an_adapter_that_gives_something_else_is_named(change, said):
    info = two_stages(lambda self, *given: change(TwoStages.forward(self, *given)))
    with pytest.raises(UserError, match=rf"^two: adapter Two: forward\(\) .*{said}"):
        info.stage(1)


def test_an_adapter_without_the_embedding_or_with_a_bug_is_named():
    said = r"forward\(\) gave NoneType as embedding; for 2 images \[2, D\] is required"
    with pytest.raises(UserError, match=said):
        _ = two_stages(TwoStages.forward).embedding_dim

    def forward(self, model, images, stages, embedding):
        raise KeyError("trunk")

    said = r"^two: adapter Two fails for Sequential with images of 16x24 pixels and 3 channels: KeyError: 'trunk'"
    with pytest.raises(UserError, match=said):
        two_stages(forward).stage(1)


def test_a_model_that_fails_alone_too_is_not_the_adapters_fault():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1), nn.Linear(6, 5))
    with pytest.raises(UserError, match="Sequential cannot take images of 16x24 pixels with 3 channels"):
        model_info("two", model, TwoStages(), (16, 24), 3).stage(1)


def test_a_subclass_of_the_generic_adapter_that_announces_other_shapes_is_probed(build):
    class Announces(TimmAdapter):
        def stages(self, model, image_size):
            return tuple(StageInfo(stage, 99, (9, 9)) for stage in (1, 2, 3, 4))

    info = model_info("resnet10t", build("resnet10t"), Announces(), (32, 32), 3)
    assert [stage.channels for stage in info.stages] == [64, 128, 256, 512]


def test_the_generic_adapters_stages_are_probed_once(build):
    class Counting(TimmAdapter):
        passes = 0

        def forward(self, *args, **kwargs):
            Counting.passes += 1
            return super().forward(*args, **kwargs)

    info = model_info("resnet10t", build("resnet10t"), Counting(), (32, 32), 3)
    assert [stage.channels for stage in info.stages] == [64, 128, 256, 512]
    assert Counting.passes == 1


def test_a_module_by_its_path(build):
    model = build("resnet10t")
    info = model_info("student", model, TimmAdapter(), (32, 32), 3)
    assert info.module("layer4.0.bn2") is model.layer4[0].bn2
    with pytest.raises(UserError, match=r"has no module .layer4\.0\.bn9.") as caught:
        info.module("layer4.0.bn9")
    (problem,) = caught.value.problems
    assert (problem.where, problem.nearest) == ("student", "layer4.0.bn2")
