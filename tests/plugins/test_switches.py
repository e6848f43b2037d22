from __future__ import annotations

import pytest

from kdcore.entries import DistillerEntry
from kdcore.errors import UserError
from kdcore.plugins import Plugins
from kdcore.plugins.switches import strict

EXPLODES = "raise RuntimeError('it was imported')"


def statuses(plugins):
    return {info.name: info.status for info in plugins.infos if info.name != "kdcore"}


@pytest.mark.parametrize("name", ["fox", "kd-fox-plugin", "KD_Fox.Plugin", "*"])
def test_a_disabled_plugin_is_not_imported(site, name):
    site.plugin("kd-fox-plugin", EXPLODES, name="fox")
    plugins = site.discover(disabled=[name])
    assert statuses(plugins) == {"fox": "disabled"}
    assert plugins.warnings() == ()


def test_the_core_stays_when_all_are_disabled(site):
    plugins = site.discover(disabled=["*"])
    assert plugins.find(DistillerEntry, "vanilla", "x").qualified == "kdcore/vanilla"


def test_the_environment_variable_disables(site, monkeypatch, declares):
    site.plugin("kd-fox", EXPLODES)
    site.plugin("kd-owl", declares("hoot"))
    monkeypatch.setenv("KD_DISABLE_PLUGINS", " kd-fox , ")
    plugins = Plugins.discover(site.candidates(), strict=False)
    assert statuses(plugins) == {"kd-fox": "disabled", "kd-owl": "loaded"}


def test_a_name_that_disables_nothing_is_a_warning_with_the_nearest(site, declares):
    site.plugin("kd-owl", declares("hoot"))
    (line,) = site.discover(disabled=["kd-ow1"]).warnings()
    assert line == "KD_DISABLE_PLUGINS: no plugin is called 'kd-ow1'; did you mean 'kd-owl'?"
    (line,) = site.discover(disabled=["kdcore"]).warnings()
    assert "cannot be disabled" in line


@pytest.mark.parametrize(
    ("value", "fatal"), [("1", True), ("yes", True), ("0", False), ("", False), ("off", False)]
)
def test_strict_makes_a_broken_plugin_fatal(site, monkeypatch, value, fatal):
    site.plugin("kd-fox", EXPLODES)
    monkeypatch.setenv("KD_STRICT_PLUGINS", value)
    assert strict() is fatal
    if not fatal:
        assert statuses(Plugins.discover(site.candidates(), disabled=())) == {"kd-fox": "broken"}
        return
    with pytest.raises(UserError, match=r"plugin kd-fox 1\.0.*RuntimeError: it was imported"):
        Plugins.discover(site.candidates(), disabled=())


def test_strict_does_not_mind_disabled_ones(site):
    site.plugin("kd-fox", EXPLODES)
    assert statuses(site.discover(disabled=["kd-fox"], strict=True)) == {"kd-fox": "disabled"}
