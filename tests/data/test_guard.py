from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdcore.data import guard
from kdcore.errors import UserError

SCRIPT = """
import multiprocessing, torch
from kdcore.data.loader import make_loader, passed

{guard}:
    multiprocessing.set_start_method("{method}")
    list(passed(make_loader(torch.zeros(4, 1), workers=1, device_type="cpu", batch_size=2)))
    print("loaded")
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_script_without_a_guard_is_told_so_before_anything_starts(tmp_path: Path, method: str):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(guard="if True", method=method))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{script}: the call is not below 'if __name__ == \"__main__\":'" in done.stderr
    assert f"started by {method}" in done.stderr
    assert done.stderr.count("Traceback") == 1  # of this process alone


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("import kdcore", True),
        ("'__name__'", True),
        ("if __name__ == '__main__': pass", False),
        ("def main(): ...\nif '__main__' == __name__:\n    main()", False),
        ("this is no Python", False),
    ],
)
def test_which_scripts_are_refused(monkeypatch, tmp_path: Path, code: str, refused: bool):
    script = tmp_path / "script.py"
    script.write_text(code)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(script)))
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    if refused:
        with pytest.raises(UserError, match=r"set data\.workers to 0"):
            guard.require_guarded_script()
    else:
        guard.require_guarded_script()


def test_forked_processes_import_nothing_again(monkeypatch, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import kdcore")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(script)))
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "fork")
    guard.require_guarded_script()


def test_a_notebook_has_no_script(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    guard.require_guarded_script()
