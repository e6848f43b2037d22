from __future__ import annotations

import pytest

from kdcore.entries import AdapterEntry, DistillerEntry, ModelEntry
from kdcore.errors import UserError
from kdcore.plugins import known
from kdcore.plugins.roles import ROLES


def problem(plugins, ref, where="distiller.name"):
    with pytest.raises(UserError) as caught:
        plugins.find(DistillerEntry, ref, where)
    (found,) = caught.value.problems
    assert found.where == where
    return found


@pytest.fixture
def pair(site, declares):
    """Two plugins that both declare 'same'."""
    site.plugin("kd-one", declares("same", "one"), version="1.1")
    site.plugin("kd-two", declares("same"), version="2.2", name="two")
    return site


def test_by_name_and_by_qualified_name(pair):
    plugins = pair.discover()
    assert plugins.find(DistillerEntry, "one", "x").qualified == "kd-one/one"
    for ref in ("two/same", "kd-two/same", "KD_Two/same"):
        assert plugins.find(DistillerEntry, ref, "x").plugin.version == "2.2"


def test_a_name_that_two_plugins_have(pair):
    plugins = pair.discover()
    assert [item.qualified for item in plugins.all(DistillerEntry)] == [
        "kd-one/one",
        "kd-one/same",
        "two/same",
        "kdcore/vanilla",
    ]
    found = problem(plugins, "same")
    assert found.message == "2 plugins have a distiller of this name: kd-one 1.1 and two (kd-two 2.2)"
    assert found.allowed == "kd-one/same, two/same"
    assert (
        found.hint
        == "name the plugin, or disable one: KD_DISABLE_PLUGINS=kd-one or KD_DISABLE_PLUGINS=kd-two"
    )


def test_it_is_usable_when_one_of_them_is_disabled(pair):
    assert pair.discover(disabled=["two"]).find(DistillerEntry, "same", "x").qualified == "kd-one/same"


def test_a_plugin_cannot_take_a_built_in_name(site, declares):
    site.plugin("kd-fox", declares("vanilla"))
    plugins = site.discover()
    found = problem(plugins, "vanilla")
    assert found.allowed == "kd-fox/vanilla, kdcore/vanilla"
    assert found.hint == "name the plugin, or disable one: KD_DISABLE_PLUGINS=kd-fox"
    assert plugins.find(DistillerEntry, "kdcore/vanilla", "x").plugin.name == "kdcore"


def test_one_name_in_two_roles_is_no_clash(site, declares):
    site.plugin("kd-fox", declares("resnet", hook="kd_models", entry="ModelEntry"))
    site.plugin("kd-owl", declares("resnet", hook="kd_feature_adapters", entry="AdapterEntry"))
    plugins = site.discover()
    assert plugins.find(ModelEntry, "resnet", "x").plugin.name == "kd-fox"
    assert plugins.find(AdapterEntry, "resnet", "x").plugin.name == "kd-owl"


def test_unknown_with_the_nearest(pair):
    found = problem(pair.discover(), "vanila")
    assert (found.value, found.nearest, found.allowed) == ("vanila", "vanilla", "one, same, vanilla")
    assert found.hint is None


def test_not_even_text(site):
    assert problem(site.discover(), 3).message == "must be the name of a distiller"


@pytest.mark.parametrize("distribution", ["kd-classic", "kd-feature", "kd-ofa"])
def test_a_first_party_name_says_what_to_install(site, distribution):
    names = [
        name for name, owner in known.known_names(ROLES[DistillerEntry]).items() if owner == distribution
    ]
    assert names
    for name in names:
        found = problem(site.discover(), name)
        assert (
            found.message
            == f"distiller '{name}' comes with the package {distribution}, which is not installed"
        )
        assert found.hint == f"pip install {distribution}"


def test_a_misspelt_first_party_name_says_what_to_install(site):
    found = problem(site.discover(), "fitnett")
    assert found.nearest == "fitnet"
    assert found.hint is not None
    assert "pip install kd-feature" in found.hint


def test_a_first_party_plugin_that_is_missing_by_its_own_name(site):
    found = problem(site.discover(), "kd-ofa/ofa")
    assert (found.message, found.hint) == ("plugin 'kd-ofa' is not installed", "pip install kd-ofa")


def test_a_first_party_name_whose_plugin_is_disabled(site):
    site.plugin("kd-feature", "raise RuntimeError")
    plugins = site.discover(disabled=["KD_Feature"])
    for ref in ("fitnet", "kd-feature/fitnet"):
        found = problem(plugins, ref)
        assert found.message == "distiller 'fitnet' comes with plugin kd-feature 1.0, which is disabled"
        assert found.hint is not None
        assert "KD_DISABLE_PLUGINS=KD_Feature" in found.hint


def test_a_first_party_name_whose_plugin_is_broken(site):
    site.plugin("kd-feature", "import not_there", module="fake_feature")
    found = problem(site.discover(), "fitnet")
    assert "kd-feature 1.0, which is broken: it needs the module 'not_there'" in found.message
    assert found.hint == "pip install --force-reinstall --no-deps kd-feature"


def test_a_first_party_name_that_the_installed_version_lacks(site, declares):
    site.plugin("kd-feature", declares("other"), version="0.0.1", module="fake_feature")
    found = problem(site.discover(), "fitnet")
    assert "the installed 0.0.1 lacks it" in found.message
    assert found.hint == "pip install --upgrade kd-feature"


def test_a_name_that_a_broken_plugin_is_known_to_declare(site, declares):
    site.plugin("kd-fox", declares("red") + "@hookimpl\ndef kd_models(): return 5\n")
    plugins = site.discover()
    for ref in ("red", "kd-fox/red"):
        found = problem(plugins, ref)
        assert found.message.startswith(
            "distiller 'red' comes with plugin kd-fox 1.0, which is broken: kd_models()"
        )


def test_a_broken_plugin_may_have_an_unknown_name(site):
    site.plugin("kd-fox", "1 / 0")
    hint = problem(site.discover(), "whatever").hint
    assert hint is not None
    assert "kd-fox 1.0: ZeroDivisionError" in hint


def test_a_known_plugin_without_that_name(pair):
    found = problem(pair.discover(), "kd-one/on")
    assert found.message == "plugin kd-one 1.1 has no distiller 'on'"
    assert (found.nearest, found.allowed) == ("one", "one, same")


def test_an_unknown_plugin(pair):
    found = problem(pair.discover(), "kd-onee/one")
    assert found.message == "plugin 'kd-onee' is not installed"
    assert (found.nearest, found.allowed) == ("kd-one", "plugins: kd-one, kdcore, two")
