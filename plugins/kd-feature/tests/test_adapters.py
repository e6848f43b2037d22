"""Each adapter against timm's own forward pass and hooks on the modules that the papers take."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from kd_feature.adapters.declared import ADAPTERS
from timm.models.mlp_mixer import MlpMixer, ResBlock
from torch import Tensor, nn

from kdcore import FeatureAdapter, TimmAdapter
from kdcore.entries import AdapterEntry
from kdcore.features import find_adapter
from kdcore.models import build_model
from kdcore.plugins import get_plugins
from kdcore.plugins.known import known_names
from kdcore.plugins.roles import ROLES
from kdcore.spec.models import ModelSpec

if TYPE_CHECKING:
    pass

STAGES = (1, 2, 3, 4)
Size = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A small model, the modules whose outputs are its stages, and in what layout these are."""

    adapter: str
    name: str
    paths: tuple[str, str, str, str]
    options: dict[str, Any] = field(default_factory=dict)
    layout: str = "BCHW"
    sizes: tuple[Size, Size] = ((32, 32), (32, 64))
    sized: bool = False  # built for one input size
    classifier: str = "head"
    prefix: int = 0

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        own = {key: value for key, value in self.options.items() if key not in TINY | TINY_SWIN | TINY_RESMLP}
        return "-".join([self.name, *(f"{key}={value}" for key, value in own.items())])


RESNET = ("layer1", "layer2", "layer3", "layer4")
CONVNEXT = ("stages.0", "stages.1", "stages.2", "stages.3")
MOBILENETV2 = ("blocks.1", "blocks.2", "blocks.4", "bn2")  # OFA-KD's 24, 32, 96, 1280 channels
SWIN = ("layers.0", "layers.1", "layers.2", "layers.3")
OF_12 = ("blocks.1", "blocks.3", "blocks.9", "blocks.11")
OF_24 = ("blocks.3", "blocks.7", "blocks.19", "blocks.23")
TINY: dict[str, Any] = {"embed_dim": 24, "num_heads": 3, "patch_size": 8, "dynamic_img_size": True}
TINY_MIXER: dict[str, Any] = {"num_blocks": 12, "embed_dim": 24, "patch_size": 8}
TINY_RESMLP: dict[str, Any] = {
    "num_blocks": 24,
    "embed_dim": 24,
    "patch_size": 8,
    "block_layer": ResBlock,
    "mlp_ratio": 4,
}
TINY_SWIN: dict[str, Any] = {
    "embed_dim": 12,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 3, 4),
    "window_size": 4,
}

CASES = (
    Case("resnet", "resnet10t", RESNET, classifier="fc"),
    Case("resnet", "test_resnet", RESNET, {"output_stride": 8}, classifier="fc"),
    Case("convnext", "test_convnext", CONVNEXT, classifier="head.fc"),
    Case("convnext", "test_convnext2", CONVNEXT, {"patch_size": 1}, classifier="head.fc"),
    Case("mobilenetv2", "mobilenetv2_035", MOBILENETV2, classifier="classifier"),
    Case(
        "mobilenetv2",
        "test_efficientnet",
        ("blocks.1", "blocks.2", "blocks.3", "bn2"),
        {"output_stride": 16},
        classifier="classifier",
    ),
    Case("vit", "vit_tiny_patch16_224", OF_12, TINY, "BNC", prefix=1),
    Case("vit", "vit_tiny_patch16_224", OF_24, {**TINY, "depth": 24, "reg_tokens": 4}, "BNC", prefix=5),
    Case("vit", "vit_tiny_patch16_224", OF_12, {**TINY, "class_token": False, "global_pool": "avg"}, "BNC"),
    Case("vit", "deit_tiny_distilled_patch16_224", OF_12, TINY, "BNC", prefix=2),
    Case("swin", "swin_tiny_patch4_window7_224", SWIN, TINY_SWIN, "BHWC", sized=True, classifier="head.fc"),
    Case("swin", "swinv2_tiny_window8_256", SWIN, TINY_SWIN, "BHWC", sized=True, classifier="head.fc"),
    Case("mixer", "mixer_b16_224", OF_12, TINY_MIXER, "BNC", sized=True),
    Case("mixer", "resmlp_24_224", OF_24, TINY_RESMLP, "BNC", sized=True),
)
FIRSTS = tuple(next(case for case in CASES if case.adapter == entry.name) for entry in ADAPTERS)


@cache
def _build(case: Case, size: Size) -> nn.Module:
    options = {**case.options, **({"img_size": size} if case.sized else {})}
    torch.manual_seed(0)
    options |= {"num_classes": 7, "drop_rate": 0.2}
    # timm's names of mixers fix their size
    model: nn.Module = (
        MlpMixer(**options) if case.adapter == "mixer" else timm.create_model(case.name, **options)
    )
    for parameter in model.parameters():
        if parameter.dim() <= 1:  # zero-initialised branches and tiny layer scales would hide a mismatch
            nn.init.normal_(parameter, 1.0, 0.1)
    return model


def _built(case: Case, size: Size | None = None) -> tuple[nn.Module, Tensor]:
    size = size or case.sizes[0]
    model = _build(case, size)
    model.zero_grad(set_to_none=True)
    return model.eval(), torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def _adapter(case: Case) -> FeatureAdapter:
    (entry,) = [entry for entry in ADAPTERS if entry.name == case.adapter]
    module, _, name = entry.target.partition(":")
    adapter: FeatureAdapter = getattr(import_module(module), name)()
    return adapter


def _outputs(model: nn.Module, paths: tuple[str, ...], images: Tensor) -> list[Tensor]:
    kept: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            lambda module, args, out, path=path: kept.update({path: out.clone()})
        )
        for path in paths
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return [kept[path] for path in paths]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    given: Case = request.param
    return given


def test_the_declared_names_are_those_that_the_core_points_to():
    known = {
        name
        for name, distribution in known_names(ROLES[AdapterEntry]).items()
        if distribution == "kd-feature"
    }
    assert {entry.name for entry in ADAPTERS} == known


@pytest.mark.parametrize("entry", ADAPTERS, ids=lambda entry: entry.name)
def test_the_classes_that_are_served_exist(entry):
    for dotted in entry.models:
        module, _, name = dotted.partition(":")
        assert issubclass(getattr(import_module(module), name), nn.Module)


def test_found_by_class_by_subclass_and_by_name(case):
    plugins, expected = get_plugins(), type(_adapter(case))
    with torch.device("meta"):
        model = timm.create_model(case.name)
    assert type(find_adapter(model, None, plugins, "student.adapter")) is expected
    model.__class__ = type("Own", (type(model),), {})
    assert type(find_adapter(model, None, plugins, "student.adapter")) is expected
    assert type(find_adapter(model, case.adapter, plugins, "student.adapter")) is expected
    assert type(find_adapter(model, "timm", plugins, "student.adapter")) is TimmAdapter


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_logits_are_the_models_own(case, training):
    model, images = _built(case)
    state = copy.deepcopy(model.state_dict())
    model.train(training)
    with torch.no_grad():
        torch.manual_seed(5)
        output = _adapter(case).forward(model, images, STAGES, True)
        model.load_state_dict(state)  # batch norm's statistics moved
        torch.manual_seed(5)
        expected = model(images)
    model.load_state_dict(state)
    assert torch.equal(output.logits, expected)
    assert torch.isfinite(expected).all()
    assert output.logits.shape == (2, 7)


@pytest.mark.parametrize("which", [0, 1], ids=["small", "oblong"])
def test_stages_are_the_papers_in_shape_and_value(case, which):
    size = case.sizes[which]
    model, images = _built(case, size)
    adapter = _adapter(case)
    announced = adapter.stages(model, size)
    with torch.no_grad():
        features = adapter.forward(model, images, STAGES, False).features
    assert [info.stage for info in announced] == list(STAGES)
    for info, expected in zip(announced, _outputs(model, case.paths, images), strict=True):
        feature = features[info.stage]
        rows, columns = info.grid
        assert feature.map.shape == (2, info.channels, rows, columns)
        assert info.prefix_tokens == case.prefix
        assert rows * size[1] == columns * size[0]
        if case.layout == "BNC":
            assert expected.shape == (2, case.prefix + rows * columns, info.channels)
            for row, column in ((0, 0), (0, 1), (1, 0), (rows - 1, columns - 1)):
                token = expected[:, case.prefix + row * columns + column]
                assert torch.equal(feature.map[:, :, row, column], token)
        else:
            where = [case.layout.index(axis) for axis in "BCHW"]
            assert torch.equal(feature.map, expected.permute(where))
        if case.prefix:
            assert torch.equal(feature.prefix, expected[:, : case.prefix])
        else:
            assert feature.prefix is None


def test_mobilenetv1_has_no_last_convolution():
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv1_100", num_classes=7).eval()
    images = torch.randn(1, 3, 32, 32)
    adapter = find_adapter(model, "mobilenetv2", get_plugins(), "student.adapter")
    with torch.no_grad():
        feature = adapter.forward(model, images, (4,), False).features[4]
    assert torch.equal(feature.map, _outputs(model, ("blocks.4",), images)[0])


def test_one_stage_alone_is_the_same(case):
    model, images = _built(case)
    adapter = _adapter(case)
    with torch.no_grad():
        whole = adapter.forward(model, images, STAGES, False).features
        for stage in STAGES:
            alone = adapter.forward(model, images, (stage,), False).features
            assert list(alone) == [stage]
            assert torch.equal(alone[stage].map, whole[stage].map)


def test_gradients_reach_every_parameter_from_logits_and_maps(case):
    model, images = _built(case)
    output = _adapter(case).forward(model, images, STAGES, True)
    (output.logits.square().mean() + sum(f.map.square().mean() for f in output.features.values())).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    model.zero_grad(set_to_none=True)
    _adapter(case).forward(model, images, (4,), False).features[4].map.square().mean().backward()
    first = next(parameter for name, parameter in model.named_parameters() if name.endswith("weight"))
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_embedding_is_what_enters_the_classifier(case):
    """In training mode, where dropout makes each pass another."""
    model, images = _built(case)
    state = copy.deepcopy(model.state_dict())
    seen: list[Tensor] = []
    handle = model.get_submodule(case.classifier).register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    model.train()
    with torch.no_grad():
        torch.manual_seed(3)
        model(images)
        handle.remove()
        model.load_state_dict(state)
        torch.manual_seed(3)
        output = _adapter(case).forward(model, images, (), True)
    model.load_state_dict(state)
    assert torch.equal(output.embedding, seen[0])


@pytest.mark.parametrize("first", FIRSTS, ids=lambda case: case.adapter)
def test_copied_and_under_autocast(first):
    shallow = {"vit": {"depth": 4}, "mixer": {"num_blocks": 4}, "swin": {"depths": (1, 1, 1, 1)}}
    model, images = _built(replace(first, options=first.options | shallow.get(first.adapter, {})))
    adapter, twin = _adapter(first), copy.deepcopy(model)
    with torch.no_grad():
        expected = adapter.forward(model, images, STAGES, True)
        output = adapter.forward(twin, images, STAGES, True)
        assert torch.equal(output.logits, expected.logits)
        assert torch.equal(output.embedding, expected.embedding)
        for stage in STAGES:
            assert torch.equal(output.features[stage].map, expected.features[stage].map)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(adapter.forward(model, images, STAGES, True).logits, model(images))


@pytest.mark.parametrize(
    ("name", "adapter", "grids", "channels"),
    [
        ("resnet18", "resnet", [32, 16, 8, 4], [64, 128, 256, 512]),
        ("convnext_atto", "convnext", [32, 16, 8, 4], [40, 80, 160, 320]),
        ("mobilenetv2_100", "mobilenetv2", [16, 8, 4, 2], [24, 32, 96, 1280]),
        ("vit_tiny_patch16_224", "vit", [8, 8, 8, 8], [192] * 4),
        ("swin_tiny_patch4_window7_224", "swin", [16, 8, 4, 2], [96, 192, 384, 768]),
    ],
)
def test_small_input_variants(name, adapter, grids, channels):
    built = build_model(
        ModelSpec(model=name, small_input=True),
        num_classes=10,
        in_chans=3,
        image_size=(32, 32),
        plugins=get_plugins(),
        where="student",
        device="meta",
    )
    (entry,) = [entry for entry in ADAPTERS if entry.name == adapter]
    module, _, target = entry.target.partition(":")
    stages = getattr(import_module(module), target)().stages(built.model, (32, 32))
    assert [info.grid for info in stages] == [(side, side) for side in grids]
    assert [info.channels for info in stages] == channels


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet18", [(64, 56), (128, 28), (256, 14), (512, 7)]),
        ("resnet50", [(256, 56), (512, 28), (1024, 14), (2048, 7)]),
        ("convnext_tiny", [(96, 56), (192, 28), (384, 14), (768, 7)]),
        ("convnext_base", [(128, 56), (256, 28), (512, 14), (1024, 7)]),
        ("mobilenetv2_100", [(24, 56), (32, 28), (96, 14), (1280, 7)]),
        ("vit_small_patch16_224", [(384, 14)] * 4),
        ("deit_tiny_patch16_224", [(192, 14)] * 4),
        ("swin_tiny_patch4_window7_224", [(96, 56), (192, 28), (384, 14), (768, 7)]),
        ("mixer_b16_224", [(768, 14)] * 4),
        ("resmlp_12_224", [(384, 14)] * 4),
    ],
)
def test_shapes_that_ofa_publishes(name, shapes):
    """The tables of the authors' code for 224-px images, written as channels and side."""
    with torch.device("meta"):
        model = timm.create_model(name)
    stages = find_adapter(model, None, get_plugins(), "student.adapter").stages(model, (224, 224))
    assert [(info.channels, info.grid) for info in stages] == [(c, (side, side)) for c, side in shapes]


def test_the_readme_names_the_adapters():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Feature adapters\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == [entry.name for entry in ADAPTERS]
