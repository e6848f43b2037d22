"""Trackers: a point for each epoch, once, whatever happens to the run or to the tracker."""

from __future__ import annotations

import importlib.util
import json
import signal
from types import SimpleNamespace
from typing import Any, ClassVar

import accelerate.tracking
import pytest

from kdcore import Interrupted, UserError, run
from kdcore.run import loop
from kdcore.run.trackers import Trackers, flat_record, flat_settings
from kdcore.rundir.directory import RunDirectory
from kdcore.spec.models import RunSpec

RECORDS = [{"epoch": epoch, "loss": 1.0 / epoch, "eval": {"top1": 10.0 * epoch}} for epoch in (1, 2, 3, 4)]


class Fake(accelerate.tracking.GeneralTracker):
    """Keeps in the class what it is given; a real one keeps it in a file or a service."""

    name = "wandb"
    requires_logging_directory = False
    made: ClassVar[list[Fake]] = []
    points: ClassVar[list[tuple[int, dict[str, float]]]] = []
    settings: ClassVar[list[dict[str, Any]]] = []
    broken = 0
    unstartable = False

    def __init__(
        self, run_name: str, *, name: str, dir: str, id: str | None = None, resume: str | None = None
    ) -> None:
        super().__init__()
        self.given = {"run_name": run_name, "name": name, "dir": dir, "id": id, "resume": resume}
        self.ended = False
        Fake.made.append(self)

    def start(self) -> None:
        if Fake.unstartable:
            raise ConnectionError("no network\nand more of it")

    @property
    def tracker(self) -> Any:
        return SimpleNamespace(id="run-7")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        Fake.settings.append(values)

    def log(self, values: dict[str, float], step: int | None = None, **_: Any) -> None:
        if Fake.broken > 0:
            Fake.broken -= 1
            raise ConnectionError("no network")
        Fake.points.append((step or 0, values))

    def finish(self) -> None:
        self.ended = True


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "wandb", Fake)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: True if name == "wandb" else found(name, *rest)
    )
    Fake.made, Fake.points, Fake.settings, Fake.broken, Fake.unstartable = [], [], [], 0, False
    return Fake


@pytest.fixture
def started(fake, tmp_path):
    """Starts the trackers of a spec; `started.warnings` has what they told."""

    def start(*trackers: Any) -> Trackers:
        spec = RunSpec(student={"model": "resnet18"}, distiller="kd", trackers=trackers or ("wandb",))
        found = Trackers(RunDirectory(tmp_path), start.warnings.append)
        found.start(spec, spec.model_dump(mode="json"))
        return found

    start.warnings = []
    return start


def steps():
    return [step for step, _ in Fake.points]


# -- one tracker -----------------------------------------------------------------------------------------------


def test_a_point_for_each_epoch(started):
    trackers = started()
    for last in (1, 2):
        trackers.epoch_ended(RECORDS[:last])
    trackers.close()
    assert Fake.points == [(1, {"loss": 1.0, "eval/top1": 10.0}), (2, {"loss": 0.5, "eval/top1": 20.0})]
    assert Fake.made[0].ended
    assert started.warnings == []


def test_hyperparameters_are_the_resolved_spec_and_told_once(started):
    started().close()
    (settings,) = Fake.settings
    assert (settings["optimizer.lr"], settings["distiller.name"]) == (0.05, "kd")
    assert all(isinstance(value, str | int | float) for value in settings.values())
    started()
    assert len(Fake.settings) == 1


def test_another_process_goes_on_in_the_same_run_and_repeats_no_point(started, tmp_path):
    started().epoch_ended(RECORDS[:2])
    again = started()
    again.epoch_ended(RECORDS[:1])  # trained again from an older checkpoint
    again.epoch_ended(RECORDS[:3])
    assert steps() == [1, 2, 3]
    assert [item.given["id"] for item in Fake.made] == [None, "run-7"]
    assert Fake.made[1].given["resume"] == "allow"
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"wandb": {"id": "run-7", "logged": 3}}


def test_a_tracker_that_is_new_to_a_run_gets_the_epochs_before(started):
    started().epoch_ended(RECORDS)
    assert steps() == [1, 2, 3, 4]


def test_options_are_the_trackers(started, tmp_path):
    started({"name": "wandb", "project": "ours", "dir": "/elsewhere"})
    assert Fake.made[0].given["run_name"] == "ours"
    assert Fake.made[0].given["dir"] == "/elsewhere"
    assert Fake.made[0].given["name"] == tmp_path.name


def test_an_option_that_it_does_not_take(started):
    with pytest.raises(UserError, match=r"trackers\[0\]: wandb does not take these options.*'projekt'"):
        started({"name": "wandb", "projekt": "ours"})


# -- failures --------------------------------------------------------------------------------------------------


def test_one_that_does_not_start_is_told_of(started):
    Fake.unstartable = True
    trackers = started()
    trackers.epoch_ended(RECORDS)
    trackers.close()
    assert started.warnings == ["tracker wandb is off: it did not start (ConnectionError: no network)"]


def test_one_that_fails_gets_the_epoch_with_the_next(started):
    trackers = started()
    Fake.broken = 1
    trackers.epoch_ended(RECORDS[:1])
    assert steps() == []
    trackers.epoch_ended(RECORDS[:2])
    assert steps() == [1, 2]
    assert started.warnings == [
        "tracker wandb failed; it gets this epoch with the next one (ConnectionError: no network)"
    ]


def test_one_that_always_fails_is_left_alone(started):
    trackers = started()
    Fake.broken = 10
    for last in (1, 2, 3, 4):
        trackers.epoch_ended(RECORDS[:last])
    assert Fake.broken == 7
    assert len(started.warnings) == 2
    assert "failed 3 times and is off" in started.warnings[1]


def test_a_damaged_state_begins_anew(started, tmp_path):
    (tmp_path / "trackers.json").write_text("[1")
    started().epoch_ended(RECORDS[:1])
    assert steps() == [1]


# -- flat values -----------------------------------------------------------------------------------------------


def test_a_record_is_flat_and_finite():
    record = {
        "epoch": 3,
        "lr": 0.1,
        "terms": {"dkd.tckd": 2.0},
        "eval": {"top1": 1, "agreement": None},
        "loss": float("nan"),
    }
    assert dict(flat_record(record)) == {"lr": 0.1, "terms/dkd.tckd": 2.0, "eval/top1": 1}


def test_settings_are_flat_text_numbers_and_booleans():
    spec = {
        "a": {"b": None, "c": [1, 2], "d": {}},
        "distiller": [{"name": "kd"}],
        "e": True,
        "trackers": ["x"],
    }
    assert dict(flat_settings(spec)) == {
        "a.b": "null",
        "a.c": "[1, 2]",
        "a.d": "{}",
        "distiller.0.name": "kd",
        "e": True,
    }


# -- in a run --------------------------------------------------------------------------------------------------


def test_a_missing_library_is_told_before_training(spec_file):
    if importlib.util.find_spec("comet_ml"):
        pytest.skip("comet_ml is installed")
    path = spec_file(trackers=["tensorboard", "comet_ml"])
    with pytest.raises(UserError) as raised:
        run(path)
    (problem,) = raised.value.problems
    assert (problem.where, problem.hint) == ("trackers[1]", "pip install comet-ml")
    assert not (path.parent / "runs").exists()


def test_a_run_goes_on_without_the_tracker_that_fails(fake, spec_file, capsys):
    Fake.broken = 100
    result = run(spec_file(trackers=["wandb"]))
    assert result.summary["status"] == "finished"
    assert "warning: tracker wandb failed" in capsys.readouterr().err
    assert Fake.made[0].ended


def test_trackers_are_no_change_of_the_run(fake, spec_file, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            run(spec_file(train={"epochs": 3}), quiet=True)
    run(spec_file(train={"epochs": 3}, trackers=["wandb"]), quiet=True)
    assert steps() == [1, 2, 3]


def stop_after(patch, step):
    """Ask the run to stop after so many steps, of three an epoch."""
    update = loop.Training.take_step

    def stopping(self):
        update(self)
        if self.state.step == step:
            self.context.stop.signal = signal.SIGTERM

    patch.setattr(loop.Training, "take_step", stopping)


# -- real ones -------------------------------------------------------------------------------------------------


def read_tensorboard(directory, tag):
    """Steps and values of a curve in the event files of a run directory, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard(spec_file, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    changes = {"train": {"epochs": 3}, "trackers": ["tensorboard"]}
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            run(spec_file(**changes), quiet=True)
    directory = spec_file().parent / "runs" / "tiny"
    assert [step for step, _ in read_tensorboard(directory, "eval/top1")] == [1]
    # as if the process had been killed between a point and its note
    state = json.loads((directory / "trackers.json").read_text())
    state["tensorboard"]["logged"] = 0
    (directory / "trackers.json").write_text(json.dumps(state))
    result = run(spec_file(**changes), quiet=True)
    for tag, of in (
        ("eval/top1", lambda record: record["eval"]["top1"]),
        ("lr", lambda record: record["lr"]),
    ):
        expected = [(record["epoch"], pytest.approx(of(record), rel=1e-6)) for record in result.metrics]
        assert read_tensorboard(directory, tag) == expected
    (settings,) = (directory / "tensorboard").glob("*/hparams.yml")
    assert "optimizer.lr: 0.02" in settings.read_text()


def test_a_fresh_run_has_fresh_curves(spec_file):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    path = spec_file(trackers=["tensorboard"])
    run(path, quiet=True)
    result = run(path, existing="fresh", quiet=True)
    assert [step for step, _ in read_tensorboard(result.directory, "loss")] == [1, 2]
    assert len(list((result.directory / "tensorboard").glob("events.*"))) == 1


@pytest.mark.filterwarnings("ignore")  # of mlflow and what it brings
def test_mlflow(spec_file, monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    changes = {"train": {"epochs": 3}, "trackers": [{"name": "mlflow", "project": "digits"}]}
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            run(spec_file(**changes), quiet=True)
    result = run(spec_file(**changes), quiet=True)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("digits")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("tiny", "FINISHED")
    points = [
        (point.step, point.value) for point in client.get_metric_history(found.info.run_id, "eval/top1")
    ]
    assert points == [(record["epoch"], pytest.approx(record["eval"]["top1"])) for record in result.metrics]
    assert found.data.params["optimizer.lr"] == "0.02"


@pytest.mark.filterwarnings("ignore")  # of wandb and what it brings
def test_wandb_without_a_network(spec_file, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    changes = {"train": {"epochs": 3}, "trackers": [{"name": "wandb", "project": "digits"}]}
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            run(spec_file(**changes), quiet=True)
    directory = run(spec_file(**changes), quiet=True).directory
    state = json.loads((directory / "trackers.json").read_text())["wandb"]
    assert state["logged"] == 3
    # one offline folder for each process, both of one run
    folders = list((directory / "wandb").glob(f"offline-run-*-{state['id']}"))
    assert len(folders) in (1, 2)  # one where both began within a second
