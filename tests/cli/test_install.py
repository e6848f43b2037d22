"""`kd install` and `kd uninstall`: which command they run, and what is refused before it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdcore.cli import install
from kdcore.cli.app import main
from kdcore.plugins import installers, sources
from kdcore.plugins.direct_url import DirectUrl


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
    return made


PIP = [sys.executable, "-m", "pip"]
KEPT = [f"{name}=={version(name)}" for name in ("torch", "torchvision", "timm")]


def test_install(calls, capsys: pytest.CaptureFixture[str]):
    assert kd("install", "kd-feature", "kd-ofa>=0.1") == 0
    assert calls == [
        [*PIP, "install", "kd-feature", "kd-ofa>=0.1", *KEPT],
        [sys.executable, "-m", "kdcore", "plugins"],
    ]
    assert f'-m pip install kd-feature "kd-ofa>=0.1" {" ".join(KEPT)}\n' in capsys.readouterr().err
    calls.clear()
    assert kd("install", "-e", "./one", "./two", "--upgrade") == 0
    assert calls[0] == [*PIP, "install", "--upgrade", *KEPT, "--editable", "./one", "--editable", "./two"]


def test_a_folder_of_wheels(calls):
    assert kd("install", "kd-fox", "--find-links", "my wheels", "-f", "more") == 0
    assert calls[0] == [*PIP, "install", "kd-fox", *KEPT, "--find-links", "my wheels", "--find-links", "more"]


def test_where_kd_was_installed_from(calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    wheel = tmp_path / "kdcore-0.1.0-py3-none-any.whl"
    monkeypatch.setattr(sources, "_origin", lambda: DirectUrl(wheel.as_uri(), wheel, "archive"))
    assert kd("install", "./kd-mine") == 0  # which may need kd-classic
    assert calls[0] == [*PIP, "install", "./kd-mine", *KEPT, "--find-links", str(tmp_path)]
    calls.clear()
    folder = tmp_path / "plugins" / "kd-feature"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    monkeypatch.setattr(sources, "_origin", lambda: DirectUrl("", tmp_path, "folder", editable=True))
    assert kd("install", "kd-feature") == 0
    assert calls[0] == [*PIP, "install", *KEPT, "--editable", str(folder)]


def test_another_torch_has_to_be_named(calls):
    assert kd("install", "kd-fox", "torch==2.9.1") == 0
    assert calls[0] == [*PIP, "install", "kd-fox", "torch==2.9.1"]


def test_only_what_is_installed_is_kept(calls, monkeypatch: pytest.MonkeyPatch):
    def no_torchvision(name: str) -> str:
        if name == "torchvision":
            raise PackageNotFoundError(name)
        return "2.9.0+cpu"

    monkeypatch.setattr(install, "version", no_torchvision)
    assert kd("install", "kd-fox") == 0
    assert calls[0] == [*PIP, "install", "kd-fox", "torch==2.9.0+cpu", "timm==2.9.0+cpu"]


def test_uv_where_there_is_no_pip(calls, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installers, "_has_pip", lambda: False)
    monkeypatch.setattr(installers, "_uv_finds_this", lambda: True)
    monkeypatch.setattr(installers.shutil, "which", lambda name: "/bin/uv")
    assert kd("install", "kd-feature") == 0
    assert calls[0] == ["/bin/uv", "pip", "install", "kd-feature", *KEPT, "--python", sys.executable]
    calls.clear()
    assert kd("uninstall", "kd-feature", "--yes") == 0
    assert calls[0] == ["/bin/uv", "pip", "uninstall", "kd-feature", "--python", sys.executable]


def test_neither(calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(installers, "_has_pip", lambda: False)
    monkeypatch.setattr(installers, "_uv", lambda: None)
    assert kd("install", "kd-feature") == 2
    shown = capsys.readouterr().err
    assert "neither pip nor uv" in shown
    assert "-m ensurepip' installs pip" in shown
    assert calls == []


@pytest.mark.parametrize("manager", ["pipx", "uv tool"])
def test_what_another_program_manages(calls, monkeypatch, capsys: pytest.CaptureFixture[str], manager: str):
    monkeypatch.setattr(installers, "installer", lambda: manager)
    assert kd("install", "kd-feature") == 2
    command = (
        "pipx inject .venv kd-feature" if manager == "pipx" else "uv tool install kdcore --with kd-feature"
    )
    shown = capsys.readouterr().err
    assert f"{manager} manages this environment" in shown
    assert f"run: {command}\n" in shown.replace(Path(sys.prefix).name, ".venv")
    assert kd("install", "kd-feature", "--dry-run") == 0
    assert capsys.readouterr().out.startswith(command.partition(" ")[0])
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
    assert kd("install", "kd-feature>=0.1", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert shlex.split(shown) == [*PIP, "install", "kd-feature>=0.1", *KEPT]
    assert '"kd-feature>=0.1"' in shown
    assert calls == []


def test_a_command_that_fails(calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=3))
    assert kd("install", "kd-absent") == 1
    shown = capsys.readouterr().err
    assert "pip ended with exit code 3" in shown
    assert "kd install kd-mine --find-links ./wheels" in shown
