from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from kdcore.errors import RunFailed, UserError
from kdcore.rundir.directory import RunDirectory
from kdcore.rundir.files import atomic, finite, remove_leftovers, write_json


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "one")


def test_an_untouched_folder_holds_no_run(run: RunDirectory):
    assert not run.exists
    assert not run.finished
    assert run.metrics() == []
    assert run.summary() is None


def test_what_is_written_is_read_again(run: RunDirectory):
    run.begin({"name": "one"}, {"python": "3"})
    run.write_metrics([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("nan")}])
    run.write_summary({"status": "finished"})
    assert run.spec() == {"name": "one"}
    assert run.metrics() == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    assert run.finished
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_environment_is_that_of_the_newest_start(run: RunDirectory):
    assert run.environment() == {}
    run.begin({}, {"packages": {"torch": "2.9"}})
    run.begin({}, {"packages": {"torch": "2.10"}})
    assert run.environment()["packages"] == {"torch": "2.10"}
    (run.path / "environment.json").write_text("[")
    assert run.environment() == {}


def test_a_folder_that_is_moved_or_deleted_while_it_is_locked_is_noticed(run: RunDirectory):
    other = RunDirectory(run.path)
    with run.locked():
        run.check_place()
        moved = run.path.rename(run.path.with_name("moved"))
        assert run.replaced
        run.path.mkdir()
        (run.path / ".lock").touch()  # another run has begun there
        assert run.replaced
        assert not other.replaced  # it has not locked it
        with pytest.raises(RunFailed, match="one was moved or deleted during the run"):
            run.check_place()
        shutil.rmtree(run.path)
        moved.rename(run.path)
        run.check_place()
        (run.path / ".lock").unlink()
        run.check_place()  # somebody removed the dot files, and nothing else
        shutil.rmtree(run.path)
        assert run.replaced
    assert not run.replaced


def test_an_interrupted_run_is_not_finished(run: RunDirectory):
    run.begin({}, {})
    run.write_summary({"status": "interrupted"})
    assert run.exists
    assert not run.finished


def test_a_run_that_goes_on_is_not_finished_any_more(run: RunDirectory):
    run.begin({}, {})
    run.write_summary({"status": "finished"})
    run.begin({}, {})
    assert not run.finished


def test_a_folder_that_cannot_be_made_is_told(run: RunDirectory):
    run.path.parent.write_text("a file is in the way")
    with (
        pytest.raises(UserError, match=r"output: .*/one cannot be written: Not a directory"),
        run.locked(),
    ):
        raise AssertionError("nothing was locked")


def test_starting_over_removes_the_run_and_spares_the_rest(run: RunDirectory):
    run.begin({}, {})
    run.write_summary({"status": "finished"})
    (run.path / "notes.txt").write_text("mine")
    run.clear()
    assert not run.exists
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_starting_over_that_is_killed_leaves_nothing_to_continue_from(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    run.begin({}, {})
    run.write_summary({"status": "finished"})
    (run.checkpoints / "step-00000001").mkdir()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run.clear()
    assert not run.checkpoints.exists()
    assert not run.finished
    with run.locked():  # the next start
        assert sorted(path.name for path in run.path.iterdir()) == [".lock", "environment.json", "spec.json"]


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl"])
def test_a_file_that_another_process_removes_now_is_not_damaged(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, name: str
):
    run.begin({}, {})
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.name == name or real(path))
    assert run.summary() is None
    assert run.metrics() == []


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_file_is_named(run: RunDirectory, content: str):
    run.begin({}, {})
    (run.path / "spec.json").write_text(content)
    with pytest.raises(UserError, match=r"spec\.json"):
        run.spec()


def _hold(
    path: Path, ready: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event
) -> None:
    with RunDirectory(path).locked():
        ready.set()
        done.wait(300)


def test_a_second_process_is_kept_out(run: RunDirectory):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(run.path, ready, done))
    other.start()
    try:
        assert ready.wait(240)
        with pytest.raises(UserError, match="another process"), run.locked():
            pass
    finally:
        done.set()
        other.join()
    with run.locked():
        pass


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_with_one_number_write_one_file(tmp_path: Path):
    """Processes of two containers that share the folder."""
    path = tmp_path / "file"
    with atomic(path) as first:
        first.write(b"first")
        with atomic(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_removed(tmp_path: Path):
    left = [tmp_path / f".file.{number}.tmp" for number in ("999999999", "999999999-0a1b2c3d")]
    kept = tmp_path / ".file.1-0a1b2c3d.tmp"  # of a process that is there
    for path in (*left, kept):
        path.touch()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


def test_only_what_was_left_of_one_name_is_removed(tmp_path: Path):
    own, other = tmp_path / ".out.999999999.tmp", tmp_path / ".notes.999999999.tmp"
    replaced = tmp_path / ".env.999999999.old"
    for path in (own, other, replaced):
        path.touch()
    remove_leftovers(tmp_path, name="out")
    assert sorted(tmp_path.iterdir()) == [replaced, other]


def test_numbers_that_json_lacks_become_null():
    assert finite({"a": [1.0, float("inf"), (float("nan"), 2)], "b": "x"}) == {
        "a": [1.0, None, [None, 2]],
        "b": "x",
    }
