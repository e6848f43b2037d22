"""The command for accelerators: parts in time, each result kept at once, failures recorded, and continued."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu import command, runner
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.runner import ROOT, Runner

# parts that import no torch: their processes start at once
FAKE = """
import os, signal, time
from pathlib import Path

HERE = Path(__file__).parent

def note(name, value=None):
    with (HERE / "calls").open("a") as file:
        file.write(name + "\\n")
    return {"name": name} if value is None else value

def fixed():
    return (HERE / "fixed").exists()

def raises(turn):
    note("raises")
    if not fixed():
        raise ValueError("this item cannot be done")
    return 1

def crashes(turn):
    note("crashes")
    if not fixed():
        print("the last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    return 2

def hangs(turn):
    note("hangs")
    if not fixed():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (HERE / "pid.new").write_text(str(os.getpid()))
        (HERE / "pid.new").rename(HERE / "pid")
        time.sleep(600)
    return 3

def items(small):
    good = {"one": lambda turn: note("one"), "two": lambda turn: note("two")}
    return {"one": good["one"], NAME: globals()[NAME], "two": good["two"]}
"""


@pytest.fixture
def part(tmp_path, monkeypatch):
    """A part whose second item does what it is called after."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, what: str, weight: float = 1.0) -> Part:
        (tmp_path / f"fake_{name}.py").write_text(f"NAME = {what!r}\n{FAKE}")
        return Part(name, f"fake_{name}", what, weight)

    return make


def new() -> dict[str, Any]:
    return {"parts": {}, "seconds": 0.0}


def call(file: Path, parts: list[Part], seconds: float = 1200.0) -> dict[str, Any]:
    record = json.loads(file.read_text()) if file.exists() else new()
    Runner(file, record, small=True, say=lambda text: None).run(parts, seconds)
    found: dict[str, Any] = json.loads(file.read_text())["parts"]
    return found


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not what():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)


def gone(number: int) -> bool:
    """Whether this process has ended, also if nobody has asked how."""
    with contextlib.suppress(OSError):
        os.kill(number, 0)
        stat = Path(f"/proc/{number}/stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def test_what_fails_is_recorded_stops_nothing_and_is_tried_again(part, tmp_path):
    file, parts = tmp_path / "out.json", [part("a", "raises"), part("b", "crashes"), part("c", "items")]
    found = call(file, parts)
    assert {name: kept["status"] for name, kept in found.items()} == {
        "a": "failed",
        "b": "failed",
        "c": "failed",
    }
    assert "ValueError: this item cannot be done" in found["a"]["items"]["raises"]["error"]
    crash = found["b"]["items"]["crashes"]["error"]
    assert f"exit code {-signal.SIGSEGV}" in crash
    assert "the last words" in crash
    for name in ("a", "b"):
        assert found[name]["items"]["one"]["value"] == {"name": "one"}
        assert found[name]["items"]["two"]["value"] == {"name": "two"}
    calls = (tmp_path / "calls").read_text().split()
    assert sorted(calls) == sorted(["one", "two"] * 3 + ["raises", "crashes"])

    (tmp_path / "fixed").touch()
    found = call(file, parts[:2])
    assert {name: found[name]["status"] for name in "ab"} == {"a": "done", "b": "done"}
    assert (tmp_path / "calls").read_text().split()[len(calls) :] == ["raises", "crashes"]
    call(file, parts[:2])
    assert len((tmp_path / "calls").read_text().split()) == len(calls) + 2


def test_a_part_that_cannot_begin_says_why(part, tmp_path):
    broken = part("broken", "raises")
    (tmp_path / "fake_broken.py").write_text("import there_is_no_such_module")
    found = call(tmp_path / "out.json", [broken, part("after", "raises")])
    assert found["broken"]["status"] == "failed"
    assert "there_is_no_such_module" in found["broken"]["error"]
    assert "two" in found["after"]["items"]


def test_time_is_kept_by_a_part_that_does_not_end(part, tmp_path, monkeypatch):
    share, pid = 600.0, tmp_path / "pid"
    # the share of the first part is over as soon as it hangs, however long it took until then
    clock = SimpleNamespace(time=lambda: time.time() + share * pid.exists())
    monkeypatch.setattr(runner, "time", clock)
    file, parts = tmp_path / "out.json", [part("a", "hangs"), part("b", "raises")]
    (tmp_path / "out.files" / "a").mkdir(parents=True)
    found = call(file, parts, seconds=2 * share)
    assert found["a"]["status"] == "cut"
    assert found["a"]["items"]["one"]["value"]
    assert found["a"]["items"]["hangs"]["cut"]
    assert "two" not in found["a"]["items"]
    assert found["b"]["items"]["two"]["value"]  # it had its own share
    wait_for(lambda: gone(int(pid.read_text())))
    (tmp_path / "fixed").touch()
    assert call(file, parts)["a"]["status"] == "done"
    assert not (tmp_path / "out.files").exists()  # what an interrupted part needs is gone with the last one


def test_a_killed_command_loses_nothing_that_was_found(part, tmp_path):
    file, one = tmp_path / "out.json", part("a", "hangs")
    code = (
        "from pathlib import Path; from benchmarks.gpu.parts import Part; from benchmarks.gpu.runner import Runner; "
        f"Runner(Path({str(file)!r}), {new()!r}, small=True, say=print).run([Part(*{(*vars(one).values(),)!r})], 3000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: (file.exists() and (tmp_path / "pid").exists()) or process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert json.loads(file.read_text())["parts"]["a"]["items"]["one"]["value"]
    child = int((tmp_path / "pid").read_text())
    wait_for(lambda: gone(child))
    (tmp_path / "fixed").touch()
    assert call(file, [one])["a"]["status"] == "done"
    assert (tmp_path / "calls").read_text().split() == ["one", "hangs", "hangs", "two"]


MACHINE = {"device": {"type": "cuda", "name": "A"}, "packages": {"torch": "2"}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stepps"], "there is no part 'stepps'; there are correctness, steps"),
        (["--again", "stepps"], "there is no part 'stepps'"),
        (["--minutes", "0.1"], "--minutes is 0.1; it must be at least 0.5"),
        (["--json", "other.json"], "'name': 'B'"),
        (["--json", "small.json"], "--small True"),
        (["--json", "wrong.json"], "no results of this command"),
        (["--json", "text.json"], "is not JSON"),
        (["--json", "none/there.json"], "none: there is no such folder"),
    ],
)
def test_wrong_calls_end_with_2_and_change_nothing(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "machine", lambda: MACHINE)
    kept = {"parts": {}, "environment": MACHINE, "small": False, "seconds": 1.0}
    other = {**kept, "environment": {**MACHINE, "device": {"type": "cuda", "name": "B"}}}
    for name, content in (("other", other), ("small", {**kept, "small": True}), ("wrong", {"groups": {}})):
        Path(f"{name}.json").write_text(json.dumps(content))
    Path("text.json").write_text("no")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_without_an_accelerator_it_asks_for_small(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "machine", lambda: {**MACHINE, "device": {"type": "cpu", "name": ""}})
    with pytest.raises(SystemExit):
        command.main(["--json", str(tmp_path / "out.json")])
    assert "--small shows" in capsys.readouterr().err


def test_the_command_says_what_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "machine", lambda: MACHINE)
    asked = []

    def run(self, parts, seconds):
        asked.append(([part.name for part in parts], seconds))
        self.record["parts"]["crd"] = {"status": "done", "items": {}, "seconds": 1.0}

    monkeypatch.setattr(Runner, "run", run)
    file = tmp_path / "out.json"
    assert command.main(["crd", "--json", str(file)]) == 0
    assert command.main(["--minutes", "2", "--json", str(file), "--again", "crd"]) == 1
    assert asked[0][0] == ["crd"]
    assert asked[1][0] == [part.name for part in PARTS]
    assert 60 < asked[1][1] <= 120  # without the time that was spent before
    assert "not done: correctness, steps" in capsys.readouterr().out
    assert json.loads(file.read_text())["environment"] == MACHINE
