from __future__ import annotations

import pytest

from kdcore.entries import DistillerEntry, RecipeEntry
from kdcore.errors import UserError
from kdcore.plugins import Plugins
from kdcore.spec.recipes import read_recipe

DECLARES = """
@hookimpl
def kd_distillers():
    return [DistillerEntry(name="red", kind="logit", summary="S.", target={target!r}, options={options!r})]
"""


@pytest.fixture
def red(site):
    """A distiller with this target and options model, and the plugins that know it."""

    def make(target="kd_fox_code:Red", options="kd_fox_code:Options", code="Red = 5\nOptions = 6"):
        site.plugin("kd-fox", DECLARES.format(target=target, options=options))
        site.module("kd_fox_code", code)
        plugins = site.discover()
        return plugins, plugins.find(DistillerEntry, "red", "distiller")

    return make


def test_the_target_is_imported(red):
    plugins, provided = red(target="kd_fox_code:Outer.Red", code="class Outer:\n    Red = 'a class'")
    assert plugins.load(provided, "distiller") == "a class"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (kd_fox_code.py, line 2)"),
        ("raise SystemExit(0)", "SystemExit: 0 (kd_fox_code.py, line 2)"),
        ("import not_there", "it needs the module 'not_there', which is not installed"),
        ("Other = 1", "does not have 'Red'"),
    ],
)
def test_a_target_that_cannot_be_imported(red, code, cause):
    plugins, provided = red(code=code)
    with pytest.raises(UserError) as caught:
        plugins.load(provided, "distiller[1]")
    (problem,) = caught.value.problems
    assert problem.where == "distiller[1]"
    assert problem.message.startswith(
        "distiller 'red' of plugin kd-fox 1.0: its code, kd_fox_code:Red, cannot be"
    )
    assert cause in problem.message
    assert problem.hint == "to fix the plugin: pip install --force-reinstall --no-deps kd-fox"


def test_options(red):
    plugins, provided = red(code="from kdcore import DistillerOptions as Options")
    assert plugins.load_options(provided, "distiller")(weight=3).weight == 3


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("Options = dict", "kd_fox_code:Options is not a pydantic model"),
        ("Options = 3", "kd_fox_code:Options is not a pydantic model"),
        ("from pydantic import BaseModel as Options", "has no field 'weight'"),
        ("", "its options, kd_fox_code:Options, cannot be loaded"),
    ],
)
def test_wrong_options(red, code, cause):
    plugins, provided = red(code=code)
    with pytest.raises(UserError) as caught:
        plugins.load_options(provided, "distiller")
    assert cause in caught.value.problems[0].message


def test_the_core_has_what_it_declares():
    plugins = Plugins.discover([], disabled=(), strict=False)
    for provided in plugins.everything():
        if isinstance(provided.entry, RecipeEntry):
            assert read_recipe(provided, "x").name == provided.entry.name
        else:
            assert callable(plugins.load(provided, "x"))
    model = plugins.load_options(plugins.find(DistillerEntry, "vanilla", "x"), "x")
    assert model().model_dump() == {"weight": 1.0}
