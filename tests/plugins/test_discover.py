from __future__ import annotations

import sys

import pytest

import kdcore
from kdcore.entries import AdapterEntry, CommandEntry, DatasetEntry, DistillerEntry, ModelEntry, RecipeEntry
from kdcore.plugins import Plugins, get_plugins
from kdcore.plugins.pip_hint import pip_upgrade
from kdcore.plugins.records import Candidate

ENTRY = "DistillerEntry(name='a', kind='logit', summary='S.', target='m:T', options='m:O')"


def info(plugins, name="kd-fox"):
    return next(item for item in plugins.infos if item.name == name)


def test_a_plugin_is_loaded_and_described(site, declares):
    site.plugin("kd-fox", declares("b", "a"), version="1.2")
    found = info(site.discover())
    assert (found.status, found.error, found.traceback, found.version) == ("loaded", None, None, "1.2")
    assert found.hooks == ("kd_distillers",)
    assert [entry.name for entry in found.entries] == ["b", "a"]
    assert found.location == str(site.path / "kd_fox.py")
    assert found.label == "kd-fox 1.2"


def test_infos_and_things_are_sorted_by_name(site, declares):
    site.plugin("kd-wolf", declares("b"))
    site.plugin("kd-ant", declares("z", "c"))
    plugins = site.discover()
    assert [item.name for item in plugins.infos] == ["kd-ant", "kd-wolf", "kdcore"]
    assert [item.entry.name for item in plugins.all(DistillerEntry)] == ["b", "c", "vanilla", "z"]


def test_an_instance_can_be_the_plugin(site):
    site.plugin(
        "kd-fox",
        f"class P:\n    @hookimpl\n    def kd_distillers(self):\n        return [{ENTRY}]\nplugin = P()",
        value="kd_fox:plugin",
    )
    assert [item.qualified for item in site.discover().all(DistillerEntry)] == ["kd-fox/a", "kdcore/vanilla"]


def test_all_four_kinds_are_collected(site):
    site.plugin(
        "kd-fox",
        """
        @hookimpl
        def kd_feature_adapters():
            return (AdapterEntry(name="ad", summary="S.", target="m:T", models=["m:C"]),)
        @hookimpl
        def kd_datasets():
            return [DatasetEntry(name="da", summary="S.", target="m:T")]
        @hookimpl
        def kd_models():
            return [ModelEntry(name="mo", summary="S.", target="m:T")]
        """,
    )
    plugins = site.discover()
    assert plugins.find(AdapterEntry, "ad", "x").entry.models == ("m:C",)
    assert plugins.find(DatasetEntry, "da", "x").qualified == "kd-fox/da"
    assert plugins.find(ModelEntry, "kd-fox/mo", "x").entry.target == "m:T"


BROKEN = {
    "import error": ("1 / 0", "ZeroDivisionError: division by zero (kd_fox.py, line 2)"),
    "syntax error": ("def f(:", "SyntaxError: "),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "silent exit": ("import sys; sys.exit()", "SystemExit (kd_fox.py, line 2)"),
    "missing dependency": (
        "import not_there_at_all",
        "it needs the module 'not_there_at_all', which is not installed",
    ),
    "newer API": (
        "PLUGIN_API = 99\n@hookimpl\ndef kd_models(): return 1 / 0",
        "it needs plugin API 99; kdcore ",
    ),
    "older API": (
        "PLUGIN_API = 0\n@hookimpl\ndef kd_models(): return 1 / 0",
        "it is made for plugin API 0; kdcore ",
    ),
    "API of no number": ("PLUGIN_API = '1'", "its PLUGIN_API is '1', which is not an integer"),
    "misspelt hook": (
        "@hookimpl\ndef kd_distiler(): return []",
        "kd does not have a hook 'kd_distiler'; did you mean 'kd_distillers'?",
    ),
    "unknown hook": (
        "@hookimpl\ndef zzz(): return []",
        "kd does not have a hook 'zzz'; the hooks are kd_commands, kd_datasets, ",
    ),
    "wrong argument": (
        "@hookimpl\ndef kd_run_started(run, extra): pass",
        "its kd_run_started() has an argument 'extra' that kd does not pass; kd passes run",
    ),
    "argument with default": (
        "@hookimpl\ndef kd_run_started(run=None): pass",
        "its kd_run_started() has a default for run",
    ),
    "argument-misspelt": (
        "@hookimpl\ndef kd_epoch_ended(run, metrcs): pass",
        "its kd_epoch_ended() has an argument 'metrcs' that kd does not pass; kd passes run, metrics; did you mean "
        "'metrics'?",
    ),
    "argument-by-keyword": (
        "@hookimpl\ndef kd_epoch_ended(run, *, metrics): pass",
        "its kd_epoch_ended() has metrics after '*', so kd cannot pass it",
    ),
    "argument-by-position": (
        "@hookimpl\ndef kd_epoch_ended(run, /): pass",
        "its kd_epoch_ended() has run before '/', so kd cannot pass it",
    ),
    "async": (
        "@hookimpl\nasync def kd_run_started(run): pass",
        "its kd_run_started() is an async function: a call of it runs nothing",
    ),
    "generator": (
        "@hookimpl\ndef kd_run_started(run): yield",
        "its kd_run_started() is a generator function (it has a 'yield'): a call of it runs nothing",
    ),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef kd_models():\n    return (yield)",
        "its kd_models() is a hook wrapper",
    ),
    "unmarked": (
        "def kd_distillers(): return []",
        "its kd_distillers() lacks the decorator @kdcore.hookimpl",
    ),
    "empty": ("x = 1", "it has no hooks"),
    "raising": (
        "@hookimpl\ndef kd_models(): raise KeyError('k')",
        "kd_models() raised KeyError: 'k' (kd_fox.py, line 3)",
    ),
    "exiting hook": ("@hookimpl\ndef kd_models(): raise SystemExit", "kd_models() raised SystemExit"),
    "returns None": (
        "@hookimpl\ndef kd_models(): pass",
        "kd_models() returned None, not a list of kdcore.ModelEntry",
    ),
    "returns text": (
        "@hookimpl\ndef kd_models(): return 'abc'",
        "kd_models() returned str 'abc', not a list",
    ),
    "is a generator": ("@hookimpl\ndef kd_models(): yield 1", "kd_models() returned generator "),
    "wrong records": (
        f"@hookimpl\ndef kd_models(): return [{ENTRY}]",
        "kd_models() returned a list with DistillerEntry",
    ),
    "same name twice": (
        f"@hookimpl\ndef kd_distillers(): return [{ENTRY}, {ENTRY}]",
        "kd_distillers() returned 'a' twice",
    ),
    "wrong field": (
        "@hookimpl\ndef kd_models(): return [ModelEntry(name='A B', summary='S.', target='m:T')]",
        "kd_models() raised ValueError: ModelEntry(name='A B'): name is 'A B'",
    ),
}


@pytest.mark.parametrize(("code", "error"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_isolated_and_explained(site, declares, code, error):
    site.plugin("kd-fox", code)
    site.plugin("kd-owl", declares("hoot"))
    plugins = site.discover()
    broken = info(plugins)
    assert broken.status == "broken"
    assert broken.error is not None
    assert broken.error.startswith(error)
    assert "\n" not in broken.error
    assert broken.fix
    assert plugins.warnings() == (f"plugin kd-fox 1.0 is broken: {broken.error}",)
    assert plugins.find(DistillerEntry, "hoot", "x").qualified == "kd-owl/hoot"
    assert {item.plugin.name for item in plugins.everything()} == {"kd-owl", "kdcore"}


def test_the_traceback_is_kept(site):
    site.plugin("kd-fox", "def inner():\n    raise RuntimeError('deep')\ninner()")
    assert "in inner" in (info(site.discover()).traceback or "")


VALUES = {
    "no such module": ("kd_nowhere", "its module 'kd_nowhere' does not exist"),
    "no such submodule": ("kd_fox.plugin", "its module 'kd_fox.plugin' does not exist"),
    "no such parent": ("kd_no.where", "its module 'kd_no.where' does not exist: 'kd_no' is missing"),
    "no such attribute": ("kd_fox:missing", "kd_fox (SITE/kd_fox.py) does not have 'missing'"),
    "a class": ("kd_fox:Plugin", "it names the class Plugin; it must name a module or an instance"),
}


@pytest.mark.parametrize(("value", "error"), VALUES.values(), ids=VALUES)
def test_an_entry_point_to_the_wrong_thing(site, value, error):
    site.plugin("kd-fox", "class Plugin:\n    @hookimpl\n    def kd_models(self): return []", value=value)
    broken = info(site.discover())
    assert (broken.status, broken.error) == ("broken", error.replace("SITE", str(site.path)))


def test_orphaned_metadata(site):
    site.metadata("kd-fox", "kd_fox", whole=False)
    broken = info(site.discover())
    assert (broken.status, broken.version) == ("broken", "unknown")
    assert broken.fix == "pip install --force-reinstall --no-deps kd_fox"


def test_nothing_of_a_broken_plugin_stays_registered(site, tmp_path):
    marker = tmp_path / "called"
    site.plugin(
        "kd-fox",
        f"""
        from pathlib import Path
        @hookimpl
        def kd_run_started(run):
            Path({str(marker)!r}).touch()
        @hookimpl
        def kd_models():
            return None
        """,
    )
    plugins = site.discover()
    plugins.run_started(None)
    assert info(plugins).status == "broken"
    assert not marker.exists()


def test_the_api_is_compared_before_any_hook_is_called(site, tmp_path):
    marker = tmp_path / "called"
    site.plugin(
        "kd-fox",
        f"""
        from pathlib import Path
        PLUGIN_API = 2
        @hookimpl
        def kd_models():
            Path({str(marker)!r}).touch()
            return []
        """,
    )
    broken = info(site.discover())
    assert broken.error == f"it needs plugin API 2; kdcore {kdcore.__version__} has {kdcore.PLUGIN_API}"
    assert broken.fix == pip_upgrade("kdcore")
    assert not marker.exists()


def test_an_object_has_the_api_number_of_its_module(site):
    site.plugin("kd-fox", "PLUGIN_API = 7\nclass P:\n    pass\np = P()", value="kd_fox:p")
    assert (info(site.discover()).error or "").startswith("it needs plugin API 7")


def test_what_a_broken_plugin_declared_is_remembered(site):
    site.plugin(
        "kd-fox",
        f"@hookimpl\ndef kd_datasets(): raise OSError('no')\n@hookimpl\ndef kd_distillers(): "
        f"return [{ENTRY}]",
    )
    assert [entry.name for entry in info(site.discover()).entries] == ["a"]


def test_two_distributions_with_one_plugin_name(site, declares):
    site.plugin("kd-one", "raise RuntimeError('imported')", name="fox", version="1.0")
    site.plugin("kd-two", "raise RuntimeError('imported')", name="Fox", version="2.0")
    both = [item for item in site.discover().infos if item.name.lower() == "fox"]
    assert [item.status for item in both] == ["broken", "broken"]
    for item in both:
        assert item.error is not None
        assert "kd-one 1.0 and kd-two 2.0 have the same plugin name" in item.error
        assert item.fix is not None
        assert "KD_DISABLE_PLUGINS=kd-one or KD_DISABLE_PLUGINS=kd-two" in item.fix


def test_disabling_one_of_them_frees_the_other(site, declares):
    site.plugin("kd-one", declares("a"), name="fox")
    site.plugin("kd-two", declares("b"), name="fox")
    plugins = site.discover(disabled=["kd-one"])
    assert plugins.find(DistillerEntry, "fox/b", "x").plugin.distribution == "kd-two"
    assert plugins.warnings() == ()


@pytest.mark.parametrize("name", ["kdcore", "KDcore", "with/slash"])
def test_names_that_a_plugin_may_not_have(site, declares, name):
    site.plugin("kd-fox", declares("a"), name=name)
    plugins = site.discover()
    (broken,) = plugins.broken
    assert broken.distribution == "kd-fox"
    assert plugins.find(DistillerEntry, "vanilla", "x").plugin.distribution == "kdcore"


def test_one_module_cannot_be_two_plugins(site, declares):
    site.module("kd_fox", declares("a"))
    site.metadata("kd-fox", "", points=["fox1 = kd_fox", "fox2 = kd_fox"])
    plugins = site.discover()
    assert info(plugins, "fox1").status == "loaded"
    assert info(plugins, "fox2").error == "it names the same object as plugin 'fox1'"


def test_prints_of_a_plugin_go_to_stderr(site, capsys):
    site.plugin("kd-fox", "print('loud')\n@hookimpl\ndef kd_models():\n    print('louder')\n    return []")
    assert info(site.discover()).status == "loaded"
    assert capsys.readouterr() == ("", "loud\nlouder\n")


def test_ctrl_c_while_importing_is_no_broken_plugin(site):
    site.plugin("kd-fox", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.discover()


def test_discovery_can_be_repeated(site, declares):
    site.plugin("kd-fox", declares("a"))
    first, second = site.discover(), site.discover()
    assert first.infos == second.infos


def test_get_plugins_discovers_once(site, declares, monkeypatch):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "*")
    get_plugins.cache_clear()
    plugins = get_plugins()
    assert get_plugins() is plugins
    many = (CommandEntry, RecipeEntry)
    found = [item.entry.name for item in plugins.everything() if not isinstance(item.entry, many)]
    assert found == ["vanilla", "timm", "digits", "module", "student-with-heads", "transformed-student"]


def test_a_plugin_that_imports_something_slow_is_noted(site, monkeypatch, declares):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    fake = "import sys, types\nsys.modules['torchvision'] = types.ModuleType('torchvision')\n"
    site.plugin("kd-fox", fake + declares("a"))
    assert info(site.discover()).heavy == ("torchvision",)
    del sys.modules["torchvision"]


def test_candidates_can_be_given():
    plugins = Plugins.discover([Candidate("p", "nowhere_at_all", "d", "1", "x")], disabled=(), strict=False)
    assert info(plugins, "p").status == "broken"
    assert info(plugins, "p").label == "p (d 1)"
