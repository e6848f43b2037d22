"""The first-party plugins together: distillers and adapters by name, between families, on 32-px images."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from kdcore import Distillation
from kdcore.commands.show.show import example
from kdcore.entries import DistillerEntry
from kdcore.plugins import get_plugins
from kdcore.run.preflight import check
from kdcore.spec.load import load_spec

# timm's names with the options that they need at 32 px, teacher and student
PAIRS = (
    ("resnet18", "mobilenetv2_050"),
    ("vit_tiny_patch16_224", "resnet10t"),
    ("resnet10t", "vit_tiny_patch16_224"),
    ("convnext_atto", "resnet10t"),
)
DISTILLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "fitnet": ("kd-feature", {}),
    "crd": ("kd-feature", {"negatives": 16}),
    "rkd": ("kd-feature", {}),
    "ofa": ("kd-ofa", {}),
}
CLASSES = 10


@cache
def _model(name: str, role: str) -> nn.Module:
    options = {"img_size": 32, "patch_size": 4, "depth": 6} if name.startswith("vit") else {}
    torch.manual_seed(0 if role == "teacher" else 1)
    model: nn.Module = timm.create_model(name, num_classes=CLASSES, **options)
    return model


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    teacher, student = request.param
    return _model(teacher, "teacher"), _model(student, "student").train()


@pytest.mark.parametrize("name", DISTILLERS)
def test_one_step_of_any_method_between_any_families(pair, name):
    distribution, options = DISTILLERS[name]
    loaded = {info.name for info in get_plugins().infos if info.status == "loaded"}
    if distribution not in loaded:
        pytest.skip(f"{distribution} is not installed")
    teacher, student = pair
    labels = torch.arange(64) % CLASSES
    distillation = Distillation(
        student,
        teacher,
        name,
        num_classes=CLASSES,
        image_size=32,
        train_size=len(labels),
        train_labels=labels,
        **options,
    )
    distillation.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(2)
    index = torch.tensor([3, 14, 15, 62])
    out = distillation(torch.randn(4, 3, 32, 32, generator=generator), labels[index], index=index)
    out.loss.backward()
    assert out.terms
    assert all(term.shape == () and term.isfinite() and term != 0 for term in out.terms.values())
    torch.testing.assert_close(out.loss, out.task_loss + sum(out.terms.values()))
    for parameter_name, parameter in distillation.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("name", [item.entry.name for item in get_plugins().all(DistillerEntry)])
def test_the_spec_that_kd_show_prints_can_be_run(name: str, tmp_path: Path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    plugins = get_plugins()
    provided = plugins.find(DistillerEntry, name, "")
    options = plugins.load_options(provided, "")().model_dump(mode="json")
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(example(provided.entry, options, name)))
    report = check(load_spec(path))
    assert report.num_classes == 10
