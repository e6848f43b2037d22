from __future__ import annotations

import sys
from types import ModuleType

import pytest
from torch import nn

from kdcore import AdapterEntry, UserError, hookimpl
from kdcore.features import PlainAdapter, TimmAdapter, find_adapter
from kdcore.plugins import Plugins
from kdcore.plugins.records import Candidate


class Own(TimmAdapter):
    pass


class Narrow(TimmAdapter):
    pass


class Incomplete:
    def stages(self, model, image_size):
        return ()


class WantsWidth(TimmAdapter):
    def __init__(self, width):
        self.width = width


class WithoutStages(TimmAdapter):
    def forward(self, model, images, embedding):
        raise AssertionError


@pytest.fixture
def installed(monkeypatch):
    """Plugins that declare the given adapters, found as installed ones are."""

    def install(**declared: list[AdapterEntry]) -> Plugins:
        target = ModuleType("adapters_under_test")
        for cls in (Own, Narrow, Incomplete, WantsWidth, WithoutStages):
            setattr(target, cls.__name__, cls)
        monkeypatch.setitem(sys.modules, target.__name__, target)
        candidates = []
        for name, entries in declared.items():
            module = ModuleType(f"plugin_{name}")
            module.kd_feature_adapters = declare(entries)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            candidates.append(Candidate(name, module.__name__, name, "1.0", "here"))
        plugins = Plugins.discover(candidates, disabled=(), strict=True)
        assert {info.status for info in plugins.infos} == {"loaded"}
        return plugins

    return install


def declare(entries):
    @hookimpl
    def kd_feature_adapters():
        return entries

    return kd_feature_adapters


def entry(name, target, *models):
    return AdapterEntry(name, "An adapter.", f"adapters_under_test:{target}", models)


RESNET = "timm.models.resnet:ResNet"


def test_timm_models_get_the_generic_one(installed, build):
    assert type(find_adapter(build("resnet10t"), None, installed(), "student.adapter")) is TimmAdapter


def test_declared_for_the_class(installed, build):
    plugins = installed(a=[entry("own", "Own", "some.where:Else", RESNET)])
    assert type(find_adapter(build("resnet10t"), None, plugins, "student.adapter")) is Own
    assert type(find_adapter(build("test_vit"), None, plugins, "student.adapter")) is TimmAdapter


def test_the_nearest_class_wins(installed, build):
    class Special(type(build("resnet10t"))):
        pass

    Special.__module__, Special.__qualname__ = "special", "Special"
    model = Special.__new__(Special)
    plugins = installed(
        a=[entry("own", "Own", RESNET)],
        b=[
            entry("narrow", "Narrow", "special:Special"),
            entry("all", "Own", "torch.nn.modules.module:Module"),
        ],
    )
    assert type(find_adapter(model, None, plugins, "student.adapter")) is Narrow
    assert type(find_adapter(model, None, installed(a=[entry("own", "Own", RESNET)]), "x")) is Own


def test_by_name(installed, build):
    plugins = installed(a=[entry("own", "Own")])
    for name in ("own", "a/own"):
        assert type(find_adapter(build("resnet10t"), name, plugins, "student.adapter")) is Own
    assert type(find_adapter(build("resnet10t"), "timm", plugins, "student.adapter")) is TimmAdapter


def test_unknown_name(installed, build):
    with pytest.raises(UserError) as caught:
        find_adapter(build("resnet10t"), "onw", installed(a=[entry("own", "Own")]), "student.adapter")
    assert caught.value.problems[0].where == "student.adapter"
    assert caught.value.problems[0].nearest == "own"


def test_two_for_one_class(installed, build):
    plugins = installed(a=[entry("own", "Own", RESNET)], b=[entry("narrow", "Narrow", RESNET)])
    with pytest.raises(
        UserError, match=r"two adapters are declared for timm.models.resnet:ResNet: a/own and b/narrow"
    ):
        find_adapter(build("resnet10t"), None, plugins, "student.adapter")
    assert type(find_adapter(build("resnet10t"), "narrow", plugins, "student.adapter")) is Narrow


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Incomplete", "does not have the methods 'stages' and 'forward'"),
        ("WantsWidth", r"adapters_under_test:WantsWidth cannot be called with no arguments: .*'width'"),
        (
            "WithoutStages",
            r"its forward cannot be called with \(model, images, stages, embedding\): too many .*",
        ),
    ],
)
def test_what_is_no_adapter(name, said, installed, build):
    plugins = installed(a=[entry("own", name, RESNET)])
    message = rf"^student\.adapter: adapter 'own' of plugin a 1\.0:? {said}"
    with pytest.raises(UserError, match=message):
        find_adapter(build("resnet10t"), None, plugins, "student.adapter")


def test_other_models_get_the_plain_one(installed):
    assert type(find_adapter(nn.Linear(2, 2), None, installed(), "student.adapter")) is PlainAdapter
