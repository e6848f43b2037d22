"""Launchers of plugins: found, given their options, and blamed for what goes wrong in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from kd_compare.launch import NamedLauncher, find_launcher, parse_options
from kd_compare.local import LocalLauncher

from kdcore import JobEnd, LaunchJob, LaunchSetup, RunFailed, UserError
from kdcore.plugin import get_plugins

PLUGIN = """
from kdcore import LauncherEntry, hookimpl

@hookimpl
def kd_launchers():
    code = {"good": "Good", "raises": "Raises", "half": "Half", "odd": "Odd", "ends": "Ends", "says": "Says"}
    made = [LauncherEntry(name, "One.", f"kd_many.code:{target}") for name, target in code.items()]
    return [
        *made,
        LauncherEntry("queue", "One with options.", "kd_many.code:Good", options="kd_many.options:Queue"),
        LauncherEntry("gone", "One whose code is gone.", "kd_many.code:Gone"),
        LauncherEntry("broken", "One whose code needs something.", "kd_many.broken:Broken"),
        LauncherEntry("loose", "One with loose options.", "kd_many.code:Good", options="kd_many.options:Loose"),
        LauncherEntry("lost", "One whose options are gone.", "kd_many.code:Good", options="kd_many.options:Lost"),
    ]
"""
CODE = """
from kdcore import UserError, Problem

class Good:
    def __init__(self, options, setup):
        self.options, self.setup = options, setup
    def start(self, job):
        return "1"
    def attach(self, job, handle):
        return handle == "1"
    def ended(self):
        return ()
    def stop(self, names):
        pass

class Raises(Good):
    def __init__(self, options, setup):
        raise OSError("no queue here")

class Says(Good):
    def __init__(self, options, setup):
        raise UserError(Problem("queue", "the command sbatch is not installed"))

class Half:
    def __init__(self, options, setup):
        pass
    def start(self, job):
        return "1"

class Odd(Good):
    def start(self, job):
        return 1
    def attach(self, job, handle):
        raise SystemExit(3)
    def ended(self):
        return [("a", 0)]
    def stop(self, names):
        raise KeyError("unknown job")

class Ends(Good):
    def start(self, job):
        raise UserError(Problem("queue", "it is full"))
    def ended(self):
        return None
"""
OPTIONS = """
from kdcore import Options
from pydantic import BaseModel, Field

class Queue(Options):
    partition: str = Field("main", description="The queue.")
    hours: int = Field(1, ge=1, description="The time limit.")

class Loose(BaseModel):
    partition: str = "main"
"""
LABEL = "plugin kd-many 1.2"
JOB = LaunchJob("a", ("run",), Path(), Path("a"), Path("a.log"))


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin):
    install_plugin(
        "kd-many", {"plugin": PLUGIN, "code": CODE, "options": OPTIONS, "broken": "import no_such_module"}
    )


def build(name: str, options: Any = (), jobs: int | None = None) -> Any:
    return find_launcher(name, options, get_plugins())(LaunchSetup(Path("folder"), jobs))


def refused(name: str, options: Any = ()) -> str:
    with pytest.raises(UserError) as caught:
        build(name, options)
    return str(caught.value)


def test_a_launcher_gets_its_options_and_the_setup():
    launcher = build("queue", ["partition=gpu", "hours=5"], 3)
    assert isinstance(launcher, NamedLauncher)
    made = launcher._launcher
    assert (made.options.partition, made.options.hours) == ("gpu", 5)
    assert made.setup == LaunchSetup(Path("folder"), 3)
    assert build("kd-many/queue", {"hours": 2})._launcher.options.hours == 2
    assert build("good")._launcher.options is None
    assert launcher.name == "queue"


def test_local_is_a_launcher_like_any_other():
    assert isinstance(build("local", ["threads=2", "gpus=0"])._launcher, LocalLauncher)


def test_what_a_right_launcher_returns_is_passed_on():
    launcher = build("good")
    assert launcher.start(JOB) == "1"
    assert launcher.attach(JOB, "1") is True
    assert launcher.ended() == []
    assert launcher.stop(["a"]) is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("locall", ["--launcher", "there is no launcher of this name", "did you mean 'local'?"]),
        ("gone", ["launcher 'gone' of plugin kd-many 1.2", "does not have 'Gone'"]),
        ("broken", ["launcher 'broken' of plugin kd-many 1.2", "needs the module 'no_such_module'"]),
        ("lost", ["launcher 'lost' of plugin kd-many 1.2", "does not have 'Lost'"]),
        ("loose", ["launcher 'loose' of plugin kd-many 1.2", "accepts unknown keys"]),
        ("raises", ["launcher 'raises' of plugin kd-many 1.2 cannot be used", "OSError: no queue here"]),
        ("half", ["launcher 'half' of plugin kd-many 1.2", "has no method attach, ended, stop"]),
        ("says", ["queue: the command sbatch is not installed"]),
    ],
)
def test_a_launcher_that_cannot_be_used_is_refused(name: str, parts: list[str]):
    text = refused(name)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("queue", ["partitoin=gpu"], ["--launcher-option.partitoin", "did you mean 'partition'?"]),
        ("queue", ["hours=0"], ["--launcher-option.hours", "it must be 1 or more"]),
        ("queue", ["hours=long"], ["--launcher-option.hours"]),
        ("queue", ["hours"], ["must be KEY=VALUE", "or FILE.toml"]),
        ("queue", ["gone.toml"], ["gone.toml: there is no such file"]),
        ("queue", ["=3"], ["must be KEY=VALUE"]),
        ("good", ["hours=3"], ["launcher 'good' of plugin kd-many 1.2 has no options", "hours"]),
        ("local", ["thread=2"], ["did you mean 'threads'?"]),
    ],
)
def test_a_wrong_option_is_refused(name: str, options: list[str], parts: list[str]):
    text = refused(name, options)
    for part in parts:
        assert part in text


def test_every_text_that_is_no_option_is_reported_at_once():
    with pytest.raises(UserError) as caught:
        parse_options(["a", "b=1", "c"])
    assert len(caught.value.problems) == 2


def test_a_file_has_options_or_a_table_of_them_for_each_launcher(tmp_path: Path):
    path = tmp_path / "cluster.toml"
    path.write_text('partition = "gpu"\nhours = 3\n[environment]\nA = "1"\n')
    whole = {"partition": "gpu", "hours": 3, "environment": {"A": "1"}}
    assert parse_options([str(path)], "queue") == whole
    assert parse_options(str(path), "queue") == whole
    assert parse_options(["a=1", str(path), "hours=4"], "queue") == {"a": 1, **whole, "hours": 4}
    path.write_text("[queue]\nhours = 3\n[ray]\ncpus = 1\n")
    assert parse_options([str(path)], "queue") == {"hours": 3}
    (tmp_path / "user=me").mkdir()
    odd = Path(shutil.copy(path, tmp_path / "user=me" / "cluster.toml"))
    assert parse_options([str(odd)], "queue") == {"hours": 3}
    path.write_text("queue = 3\n")
    with pytest.raises(UserError, match="this must be a table of the launcher's options"):
        parse_options([str(path)], "queue")


def test_values_are_json_or_text():
    assert parse_options(["a=1", "b=[1, 2]", "c=x=y", "d=null", "e="]) == {
        "a": 1,
        "b": [1, 2],
        "c": "x=y",
        "d": None,
        "e": "",
    }


@pytest.mark.parametrize(
    ("name", "method", "arguments", "message"),
    [
        ("odd", "start", (JOB,), "start() must return text or None, not 1"),
        ("odd", "attach", (JOB, "1"), "failed in attach(): SystemExit: 3"),
        ("odd", "ended", (), "ended() must return a sequence of kdcore.JobEnd, not ('a', 0)"),
        ("odd", "stop", (["a"],), "failed in stop(): KeyError: 'unknown job'"),
        ("ends", "start", (JOB,), "failed in start(): queue: it is full"),
        ("ends", "ended", (), "ended() must return a sequence of kdcore.JobEnd, not None"),
    ],
)
def test_an_error_in_a_method_names_the_plugin(
    name: str, method: str, arguments: tuple[Any, ...], message: str
):
    with pytest.raises(RunFailed) as caught:
        getattr(build(name), method)(*arguments)
    assert str(caught.value).startswith(f"launcher '{name}' of {LABEL}")
    assert message in str(caught.value)


def test_an_end_without_a_code_is_wrong(monkeypatch: pytest.MonkeyPatch):
    launcher = build("good")
    monkeypatch.setattr(launcher._launcher, "ended", lambda: [JobEnd("a", None)])
    with pytest.raises(RunFailed, match="must return a sequence"):
        launcher.ended()
