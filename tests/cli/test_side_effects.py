"""What importing a plugin does to the process is its own affair: commands work as without it."""

from __future__ import annotations

import json
import locale
import signal
import sys
import warnings
from pathlib import Path

ROUGH = """
    import os, signal, sys, warnings
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    sys.path.remove({site!r})
    sys.argv = ["other"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("error")
    warnings.showwarning = None
    sys.excepthook = None
    sys.stderr = None
"""


def test_the_process_is_as_it_was(add_plugin, alone, kd, tmp_path: Path):
    site = str(tmp_path / "site")
    add_plugin("kd-rough", ROUGH.format(site=site) + "\n    @hookimpl\n    def kd_distillers(): return []")
    before = (
        Path.cwd(),
        list(sys.path),
        list(sys.argv),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        list(warnings.filters),
        warnings.showwarning,
        sys.excepthook,
        locale.setlocale(locale.LC_ALL),
    )
    done = kd("plugins", "--json")
    after = (
        Path.cwd(),
        [entry for entry in sys.path if entry != "/nowhere"],
        list(sys.argv),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        list(warnings.filters),
        warnings.showwarning,
        sys.excepthook,
        locale.setlocale(locale.LC_ALL),
    )
    assert after == before
    assert sys.path[-1] == "/nowhere"  # behind all others, where it hides none
    assert {info["name"]: info["status"] for info in json.loads(done.out)}["kd-rough"] == "loaded"
    sys.path.remove("/nowhere")


def test_relative_paths_are_the_callers(add_plugin, alone, kd, tmp_path: Path, monkeypatch):
    add_plugin("kd-rough", "import os; os.chdir('/')\n1 / 0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.json").write_text('{"student": {"model": "resnet10t"}, "distiller": "vanilla"}')
    assert kd("validate", "spec.json", "--no-models").out == "spec.json is valid\n"


def test_a_plugin_that_ends_python_is_broken_and_no_more(add_plugin, alone, kd):
    add_plugin("kd-quit", "import sys; sys.exit(3)")
    done = kd("list-distillers")
    assert done.code == 0
    assert "plugin kd-quit 1.0 is broken: SystemExit: 3" in done.err


def test_no_command_waits_for_a_plugins_endless_thread(add_plugin, alone, kd_process):
    add_plugin(
        "kd-thread",
        """
        import threading, time

        def forever():
            while True:
                time.sleep(0.1)

        threading.Thread(target=forever).start()
        """,
    )
    done = kd_process("list-distillers", "--json")  # which ends after two minutes, in vain
    assert done.code == 0
    assert [item["name"] for item in json.loads(done.out)] == ["vanilla"]


def test_names_and_messages_of_plugins_are_not_obeyed(add_plugin, alone, kd, tmp_path: Path):
    folder = add_plugin("kd-red", "raise RuntimeError('\\x1b]0;owned\\x07\\u202e')")
    (folder / "entry_points.txt").write_text("[kdcore]\nkd-\x1b[31mred = kd_red\n")
    for arguments in (
        ("list-distillers",),
        ("plugins",),
        ("plugins", "kd-\x1b[31mred"),
        ("plugins", "no\x1b[31m"),
    ):
        done = kd(*arguments)
        text = done.out + done.err
        assert not [character for character in text if not (character.isprintable() or character == "\n")]
    assert r"\x1b]0;owned\x07\u202e" in kd("plugins").out
