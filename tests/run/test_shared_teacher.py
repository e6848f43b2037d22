"""Several runs with one finished teacher start at the same moment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from kdcore.run import run as module
from kdcore.run.display import SilentDisplay
from kdcore.rundir.directory import DirectoryInUse, RunDirectory


def test_a_teacher_whose_end_another_run_completes_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory = RunDirectory(tmp_path / "teacher")
    monkeypatch.setattr(module, "finished_run", lambda *_: object())
    monkeypatch.setattr(module, "end_is_missing", lambda *_: True)
    teacher = SimpleNamespace(directory=directory)
    context = SimpleNamespace(loaded=teacher, display=SilentDisplay(), plugins=None)
    with directory.locked():
        with pytest.raises(DirectoryInUse, match="another process uses"):
            module._complete(teacher, None, context.display)
        module.run_teacher(context)
