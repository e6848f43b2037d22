from __future__ import annotations

import pytest

from kdcore.plugins import Plugins

HOOKS = ("kd_run_started", "kd_epoch_ended", "kd_run_finished", "kd_run_failed")
WATCHES = """
from pathlib import Path
@hookimpl
def kd_run_started(run): Path(run, "started").touch()
@hookimpl
def kd_epoch_ended(run, metrics):
    Path(run, "epoch").write_text(str(metrics["epoch"]))
    metrics["terms"]["kd"] = "changed"
@hookimpl
def kd_run_finished(summary, run): Path(run, "finished").write_text(summary["status"])
"""


def test_each_hook_gets_what_it_asks_for_and_can_change_nothing(site, tmp_path):
    site.plugin("kd-fox", WATCHES)
    plugins = site.discover()
    metrics = {"epoch": 3, "terms": {"kd": 1.0}}
    plugins.run_started(tmp_path)
    plugins.epoch_ended(tmp_path, metrics)
    plugins.run_finished(tmp_path, {"status": "done"})
    assert (tmp_path / "started").exists()
    assert (tmp_path / "epoch").read_text() == "3"
    assert (tmp_path / "finished").read_text() == "done"
    assert metrics == {"epoch": 3, "terms": {"kd": 1.0}}


@pytest.mark.parametrize("statement", ["1 / 0", "raise SystemExit(1)"])
def test_a_raising_hook_is_a_warning_and_the_others_are_called(site, tmp_path, capsys, statement):
    site.plugin("kd-ant", f"@hookimpl\ndef kd_run_started(run): {statement}")
    site.plugin("kd-fox", WATCHES)
    site.discover().run_started(tmp_path)
    assert (tmp_path / "started").exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: plugin kd-ant 1.0: kd_run_started() raised ")
    assert err.count("\n") == 1


def test_what_a_hook_must_not_return_is_a_warning(site, tmp_path):
    site.plugin("kd-ant", "".join(f"@hookimpl\ndef {name}(): return 3\n" for name in HOOKS))
    lines = []
    plugins = site.discover()
    plugins.run_started(tmp_path, lines.append)
    plugins.epoch_ended(tmp_path, {}, lines.append)
    plugins.run_finished(tmp_path, {}, lines.append)
    plugins.run_failed(tmp_path, {}, lines.append)
    allowed = ("None", "a StopTraining or None", "a text, False or None", "None")
    then = ("; the run continues",) * 3 + ("",)
    assert lines == [
        f"plugin kd-ant: {hook}() returned int; it may return {what}{end}"
        for hook, what, end in zip(HOOKS, allowed, then, strict=True)
    ]


def test_warnings_can_go_elsewhere(site, tmp_path):
    site.plugin("kd-ant", "@hookimpl\ndef kd_run_finished(): 1 / 0")
    lines = []
    plugins = site.discover()
    plugins.run_finished(tmp_path, {}, warn=lines.append)
    (line,) = lines
    assert line.endswith("; the run continues")


def test_plugins_are_called_in_the_order_of_their_names(site, capsys, tmp_path):
    for name in ("kd-b", "kd-c", "kd-a"):
        site.plugin(name, f"@hookimpl\ndef kd_run_started(): print({name!r})")
    site.discover().run_started(tmp_path)
    assert capsys.readouterr() == ("", "kd-a\nkd-b\nkd-c\n")


def test_ctrl_c_passes(site, tmp_path):
    site.plugin("kd-ant", "@hookimpl\ndef kd_run_started(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.discover().run_started(tmp_path)


def test_without_plugins_nothing_happens(tmp_path):
    Plugins.discover([], disabled=(), strict=False).epoch_ended(tmp_path, {})
