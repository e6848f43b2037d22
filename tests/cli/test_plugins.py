from __future__ import annotations

import json

import pytest

FOX = """
@hookimpl
def kd_distillers():
    return [DistillerEntry(name=name, kind="relation", summary="Red.", target="m:T", options="m:O")
            for name in ("red", "blue")]
@hookimpl
def kd_run_started(run): pass
"""


@pytest.fixture
def three(add_plugin, alone, monkeypatch):
    add_plugin("kd-fox", FOX, version="1.2")
    add_plugin("kd-owl", "def inner(): return 1 / 0\ninner()")
    add_plugin("kd-cat", "raise RuntimeError")
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "kd-cat", prepend=",")


def test_the_table(kd, three):
    done = kd("plugins")
    assert (done.code, done.err) == (
        0,
        "",
    )  # what is broken is in the table, so there is no warning beside it
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines["kd-fox"].split() == ["kd-fox", "kd-fox", "1.2", "loaded", "2", "distillers"]
    assert lines["kd-cat"].split() == ["kd-cat", "kd-cat", "1.0", "disabled"]
    assert lines["kd-owl"].split()[3:5] == ["broken", "ZeroDivisionError:"]
    assert "loaded    1 distiller, 1 adapter, 1 dataset, " in lines["kdcore"]
    assert lines["kdcore"].endswith(" commands, 9 recipes")


def test_as_json(kd, three):
    found = {info["name"]: info for info in json.loads(kd("plugins", "--json").out)}
    assert found["kd-fox"]["distillers"] == ["red", "blue"]
    assert found["kd-fox"]["hooks"] == ["kd_distillers", "kd_run_started"]
    assert found["kd-owl"]["status"] == "broken"
    assert found["kd-owl"]["fix"] == "pip install --force-reinstall --no-deps kd-owl"
    assert "in inner" in found["kd-owl"]["traceback"]
    assert found["kd-cat"]["status"] == "disabled"


def test_one_broken_plugin(kd, three):
    done = kd("plugins", "KD_Owl")
    assert done.code == 0
    assert "error        ZeroDivisionError: division by zero (kd_owl.py, line 2)" in done.out
    assert "kd_owl.py" in done.out
    assert "in inner" in done.out
    assert "Traceback (most recent call last)" in done.out


def test_one_loaded_plugin(kd, three, tmp_path):
    lines = kd("plugins", "kd-fox").out.splitlines()
    assert "hooks        kd_distillers, kd_run_started" in lines
    assert f"location     {tmp_path / 'site' / 'kd_fox.py'}" in lines


def test_one_that_is_not_there(kd, three):
    done = kd("plugins", "kd-foxx")
    assert done.code == 2
    assert "did you mean 'kd-fox'?" in done.err


def test_a_switch_that_matches_nothing_is_a_warning(kd, monkeypatch):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "kdcor,*")
    assert kd("plugins").err.startswith("warning: KD_DISABLE_PLUGINS: no plugin is called 'kdcor'")


def test_strict_shows_the_table_and_then_fails(kd, three, monkeypatch):
    monkeypatch.setenv("KD_STRICT_PLUGINS", "1")
    done = kd("plugins")
    assert done.code == 2
    assert "ZeroDivisionError" in done.out
    assert kd("plugins", "kd-fox").code == 0


def test_what_slows_every_command_is_shown(kd, add_plugin, alone):
    add_plugin("kd-slow", "import sys, types\nsys.modules['timm'] = types.ModuleType('timm')\n" + FOX)
    import sys

    saved = sys.modules.pop("timm", None)
    try:
        assert "imports      timm (slows every command)" in kd("plugins", "kd-slow").out
    finally:
        sys.modules.pop("timm", None)
        if saved is not None:
            sys.modules["timm"] = saved
