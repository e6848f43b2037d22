"""`kd install` and `kd uninstall`: which command they run, and what is refused before it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from kdcore.cli import install
from kdcore.cli.app import main


def kd(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run."""
    made: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        made.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install, "find_spec", lambda name: object())
    return made


PIP = [sys.executable, "-m", "pip"]


def test_install(calls):
    assert kd("install", "kd-feature", "kd-ofa>=0.1") == 0
    assert calls == [
        [*PIP, "install", "kd-feature", "kd-ofa>=0.1"],
        [sys.executable, "-m", "kdcore", "plugins"],
    ]
    calls.clear()
    assert kd("install", "-e", "./one", "./two", "--upgrade") == 0
    assert calls[0] == [*PIP, "install", "--upgrade", "--editable", "./one", "--editable", "./two"]


def test_uv_where_there_is_no_pip(calls, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    monkeypatch.setattr(install.shutil, "which", lambda name: "/bin/uv")
    assert kd("install", "kd-feature") == 0
    assert calls[0] == ["/bin/uv", "pip", "install", "--python", sys.executable, "kd-feature"]


def test_neither(calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert kd("install", "kd-feature") == 2
    assert "neither pip nor uv" in capsys.readouterr().err
    assert calls == []


def test_uninstall(calls, monkeypatch: pytest.MonkeyPatch):
    assert kd("uninstall", "KD_feature", "--yes") == 0
    assert calls == [[*PIP, "uninstall", "--yes", "kd-feature"]]
    calls.clear()
    monkeypatch.setattr(install.typer, "confirm", lambda *a, **k: False)
    assert kd("uninstall", "kd-feature") == 1
    assert calls == []


def test_what_is_no_plugin_stays(calls, capsys: pytest.CaptureFixture[str]):
    assert kd("uninstall", "torch", "kd-featur", "kdcore", "--yes") == 2
    shown = capsys.readouterr().err
    assert "3 problems" in shown
    assert "did you mean 'kd-feature'?" in shown
    assert kd("install", "--", "--index-url=http://evil") == 2
    assert "not the name of a plugin" in capsys.readouterr().err
    assert calls == []


def test_dry_run(calls, capsys: pytest.CaptureFixture[str]):
    assert kd("install", "kd-feature", "--dry-run") == 0
    assert capsys.readouterr().out == f"{' '.join(PIP)} install kd-feature\n"
    assert calls == []


def test_a_command_that_fails(calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=3))
    assert kd("install", "kd-absent") == 1
    assert "exit code 3" in capsys.readouterr().err
