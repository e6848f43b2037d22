from __future__ import annotations

from pathlib import Path

import pytest
from kd_compare.handles import FILE, Handle, Handles

from kdcore import LaunchJob


def job(name: str, *arguments: str) -> LaunchJob:
    folder = Path("here")
    return LaunchJob(name, arguments, folder, folder / name, folder / f"{name}.log")


def test_a_later_call_finds_what_was_started_and_has_not_ended(tmp_path: Path):
    first = Handles(tmp_path, "queue")
    first.put(job("a", "run", "a.json"), "17", 0)
    first.put(job("b"), "18", 5)
    first.forget("b")
    first.forget("never started")
    later = Handles(tmp_path, "queue")
    assert later.of("a") == Handle("queue", "17", 0, ("run", "a.json"))
    assert later.of("b") is None


def test_the_jobs_of_another_launcher_are_kept_but_not_found(tmp_path: Path):
    Handles(tmp_path, "queue").put(job("a"), "17", 0)
    other = Handles(tmp_path, "local")
    assert other.of("a") is None
    other.put(job("b"), "99", 0)
    assert Handles(tmp_path, "queue").of("a") is not None


@pytest.mark.parametrize("text", ["", "[]", '{"a": {"handle": "17"}}', '{"a": {"launcher": 1}}'])
def test_a_damaged_file_has_no_jobs(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    assert Handles(tmp_path, "queue").of("a") is None
