"""Runs that end early (train.patience, a plugin's request), and the student that is kept (train.keep)."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from kdcore import Interrupted, RunDirectory, RunFailed, UserError, run
from kdcore.inspect import open_run_student
from kdcore.plugins import Plugins, get_plugins
from kdcore.run import measures
from kdcore.run.early_stop import patience_over
from kdcore.run.saving import Saver
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.spec.train_spec import TrainSpec


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "ends"),
    [
        ([50.0, 50.0], 2, 0.0, False),  # one epoch without a better score
        ([50.0, 50.0, 50.0], 2, 0.0, True),
        ([50.0, 49.0, 50.1, 50.0], 2, 0.0, False),
        ([50.0, 50.4, 50.8, 51.2], 3, 0.5, False),  # 50.8 is above 50.0 by more than 0.5
        ([50.0, 50.4, 50.5, 50.3], 3, 0.5, True),
        ([None, None], 2, 0.0, True),
        ([None, 10.0, None], 2, 0.0, False),
        ([1.0] * 50, None, 0.0, False),
    ],
)
def test_when_patience_is_over(scores, patience, min_delta, ends):
    train = TrainSpec(patience=patience, min_delta=min_delta)
    assert (patience_over(scores, train) is not None) == ends
    assert all(patience_over(scores[:count], train) is None for count in range(1, len(scores)))


def test_the_reason_names_the_best_epoch():
    train = TrainSpec(patience=2, min_delta=0.5)
    assert patience_over([40.0, 50.0, 50.5, 50.25], train) == (
        "train.patience = 2: no better score by more than 0.5 since epoch 2 (50.00 %)"
    )


@pytest.fixture
def scored(monkeypatch):
    """Replaces the top-1 of the student's evaluations by these, in their order."""

    def replace_by(*scores):
        given, real = iter(scores), measures.evaluate

        def evaluate(*arguments, **options):
            return replace(
                real(*arguments, **options), top1=next(given, 0.0)
            )  # after the last epoch: the details

        monkeypatch.setattr(measures, "evaluate", evaluate)

    return replace_by


def weights(folder: Path):
    return {name: value.tolist() for name, value in load_file(folder / "model.safetensors").items()}


def test_patience_ends_a_run_that_is_then_finished(spec_file, scored):
    scored(30.0, 40.0, 40.0, 39.0)
    path = spec_file(train={"epochs": 6, "patience": 2})
    result = run(path, quiet=True)
    assert result.summary["status"] == "finished"
    assert result.summary["epochs"] == 4
    assert "since epoch 2 (40.00 %)" in result.summary["ended_early"]
    assert result.summary["student"]["top1"] == 39.0
    assert result.summary["student"]["epoch"] == 4
    assert open_run_student(result.directory).epoch == 4
    again = run(path, quiet=True)  # nothing to do: another evaluation would have no score
    assert again.summary == result.summary


def test_an_end_that_was_killed_is_completed_without_another_epoch(spec_file, scored, monkeypatch):
    scored(30.0, 20.0)
    path = spec_file(train={"epochs": 6, "patience": 1})
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_summary", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(path, quiet=True)
    result = run(path, quiet=True)
    assert (result.summary["status"], result.summary["epochs"]) == ("finished", 2)


def _killed(*_):
    raise KeyboardInterrupt


def test_a_paused_run_keeps_its_patience(spec_file, scored):
    scored(30.0, 20.0, 20.0)
    path = spec_file(train={"epochs": 6, "patience": 2})
    assert run(path, until=2, quiet=True).summary["status"] == "paused"
    assert run(path, until=5, quiet=True).summary["epochs"] == 3


def test_the_best_student_is_kept(spec_file, scored):
    scored(30.0, 60.0, 50.0)
    result = run(spec_file(train={"epochs": 3, "keep": "best", "ema": None}), quiet=True)
    student = result.summary["student"]
    assert (student["top1"], student["epoch"], student["best_epoch"]) == (60.0, 2, 2)
    best = Checkpoints(result.directory / "checkpoints").load_best()["student"]
    assert weights(result.directory / "student") == {name: value.tolist() for name, value in best.items()}
    opened = open_run_student(result.directory)
    assert (opened.weights, opened.epoch, opened.scores["top1"]) == ("best", 2, 60.0)


def test_the_kept_student_equals_the_one_of_a_run_that_ended_there(spec_file, scored):
    scored(30.0, 60.0, 50.0, 30.0, 60.0)
    whole = run(spec_file("whole", train={"epochs": 3, "keep": "best"}), quiet=True)
    paused = run(spec_file("paused", train={"epochs": 3, "keep": "best"}), until=2, quiet=True)
    state = Checkpoints(paused.directory / "checkpoints").peek()
    assert state is not None
    trained = {
        name.removeprefix("student."): value.tolist()
        for name, value in state["distillation"].items()
        if name.startswith("student.")
    }
    assert weights(whole.directory / "student") == trained


def test_a_damaged_best_student_is_a_failure_that_says_so(spec_file, scored, monkeypatch):
    scored(30.0, 20.0)
    path = spec_file(train={"epochs": 2, "keep": "best"})
    real = measures.Measures.student

    def student(self, *arguments, **options):
        best = self._context.directory.checkpoints / "best" / "manifest.json"
        best.unlink(missing_ok=True)
        return real(self, *arguments, **options)

    monkeypatch.setattr(measures.Measures, "student", student)
    with pytest.raises(
        Exception, match=r"the student of the best epoch.*manifest\.json is damaged or missing"
    ):
        run(path, quiet=True)


def _trained(folder: Path) -> dict[str, list]:
    """The student's weights in the newest checkpoint."""
    state = Checkpoints(folder).peek(pytest.fail)
    assert state is not None
    of = {name.removeprefix("student."): value for name, value in state["distillation"].items()}
    return {name: value.tolist() for name, value in of.items()}


def test_a_stop_while_the_best_student_is_measured_leaves_the_checkpoint_of_the_last_epoch(
    spec_file, scored, monkeypatch
):
    scored(30.0, 20.0)
    path = spec_file(train={"epochs": 2, "keep": "best"})
    folder, real, before = path.parent / "runs" / "tiny" / "checkpoints", measures.Measures.student, []

    def student(self, *arguments, final=None, **options):
        if not final:
            return real(self, *arguments, **options)
        before.append(_trained(folder))
        self._context.stop.signal = signal.SIGTERM
        raise measures.Stopped

    monkeypatch.setattr(measures.Measures, "student", student)
    with pytest.raises(Interrupted):
        run(path, quiet=True)
    assert before == [_trained(folder)]


def _killed_in_second_epoch(real):
    def killed(self, *arguments):
        if self._state.epoch == 2:
            raise KeyboardInterrupt
        real(self, *arguments)

    return killed


@pytest.mark.parametrize("at", ["save", "save_best"])
def test_a_kill_next_to_the_best_student_leaves_one_that_the_checkpoint_knows(
    spec_file, scored, monkeypatch, at
):
    scored(30.0, 60.0, *((60.0,) if at == "save" else ()))
    path = spec_file(train={"epochs": 2, "keep": "best"})
    folder = path.parent / "runs" / "tiny" / "checkpoints"
    with monkeypatch.context() as patch:
        patch.setattr(Saver, at, _killed_in_second_epoch(getattr(Saver, at)))
        with pytest.raises(KeyboardInterrupt):
            run(path, quiet=True)
    assert Checkpoints(folder).about_best()["epoch"] == 1
    assert Checkpoints(folder).peek()["best"]["epoch"] == (1 if at == "save" else 2)
    result = run(path, quiet=True)
    student = result.summary["student"]
    assert (student["top1"], student["epoch"], student["best_epoch"]) == (60.0, 2, 2)
    assert Checkpoints(folder).about_best()["epoch"] == 2
    assert weights(result.directory / "student") == _trained(folder)


def test_a_best_student_of_another_epoch_is_not_taken_for_the_best(spec_file, scored, monkeypatch):
    scored(30.0, 20.0)
    monkeypatch.setattr(Checkpoints, "about_best", lambda self: {"epoch": 7})
    with pytest.raises(RunFailed, match=r"best epoch is lost: .*best holds that of epoch 7.* epoch is 1"):
        run(spec_file(train={"epochs": 2, "keep": "best"}), quiet=True)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"patience": 3}, "train.patience"),
        ({"keep": "best"}, "train.keep"),
        ({"min_delta": 0.5}, "train.min_delta"),
    ],
)
def test_what_needs_an_evaluation_is_refused_without_one(spec_file, section, where):
    with pytest.raises(UserError) as caught:
        run(spec_file(train=section, data={"eval_split": None}), quiet=True)
    assert [problem.where for problem in caught.value.problems] == [where]


def test_a_plugin_ends_the_training(spec_file, monkeypatch):
    def epoch_ended(self, directory, metrics, warn=None):
        return "plugin kd-fox: enough" if metrics["epoch"] == 2 else None

    monkeypatch.setattr(Plugins, "epoch_ended", epoch_ended)
    path = spec_file(train={"epochs": 5})
    result = run(path, quiet=True)
    assert (result.summary["status"], result.summary["epochs"]) == ("finished", 2)
    assert result.summary["ended_early"] == "plugin kd-fox: enough"
    state = Checkpoints(result.directory / "checkpoints").peek()
    assert state is not None
    assert state["ended"] == "plugin kd-fox: enough"


def test_the_first_plugin_that_asks_gives_the_reason(install, tmp_path):
    entry = (
        "from kdcore import StopTraining, hookimpl\n@hookimpl\ndef kd_epoch_ended(metrics):\n    return {}"
    )
    install("kd-ant", entry.format("None"))
    install("kd-bee", entry.format("StopTraining('as good as its teacher')"))
    install("kd-cat", entry.format("'stop'"))
    warnings = []
    reason = get_plugins().epoch_ended(RunDirectory(tmp_path), {"epoch": 1}, warnings.append)
    assert reason == "plugin kd-bee: as good as its teacher"
    assert warnings == [
        "plugin kd-cat: kd_epoch_ended() returned str; it may return a StopTraining or None; the run continues"
    ]
