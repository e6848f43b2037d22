"""Standard streams that are closed, full or not read, and what else writes to them."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kdcore.cli import output, streams
from kdcore.cli.streams import OutputLost, ResultStream
from kdcore.terminal import SafeStream, raw

LOUD = """
    import os, subprocess, sys, threading
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run(["echo", "by a child"], check=True)
    sys.__stdout__.write("by the first stdout\\n")
    threading.Thread(target=lambda: print("by a thread")).start()

    import atexit
    atexit.register(lambda: os.write(1, b"at exit\\n"))
    atexit.register(lambda: print("printed at exit"))
"""


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kd = f"{sys.executable} -m kdcore"
    return subprocess.run(
        ["bash", "-c", command.replace("kd ", f"{kd} ", 1)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("kd list-datasets >&- 2>&- <&-", 0, ""),
        ("kd list-datasets --json >/dev/full", 1, "error: standard output cannot be written: No space left"),
        ("kd show no-such 2>/dev/full", 2, ""),
    ],
)
def test_a_command_whose_streams_are_closed_or_full(command: str, code: int, told: str, tmp_path: Path):
    done = shell(command, tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr


def test_a_plugin_that_writes_however_it_likes_is_kept_off_the_json(add_plugin, alone, kd_process):
    add_plugin("kd-loud", LOUD + "\n    1 / 0")
    done = kd_process("list-distillers", "--json")
    assert done.code == 0
    assert [item["name"] for item in json.loads(done.out)] == ["vanilla"]
    for text in ("printed", "written", "by a child", "by the first stdout", "by a thread", "at exit"):
        assert text in done.err


def test_control_characters_are_shown_whoever_writes():
    below = io.StringIO()
    stream = SafeStream(below)
    print("a\x1b[31mb\x9b", "\u202ec", file=stream)
    assert below.getvalue() == "a\\x1b[31mb\\x9b \\u202ec\n"
    raw(stream).write("\x1b[1mkd's own")
    assert below.getvalue().endswith("\x1b[1mkd's own")
    assert raw(sys.stdout) is sys.stdout


def test_the_progress_bars_of_libraries_still_move():
    below = io.StringIO()
    SafeStream(below).write("\r 10 %\x1b[A")
    assert below.getvalue() == "\r 10 %\x1b[A"


def test_messages_that_nobody_can_read_raise_nothing():
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    stream = SafeStream(Broken())
    print("a warning", file=stream, flush=True)


def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        stream = ResultStream(full)
        stream.write("result")
        with pytest.raises(OutputLost, match="standard output cannot be written: No space left on device"):
            stream.flush()
        stream.flush()  # what was left does not fail again


def test_work_that_is_done_stays_done_where_its_summary_cannot_be_shown(tmp_path: Path, capsys, monkeypatch):
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", ResultStream(full))
        with output.kept_in(tmp_path):
            output.say("top-1")
    assert f"No space left on device; the result is in {tmp_path}" in capsys.readouterr().err


def test_what_other_threads_print_is_no_result(capsys):
    with streams.command_streams(until_exit=False):
        thread = threading.Thread(target=print, args=("beside",))
        thread.start()
        thread.join()
        print("result")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("result\n", "beside\n")


def test_the_streams_are_put_back(capfd):
    before = (sys.stdin, sys.stdout, sys.stderr)
    with streams.command_streams(until_exit=False):
        os.write(1, b"noise")
        print("result")
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    os.write(1, b"again")
    sys.stdout.flush()
    shown = capfd.readouterr()
    assert sorted([shown.out.replace("\n", "")]) in (["resultagain"], ["againresult"])
    assert shown.err == "noise"


def test_a_surrogate_of_a_file_name_that_is_not_utf_8_can_be_printed(kd, tmp_path):
    done = kd("run", f"{tmp_path}/\udcff.json")
    assert done.code == 2
    assert r"\udcff.json" in done.err


def test_bars_on_a_terminal_that_was_closed_end_no_training(capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    from kdcore.terminal import SafeStream, raw

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def flush(self) -> None:
            raise OSError(errno.EIO, "Input/output error")

    Console(file=raw(SafeStream(Closed()))).print("epoch 1")
    shown = io.StringIO()
    Console(file=raw(SafeStream(shown)), force_terminal=True, highlight=False).print("[bold]epoch 2[/]")
    assert "\x1b[1mepoch 2" in shown.getvalue()
