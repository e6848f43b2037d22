from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field
from torch import nn

from kdcore import ModelEntry, Options, hookimpl
from kdcore.models import BuiltModel, build_model
from kdcore.plugins import Plugins
from kdcore.plugins.records import Candidate
from kdcore.spec.models import ModelSpec, TeacherSpec


class TinyNet(nn.Module):
    """A plugin's model: not timm's, with two options."""

    def __init__(self, num_classes: int, in_chans: int, width: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.features = nn.Conv2d(in_chans, width, 3, 2, 1)
        self.fc = nn.Linear(width, num_classes, bias=bias)

    def forward(self, images):
        return self.fc(self.features(images).mean((2, 3)))


class TinyOptions(Options):
    """What a spec may say of it."""

    width: int = Field(default=6, ge=1, description="Channels.")
    bias: bool = Field(default=False, description="Of the classifier.")


@pytest.fixture
def plugins(monkeypatch) -> Plugins:
    """kdcore's own things, and a plugin 'nets' with the models 'tiny-net', 'no-model' and 'resnet10t'."""
    home, plugin = ModuleType("nets_under_test"), ModuleType("plugin_nets")
    home.TinyNet, home.no_model = TinyNet, lambda num_classes, in_chans: 3
    home.TinyOptions = TinyOptions

    @hookimpl
    def kd_models():
        return [
            ModelEntry("tiny-net", "A net.", "nets_under_test:TinyNet"),
            ModelEntry("no-model", "Not a net.", "nets_under_test:no_model"),
            ModelEntry(
                "checked-net", "With options.", "nets_under_test:TinyNet", "nets_under_test:TinyOptions"
            ),
            ModelEntry("resnet10t", "Not timm's.", "nets_under_test:TinyNet"),
        ]

    plugin.kd_models = kd_models
    for module in (home, plugin):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return Plugins.discover(
        [Candidate("nets", "plugin_nets", "nets", "1.0", "here")], disabled=(), strict=True
    )


@pytest.fixture
def no_plugins() -> Plugins:
    return Plugins.discover([], disabled=(), strict=True)


@pytest.fixture
def build(no_plugins) -> Callable[..., BuiltModel]:
    """Build a student (or, with teacher=True, a teacher) for 10 classes at 32 px from the keys of its section."""

    def call(
        model: str | None,
        *,
        teacher: bool = False,
        num_classes: int = 10,
        in_chans: int = 3,
        image_size: Any = 32,
        device: str = "cpu",
        load_weights: bool = True,
        fallback_size: int | None = None,
        known: Plugins | None = None,
        **section: Any,
    ) -> BuiltModel:
        kind = TeacherSpec if teacher else ModelSpec
        return build_model(
            kind.model_validate({"model": model, **section}),
            num_classes=num_classes,
            in_chans=in_chans,
            image_size=image_size,
            plugins=known or no_plugins,
            where="teacher" if teacher else "student",
            device=device,
            load_weights=load_weights,
            fallback_size=fallback_size,
            keep_classifier=teacher,
        )

    return call
