"""Telling that a run is complete: with the user's command, whatever becomes of it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from kdcore.errors import RunFailed
from kdcore.plugins import Plugins
from kdcore.run.display import SilentDisplay
from kdcore.run.end import complete
from kdcore.run.notify import message, notify
from kdcore.rundir.directory import RunDirectory

SUMMARY = {
    "status": "finished",
    "student": {"top1": 97.314, "best_top1": 97.5, "best_epoch": 28},
    "wall_seconds": 725.0,
}
RUN = RunDirectory(Path("runs/digits"))


@pytest.fixture(autouse=True)
def _patience(monkeypatch) -> None:
    """A command of a test may start slowly."""
    monkeypatch.setattr("kdcore.run.notify.SECONDS", 120)


class Shown(SilentDisplay):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def warnings_at_the_end(folder: Path) -> list[str]:
    """What is shown when a finished run is completed."""
    run, display = RunDirectory(folder / "digits"), Shown()
    run.begin({"report": False}, {})
    run.write_summary(SUMMARY)
    assert complete(run, Plugins.discover([], disabled=(), strict=False), display)
    assert "notify" in run.steps_done()
    return display.warnings


def command(code: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (SUMMARY, "digits: top-1 97.31 % (best 97.50 % in epoch 28), 12 min 5 s, runs/digits"),
        ({"student": {"top1": 9.0}, "wall_seconds": 7.2}, "digits: top-1 9.00 %, 7.2 s, runs/digits"),
        (
            {"student": {"top1": None, "agreement": 80.0}, "wall_seconds": 7500},
            "digits: agrees with its teacher on 80.00 %, 2 h 5 min, runs/digits",
        ),
        ({}, "digits: 0.0 s, runs/digits"),
    ],
)
def test_the_message(summary, text):
    assert message(RUN, summary) == text


def test_the_command_gets_the_message_as_one_argument_and_no_shell(tmp_path, monkeypatch):
    told = tmp_path / "told"
    run = RunDirectory(tmp_path / "a; touch b $(c)")
    code = f"import sys; open({str(told)!r}, 'w').write(repr(sys.argv[1:]))"
    monkeypatch.setenv("KD_NOTIFY", command(code) + " first")
    notify(run, SUMMARY)
    assert told.read_text() == repr(["first", message(run, SUMMARY)])


@pytest.mark.parametrize("value", ["", "  "])
def test_without_a_command_nobody_is_told(value, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("something was called"))
    monkeypatch.setenv("KD_NOTIFY", value)
    notify(RUN, SUMMARY)
    monkeypatch.delenv("KD_NOTIFY")
    notify(RUN, SUMMARY)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/no/such/program", "could not be called: "),
        ("'no end", "could not be called: No closing quotation"),
        (
            command("import sys; sys.exit('no network')"),
            "KD_NOTIFY=.* ended with exit code 1: no network",
        ),
    ],
)
def test_a_command_that_fails_is_a_warning(value, words, monkeypatch, tmp_path):
    monkeypatch.setenv("KD_NOTIFY", value)
    (line,) = warnings_at_the_end(tmp_path)
    assert line.endswith("; the run is finished")
    start, _, rest = words.partition(".*")
    assert start in line
    assert rest in line


def test_a_command_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr("kdcore.run.notify.SECONDS", 0.2)
    monkeypatch.setenv("KD_NOTIFY", command("import time; time.sleep(60)"))
    assert "timed out" in warnings_at_the_end(tmp_path)[0]


def test_what_the_command_says_is_not_obeyed_by_a_terminal(tmp_path, monkeypatch):
    script = tmp_path / "tell.sh"
    script.write_text("#!/bin/sh\nprintf '\\033]0;owned\\007\\033[31mno' >&2; exit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("KD_NOTIFY", str(script))
    with pytest.raises(RunFailed) as caught:
        notify(RunDirectory(tmp_path / "one"), {})
    assert str(caught.value).endswith(r"ended with exit code 3: \x1b]0;owned\x07\x1b[31mno")
