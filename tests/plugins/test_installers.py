"""The command of each installer: what manages the environment, and whether it finds it without being shown."""

from __future__ import annotations

import json
import shlex
import sys
from types import SimpleNamespace

import pytest

from kdcore.plugins import installers
from kdcore.plugins.installers import in_shell, install
from kdcore.plugins.pip_hint import pip_editable, pip_install, pip_uninstall, pip_upgrade
from kdcore.plugins.sources import Wanted

PIP_IS_OF_THIS = installers._pip_is_of_this  # before the fixture of all tests replaces it


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment of our own in `prefix`; programs by name in `programs`."""
    prefix, programs = tmp_path / "env", {}
    (prefix / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "executable", str(prefix / "bin" / "python"))
    monkeypatch.setattr(installers.sysconfig, "get_path", lambda name: str(prefix / "bin"))
    monkeypatch.setattr(installers.shutil, "which", programs.get)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV", "UV_RUN_RECURSION_DEPTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(installers, "_pip_is_of_this", PIP_IS_OF_THIS)
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(prefix=prefix, programs=programs, python=str(prefix / "bin" / "python"))


@pytest.fixture
def no_pip(monkeypatch):
    monkeypatch.setattr(installers, "_has_pip", lambda: False)


# -- pip ---------------------------------------------------------------------------------------------------------


def test_pip_of_this_environment(machine):
    machine.programs["pip"] = str(machine.prefix / "bin" / "pip")
    assert pip_install("kd-report") == "pip install kd-report"
    assert pip_uninstall("kd-fox") == "pip uninstall kd-fox"
    assert pip_editable(".[test]") == 'pip install -e ".[test]"'


@pytest.mark.parametrize("other", [None, "/usr/bin/pip"])
def test_pip_of_another_environment(machine, other):
    machine.programs["pip"] = other
    assert pip_install("kd-report") == f"{machine.python} -m pip install kd-report"


def test_pip_that_only_uv_run_shows(machine, monkeypatch):
    machine.programs["pip"] = str(machine.prefix / "bin" / "pip")
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert pip_install("kd-report") == f"{machine.python} -m pip install kd-report"


def test_a_whole_command_names_programs_by_their_paths(machine):
    machine.programs["pip"] = str(machine.prefix / "bin" / "pip")
    wanted = Wanted(("kd-fox",), ("./mine",), ("wheels",))
    assert install(wanted, "--upgrade", full=True) == [
        machine.python, "-m", "pip", "install", "--upgrade", "kd-fox", "--editable", "./mine", "--find-links", "wheels",
    ]  # fmt: skip


# -- uv ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pip")
def test_uv_is_shown_the_environment(machine):
    machine.programs["uv"] = "/bin/uv"
    assert pip_install("kd-report") == f"uv pip install kd-report --python {machine.python}"
    assert pip_uninstall("kd-fox") == f"uv pip uninstall kd-fox --python {machine.python}"
    assert install(Wanted(("x",)), full=True) == [
        "/bin/uv",
        "pip",
        "install",
        "x",
        "--python",
        machine.python,
    ]


@pytest.mark.usefixtures("no_pip")
def test_uv_finds_an_activated_environment(machine, monkeypatch):
    machine.programs["uv"] = "/bin/uv"
    monkeypatch.setenv("VIRTUAL_ENV", str(machine.prefix))
    assert pip_install("kd-report") == "uv pip install kd-report"
    monkeypatch.setenv("VIRTUAL_ENV", "/other")
    assert pip_install("kd-report").endswith(f" --python {machine.python}")


@pytest.mark.usefixtures("no_pip")
def test_uv_finds_the_environment_of_this_folder(machine, monkeypatch, tmp_path):
    machine.programs["uv"] = "/bin/uv"
    (tmp_path / ".venv").symlink_to(machine.prefix)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert pip_install("kd-report") == "uv pip install kd-report"
    # `uv run` activates the environment for one command
    monkeypatch.setenv("VIRTUAL_ENV", str(machine.prefix))
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert pip_install("kd-report") == "uv pip install kd-report"
    monkeypatch.setenv("CONDA_PREFIX", "/conda")
    assert pip_install("kd-report").endswith(f" --python {machine.python}")


@pytest.mark.usefixtures("no_pip")
def test_uv_that_is_not_on_the_path(machine, monkeypatch):
    monkeypatch.setenv("UV", "/opt/uv/uv")  # `uv run` says where it is
    monkeypatch.setenv("VIRTUAL_ENV", str(machine.prefix))
    assert pip_install("kd-report") == "/opt/uv/uv pip install kd-report"


@pytest.mark.usefixtures("no_pip")
def test_neither_pip_nor_uv(machine):
    python = machine.python
    assert pip_install("kd-report") == f"{python} -m ensurepip && {python} -m pip install kd-report"


# -- pipx --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipx(machine):
    (machine.prefix / "pipx_metadata.json").write_text(json.dumps({"environment": "env"}))


@pytest.mark.usefixtures("pipx")
def test_pipx():
    assert pip_install("kd-report") == "pipx inject env kd-report"
    assert pip_upgrade("kd-fox") == "pipx inject env kd-fox --force --pip-args=--upgrade"
    assert pip_editable("./mine") == "pipx inject env ./mine --editable"
    assert pip_uninstall("kd-fox") == "pipx uninject env kd-fox"
    links = in_shell(install(Wanted(("kd-report",), find_links=("my wheels",))))
    assert shlex.split(links) == ["pipx", "inject", "env", "kd-report", "--pip-args=--find-links 'my wheels'"]


# -- tools of uv -------------------------------------------------------------------------------------------------

RECEIPT = """
[tool]
requirements = [
    {{ name = "kdcore"{core} }},
    {{ name = "kd-classic", git = "https://example.org/kd?subdirectory=plugins%2Fkd-classic&rev=abc" }},
    {{ name = "kd-own", editable = "/work/own" }},
    {{ name = "einops", specifier = ">=0.5" }},
    {{ name = "rich", extras = ["jupyter"] }},
    {{ name = "fox", url = "https://example.org/fox.whl" }},
]
python = "3.12"
[tool.options]
find-links = ["file:///wheels"]
"""
OTHERS = (
    '--with "kd-classic @ git+https://example.org/kd@abc#subdirectory=plugins/kd-classic" --with-editable /work/own '
    '--with "einops>=0.5" --with "rich[jupyter]" --with "fox @ https://example.org/fox.whl"'
)


@pytest.mark.parametrize(
    ("core", "first"),
    [
        ("", "kdcore"),
        (', path = "/w/kdcore-0.1.0-py3-none-any.whl"', "/w/kdcore-0.1.0-py3-none-any.whl"),
        (', editable = "/work/kd"', "--editable /work/kd"),
    ],
)
def test_a_tool_of_uv_keeps_what_it_has(machine, core, first):
    (machine.prefix / "uv-receipt.toml").write_text(RECEIPT.format(core=core))
    head, end = f"uv tool install {first} {OTHERS}", "--find-links /wheels --python 3.12"
    assert pip_install("kd-report") == f"{head} --with kd-report {end}"
    assert pip_install("einops>=0.8") == f"{head.replace('>=0.5', '>=0.8')} {end}".replace(
        ' --with "einops>=0.8" --with "rich[jupyter]" --with "fox @ https://example.org/fox.whl"',
        ' --with "rich[jupyter]" --with "fox @ https://example.org/fox.whl" --with "einops>=0.8"',
    )
    assert pip_editable("./mine") == f"{head} --with-editable ./mine {end}"
    assert pip_uninstall("fox") == f"{head} {end}".replace(' --with "fox @ https://example.org/fox.whl"', "")


def test_a_tool_of_uv_with_a_damaged_receipt(machine):
    (machine.prefix / "uv-receipt.toml").write_text("[tool")
    assert pip_install("kd-report") == "uv tool install kdcore --with kd-report"


# -- shells ------------------------------------------------------------------------------------------------------


def test_quotes():
    words = ["pip", "install", "a>=1", "b[x]", "my folder", "it's", "$HOME/x y", 'a"b']
    assert in_shell(words) == """pip install "a>=1" "b[x]" "my folder" "it's" '$HOME/x y' 'a"b'"""
    assert shlex.split(in_shell(words)) == words


def test_quotes_of_windows(monkeypatch):
    monkeypatch.setattr(installers, "os", SimpleNamespace(name="nt"))
    assert (
        in_shell(["pip", "install", "a>=1", r"C:\folder", r"C:\my folder"])
        == r'pip install "a>=1" C:\folder "C:\my folder"'
    )
