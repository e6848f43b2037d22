"""Which parts of a model are put together at a time, and what cannot be spread; the rest is in test_processes.py."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from kdcore import UserError, run
from kdcore.run.accelerator import make_accelerator
from kdcore.run.sharding import blocks
from kdcore.spec.models import RunSpec


def _names(model: nn.Module, whole: list[nn.Parameter] | None = None) -> list[str]:
    names = {module: name for name, module in model.named_modules()}
    return [names[block] for block in blocks(model, whole or [])]


def test_blocks_of_timm_models():
    with torch.device("meta"):
        assert _names(timm.create_model("vit_tiny_patch16_224", depth=2)) == ["blocks.0", "blocks.1"]
        resnet = _names(timm.create_model("resnet10t"))
        assert resnet == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
        convnext = _names(timm.create_model("convnext_atto"))
    # inner blocks come first: what is left of a stage is put together after them
    assert convnext.index("stages.0.blocks.0") < convnext.index("stages.0")


def test_shared_and_excepted_parameters_stay_outside():
    block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.Module()
    model.blocks = nn.ModuleList([_Block(), _Block(), _Block()])
    assert _names(model) == ["blocks.0", "blocks.1", "blocks.2"]
    model.tied = model.blocks[0].layer  # one weight in two places
    assert _names(model) == ["blocks.1", "blocks.2"]
    assert _names(model, [model.blocks[1].layer.weight]) == ["blocks.2"]
    assert _names(block) == []


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def test_a_single_number_cannot_be_spread(spec_file, monkeypatch):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

    make = timm.create_model

    def with_scale(*args, **options):
        model = make(*args, **options)
        model.extra = Scaled()
        return model

    monkeypatch.setattr(timm, "create_model", with_scale)
    with pytest.raises(UserError, match=r"'extra.scale' is a single number, which cannot be sharded"):
        run(spec_file("one", train={"fsdp": "student"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"fsdp": "student+teacher"}}, "there is no teacher to spread"),
        (
            {
                "train": {"fsdp": "student+teacher"},
                "teacher": {"model": "resnet10t"},
                "distiller": "kd",
                "teacher_cache": {"augmentations": 2},
            },
            "ask the teacher at different times",
        ),
        ({"train": {"fsdp": "teacher"}}, "train.fsdp"),
    ],
)
def test_specs_that_cannot_be(spec_file, changes, message):
    with pytest.raises(UserError, match=message):
        run(spec_file("bad", **changes))


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_what_accelerate_is_told_beside_the_spec_is_refused(monkeypatch, name):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    with pytest.raises(UserError, match=rf"(?s)ACCELERATE_USE_{name}.*train.fsdp"):
        make_accelerator(RunSpec.model_validate({"student": {"model": "resnet18"}, "distiller": "vanilla"}))
