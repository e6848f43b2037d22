from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from kd_report.measures import top_k
from PIL import Image
from safetensors.torch import load_file

from kdcore import Interrupted, RunFailed, RunSpec, UserError, open_run, run
from kdcore.run import loop, measures
from kdcore.run import run as run_module
from kdcore.run.saving import Saver
from kdcore.rundir.directory import RunDirectory
from kdcore.rundir.summary import CLASS_MEASURES

KD = {"name": "kd"}
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "student" / "model.safetensors")


def _same(one: Path, other: Path) -> bool:
    first, second = _weights(one), _weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "images_per_second"} for record in records]


def test_a_run_leaves_everything_behind(spec_file, capsys: pytest.CaptureFixture[str]):
    path = spec_file(teacher=TEACHER, distiller=KD, train={"ema": 0.9})
    result = run(path)
    assert result.directory == path.parent / "runs" / "tiny"
    found = {item.name for item in result.directory.iterdir() if not item.name.startswith(".")}
    assert found == {
        "spec.json",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "classes.csv",
        "checkpoints",
        "student",
        "student-ema",
    }
    summary = json.loads((result.directory / "summary.json").read_text())
    assert summary == result.summary
    assert summary["status"] == "finished"
    assert summary["epochs"] == 2
    assert summary["student"]["parameters"] == sum(weight.numel() for weight in _trainable())
    _, teacher = open_run(result.directory).predict()
    assert teacher is not None
    assert summary["teacher"]["top1"] == pytest.approx(top_k(teacher.logits, teacher.target))
    assert 0 <= summary["student"]["top1"] <= summary["student"]["top5"] <= 100
    assert summary["student"]["best_epoch"] in (1, 2)
    assert summary["wall_seconds"] > 0
    assert summary["images_per_second"] > 0
    assert summary["peak_memory_bytes"] > 2**20
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert line["loss"] == pytest.approx(line["task_loss"] + line["terms"]["kd"], rel=1e-5)
        assert set(line["eval"]) == {"top1", "top5", "agreement", *CLASS_MEASURES}
        assert set(line["ema"]) == set(line["eval"])
    environment = json.loads((result.directory / "environment.json").read_text())
    assert environment["plugins"]["kd-classic"]["status"] == "loaded"
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    shown = capsys.readouterr().err
    assert "random" in shown  # the teacher has no weights from anywhere
    assert "chance" in shown
    assert "epoch 2/2" in shown


def _trainable() -> list[torch.nn.Parameter]:
    model = timm.create_model("resnet10t", num_classes=10, channels=(8, 8, 16, 16))
    return list(model.parameters())


def test_timm_loads_the_student_with_the_accuracy_that_was_reported(spec_file):
    result = run(spec_file(train={"epochs": 6}), quiet=True)
    model = timm.create_model(f"local-dir:{result.directory}/student", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    assert config["input_size"] == (3, 16, 16)
    from kdcore.data import InputConfig, build_eval_data, open_split
    from kdcore.plugins import get_plugins

    spec = RunSpec.model_validate(json.loads((result.directory / "spec.json").read_text()))
    source = open_split(spec.data, "test", plugins=get_plugins(), where="data.eval_split")
    given = InputConfig((16, 16), config["mean"], config["std"], config["interpolation"], config["crop_pct"])
    right = total = 0
    with torch.no_grad():
        for images, target in build_eval_data(source, spec.data, given, batch_size=100):
            right += int((model(images).argmax(1) == target).sum())
            total += len(target)
    assert 100 * right / total == pytest.approx(result.summary["student"]["top1"])


def test_the_same_spec_gives_the_same_weights_whatever_the_workers_and_another_seed_others(spec_file):
    specs = {
        "one": spec_file("one", teacher=TEACHER, distiller=KD),
        "beside": spec_file("beside", teacher=TEACHER, distiller=KD, data={"workers": 1}),
        "two": spec_file("two", teacher=TEACHER, distiller=KD, data={"workers": 2}),
        "other": spec_file("other", teacher=TEACHER, distiller=KD, seed=1),
    }
    processes = set(multiprocessing.active_children())
    results = {name: run(path, quiet=True) for name, path in specs.items()}
    assert set(multiprocessing.active_children()) <= processes  # no loader process outlives its run
    for name in ("beside", "two"):
        assert _same(results["one"].directory, results[name].directory)
        assert _without_times(results["one"].metrics) == _without_times(results[name].metrics)
    assert not _same(results["one"].directory, results["other"].directory)


def test_the_resolved_spec_repeats_the_run(spec_file, tmp_path: Path):
    first = run(spec_file(teacher=TEACHER, distiller={"name": "dkd", "alpha": 2.0}), quiet=True)
    again = run(first.directory / "spec.json", output=tmp_path / "again", quiet=True)
    assert again.directory == tmp_path / "again" / "tiny"
    assert _same(first.directory, again.directory)
    spec = json.loads((first.directory / "spec.json").read_text())
    assert spec["distiller"]["warmup_epochs"] == 20
    assert Path(spec["output"]).is_absolute()


def test_a_teacher_with_a_spec_is_trained_first_and_once(spec_file, capsys: pytest.CaptureFixture[str]):
    teacher = spec_file("teacher", train={"epochs": 3})
    student = spec_file("student", teacher={"run": "teacher.json"}, distiller=KD)
    result = run(student)
    assert "training 'teacher' first" in capsys.readouterr().err
    directory = RunDirectory(teacher.parent / "runs" / "teacher")
    assert directory.finished
    summary = directory.summary()
    assert summary is not None
    assert result.summary["teacher"]["top1"] == pytest.approx(summary["student"]["top1"])
    before = (directory.path / "summary.json").stat().st_mtime_ns
    run(student, existing="fresh")
    assert "training 'teacher' first" not in capsys.readouterr().err
    assert (directory.path / "summary.json").stat().st_mtime_ns == before


def test_a_run_directory_is_a_teacher_too(spec_file):
    trained = run(spec_file("teacher"), quiet=True)
    result = run(
        spec_file("student", teacher={"checkpoint": str(trained.directory)}, distiller=KD), quiet=True
    )
    assert result.summary["teacher"]["top1"] == pytest.approx(trained.summary["student"]["top1"])
    assert result.summary["teacher"]["model"] == "resnet10t"


def test_the_teacher_sees_images_as_it_was_trained(spec_file):
    trained = run(spec_file("teacher", data={"mean": [0.3], "std": [0.2], "image_size": 24}), quiet=True)
    result = run(
        spec_file(
            "student", teacher={"checkpoint": str(trained.directory)}, distiller=KD, data={"crop_pct": 1.0}
        ),
        quiet=True,
    )
    # 24 px resized from the student's 16 px differ from 24 px made of the original, but hardly
    assert result.summary["teacher"]["top1"] == pytest.approx(trained.summary["student"]["top1"], abs=10)


def test_a_finished_run_is_not_repeated(spec_file, capsys: pytest.CaptureFixture[str]):
    path = spec_file()
    first = run(path, quiet=True)
    stamp = (first.directory / "spec.json").stat().st_mtime_ns
    again = run(path)
    assert "nothing to do" in capsys.readouterr().err
    assert again.summary == first.summary
    assert again.metrics == first.metrics
    assert (first.directory / "spec.json").stat().st_mtime_ns == stamp


def test_a_run_that_another_process_ends_before_this_one_has_the_lock_is_not_repeated(
    spec_file, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    path = spec_file()
    first = run(path, quiet=True)
    before = (first.directory / "summary.json").stat()
    real, asked = run_module.finished_run, []

    def not_yet(*arguments):
        asked.append(arguments)
        return None if len(asked) == 1 else real(*arguments)

    monkeypatch.setattr(run_module, "finished_run", not_yet)
    again = run(path)
    assert "tiny: another process finished it meanwhile" in capsys.readouterr().err
    assert again.summary == first.summary
    after = (first.directory / "summary.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_spec_in_the_same_directory_is_an_error_that_shows_the_difference(spec_file):
    result = run(spec_file(), quiet=True)
    with pytest.raises(UserError) as caught:
        run(spec_file(seed=3, train={"batch_size": 8}), quiet=True)
    assert {problem.where for problem in caught.value.problems} == {"seed", "train.batch_size"}
    assert "--fresh" in str(caught.value)
    fresh = run(spec_file(seed=3, train={"batch_size": 8}), existing="fresh", quiet=True)
    assert fresh.directory == result.directory
    assert fresh.summary["steps"] == 10


def test_more_epochs_go_on_from_the_last_checkpoint(spec_file):
    run(spec_file(scheduler={"name": "none"}), quiet=True)
    longer = run(spec_file(scheduler={"name": "none"}, train={"epochs": 4}), quiet=True)
    straight = run(spec_file("straight", scheduler={"name": "none"}, train={"epochs": 4}), quiet=True)
    assert _same(longer.directory, straight.directory)
    assert _without_times(longer.metrics) == _without_times(straight.metrics)


def test_a_run_that_pauses_goes_on_to_the_same_end(spec_file):
    schedule = {"train": {"epochs": 3}, "scheduler": {"name": "cosine"}}
    whole = run(spec_file("whole", **schedule), quiet=True)
    path = spec_file("parts", **schedule)
    paused = run(path, until=1, quiet=True)
    assert (paused.summary["status"], paused.summary["epochs"]) == ("paused", 1)
    assert not (paused.directory / "student").exists()
    assert run(path, until=1, quiet=True).summary["epochs"] == 1  # it is there already
    ended = run(path, until=9, quiet=True)
    assert ended.summary["status"] == "finished"
    assert _without_times(ended.metrics) == _without_times(whole.metrics)
    assert _same(ended.directory, whole.directory)


def test_nothing_to_resume_is_said(spec_file):
    with pytest.raises(UserError, match="no run"):
        run(spec_file(), existing="resume", quiet=True)


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals) -> None:
    update = loop.Training.take_step

    def stopping(self: loop.Training) -> None:
        update(self)
        if self.state.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(loop.Training, "take_step", stopping)


@pytest.mark.parametrize(
    ("step", "number", "code"), [(1, signal.SIGINT, 130), (2, signal.SIGTERM, 143), (5, signal.SIGINT, 130)]
)
def test_a_stopped_run_goes_on_to_the_same_end(
    spec_file, monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals, code: int
):
    # 40 samples in batches of 8: five steps an epoch; dropout, momentum and EMA would show any difference
    changes: dict[str, Any] = {
        "teacher": TEACHER,
        "distiller": KD,
        "student": {"options": {"channels": [8, 8, 16, 16], "drop_rate": 0.2}},
        "train": {"batch_size": 8, "ema": 0.9},
    }
    straight = run(spec_file("straight", **changes), quiet=True)
    with monkeypatch.context() as patch:
        _stop_at(patch, step, number)
        with pytest.raises(Interrupted) as caught:
            run(spec_file("stopped", **changes), quiet=True)
    assert caught.value.exit_code == code
    directory = RunDirectory(straight.directory.with_name("stopped"))
    assert (directory.summary() or {})["status"] == "interrupted"
    assert not directory.student.exists()
    resumed = run(spec_file("stopped", **changes), existing="resume", quiet=True)
    assert _same(resumed.directory, straight.directory)
    assert _without_times(resumed.metrics) == _without_times(straight.metrics)


@pytest.mark.parametrize("evaluation", [1, 2, 3, 5])
def test_a_run_that_is_stopped_while_it_evaluates_goes_on_to_the_same_end(
    spec_file, monkeypatch: pytest.MonkeyPatch, evaluation: int
):
    changes: dict[str, Any] = {"teacher": TEACHER, "distiller": KD, "train": {"ema": 0.9}}
    straight = run(spec_file("straight", **changes), quiet=True)
    evaluate, calls = measures.evaluate, []

    def stopping(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == evaluation:  # the teacher's comes first, then student and average of each epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(measures, "evaluate", stopping)
        with pytest.raises(Interrupted):
            run(spec_file("stopped", **changes), quiet=True)
    assert len(calls) == evaluation
    resumed = run(spec_file("stopped", **changes), quiet=True)
    assert _same(resumed.directory, straight.directory)
    assert _without_times(resumed.metrics) == _without_times(straight.metrics)


def test_a_damaged_checkpoint_is_passed_over(
    spec_file, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    straight = run(spec_file("straight"), quiet=True)
    with monkeypatch.context() as patch:
        _stop_at(patch, 3, signal.SIGINT)
        with pytest.raises(Interrupted):
            run(spec_file("stopped"), quiet=True)
    newest = sorted((straight.directory.with_name("stopped") / "checkpoints").glob("step-*"))[-1]
    state = newest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    capsys.readouterr()
    resumed = run(spec_file("stopped"))
    assert newest.name in capsys.readouterr().err
    assert _same(resumed.directory, straight.directory)


def test_accumulated_batches_equal_the_big_batch(spec_file):
    # layer norm instead of batch norm, whose statistics are of a batch
    model = {
        "student": {
            "model": "convnext_atto",
            "options": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16], "drop_path_rate": 0.0},
        },
        "data": {"image_size": 32},
        "optimizer": {"momentum": 0.0},
    }
    big = run(spec_file("big", **model, train={"batch_size": 20}), quiet=True)
    parts = run(spec_file("parts", **model, train={"batch_size": 10, "accumulate": 2}), quiet=True)
    assert parts.summary["steps"] == big.summary["steps"] == 4
    first, second = _weights(big.directory), _weights(parts.directory)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        # torch's bf16 on CPUs leaves weights undefined where a convolution of stride 2 sees a grid of 1x1
        {"train": {"precision": "bf16"}, "student": {"small_input": True}},
        {"train": {"channels_last": True}},
        {"train": {"clip_grad": 1.0}},
        {"data": {"mixup": 0.4, "cutmix": 1.0}},
        {"task": {"weight": 0.5, "label_smoothing": 0.1}},
        {"optimizer": {"name": "adamw", "lr": 1e-3, "options": {"betas": [0.8, 0.95]}}},
        {"optimizer": {"name": "lookahead_adamw", "lr": 1e-3}},
        {"optimizer": {"layer_decay": 0.7}},
        {"scheduler": {"name": "plateau", "patience_epochs": 0}},
        {"scheduler": {"name": "multistep", "decay_milestones": [1]}},
        {"scheduler": {"warmup_epochs": 1, "per_step": True}},
        {"data": {"channels": 1}},
    ],
    ids=lambda changes: json.dumps(changes).replace('"', ""),
)
def test_the_settings_of_a_spec_are_taken(spec_file, changes: dict[str, Any]):
    result = run(spec_file(teacher=TEACHER, distiller=KD, **changes), quiet=True)
    assert result.summary["status"] == "finished"
    assert all(record["loss"] is not None for record in result.metrics)


def test_warm_up_and_milestones_are_in_the_metrics(spec_file):
    result = run(
        spec_file(
            train={"epochs": 4},
            optimizer={"lr": 0.1},
            scheduler={
                "name": "multistep",
                "decay_milestones": [3],
                "decay_rate": 0.5,
                "warmup_epochs": 2,
                "warmup_lr": 0.02,
            },
        ),
        quiet=True,
    )
    assert [record["lr"] for record in result.metrics] == pytest.approx([0.02, 0.06, 0.1, 0.05])


def test_with_layer_decay_the_lr_of_the_head_is_recorded(spec_file):
    changes: dict[str, Any] = {"optimizer": {"lr": 0.02, "layer_decay": 0.5}, "scheduler": {"name": "none"}}
    result = run(spec_file(train={"epochs": 1}, **changes), quiet=True)
    assert [record["lr"] for record in result.metrics] == [0.02]


def test_several_distillers_in_one_run(spec_file):
    several = [{"name": "kd", "temperature": 2.0}, {"name": "dkd", "warmup_epochs": 0}]
    result = run(spec_file(teacher=TEACHER, distiller=several, task={"weight": 0.5}), quiet=True)
    assert set(result.metrics[0]["terms"]) == {"kd.kd", "dkd.tckd", "dkd.nckd"}


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Images without labels to train on, and labelled ones to evaluate on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if number >= 160:
            break
        folder = tmp_path / "images" / ("train" if number < 60 else f"test/{label}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_unlabelled_images_will_do_without_a_task_loss(spec_file, unlabelled: Path):
    trained = run(spec_file("teacher"), quiet=True)
    changes = {
        "teacher": {"checkpoint": str(trained.directory)},
        "distiller": KD,
        "data": {"dataset": "images", "train_samples": None},
        "task": {"weight": 0},
    }
    result = run(spec_file("student", **changes), quiet=True)
    assert [record["task_loss"] for record in result.metrics] == [0, 0]
    assert result.metrics[0]["train"] == {"top1": None, "top5": None}
    assert result.summary["student"]["top1"] is not None
    assert result.summary["student"]["agreement"] is not None
    assert result.summary["teacher"]["top1"] is not None


def test_without_any_labels_the_agreement_with_the_teacher_is_measured(spec_file, unlabelled: Path):
    spec_file("teacher")
    changes = {
        "teacher": {"run": "teacher.json"},
        "distiller": KD,
        "data": {"dataset": "images", "train_samples": None, "eval_split": None},
        "task": {"weight": 0},
    }
    result = run(spec_file("student", **changes), quiet=True)
    assert result.summary["student"]["top1"] is None
    assert result.summary["student"]["best_top1"] is None
    assert result.summary["student"]["best_agreement"] == max(r["eval"]["agreement"] for r in result.metrics)


def test_without_an_evaluation_split_no_accuracy_is_told(spec_file):
    result = run(spec_file(data={"eval_split": None}, teacher=TEACHER, distiller=KD), quiet=True)
    assert all(set(record["eval"]) == {"agreement"} for record in result.metrics)
    assert all(record["train"]["top1"] is not None for record in result.metrics)
    assert result.summary["student"]["best_top1"] is None
    assert result.summary["student"]["best_agreement"] is not None


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"task": {"weight": 1.0}}, "task.weight", "no labels"),
        ({"task": {"weight": 0}, "distiller": "dkd"}, "distiller", "ground truth"),
        ({"task": {"weight": 0}, "teacher": None, "distiller": KD}, "teacher", "needs a teacher"),
    ],
)
def test_labels_that_are_needed_are_missed_before_training(
    spec_file, unlabelled: Path, changes: dict[str, Any], where: str, words: str
):
    data = {"dataset": "images", "train_samples": None, "num_classes": 10}
    path = spec_file("student", **{"teacher": TEACHER, "distiller": KD, "data": data, **changes})
    with pytest.raises(UserError, match=words) as caught:
        run(path, quiet=True)
    assert caught.value.problems[0].where == where
    assert not (path.parent / "runs").exists()


def test_a_teacher_of_other_classes_is_an_error_before_training(spec_file, unlabelled: Path):
    (unlabelled / "test" / "0").rename(unlabelled / "elsewhere")
    shutil.copytree(unlabelled / "test", unlabelled / "nine")
    nine = {"dataset": "images", "train_split": "nine", "eval_split": "nine", "train_samples": None}
    trained = run(spec_file("teacher", data=nine), quiet=True)
    for teacher, message in (
        ({"checkpoint": str(trained.directory)}, "9 classes.*10"),
        ({"run": "teacher.json"}, "learns 9 classes, but the student's data has 10"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            run(spec_file("student", teacher=teacher, distiller=KD), quiet=True)
        assert caught.value.problems[0].where.startswith("teacher")


def test_a_file_that_cannot_be_decoded_ends_the_run_in_words(spec_file, unlabelled: Path):
    broken = unlabelled / "test" / "3"
    next(broken.iterdir()).write_bytes(b"no image")
    data = {"dataset": "images", "train_split": "test", "train_samples": None}
    path = spec_file(data=data)
    with pytest.raises(RunFailed, match=r"cannot be read: .*images/test/3/"):
        run(path, quiet=True)
    summary = RunDirectory(path.parent / "runs" / "tiny").summary()
    assert summary is not None
    assert summary["status"] == "failed"


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_term(spec_file):
    path = spec_file(optimizer={"lr": 1e30}, train={"epochs": 4})
    with pytest.raises(RunFailed, match=r"task_loss became NaN or infinite at step \d+"):
        run(path, quiet=True)
    directory = RunDirectory(path.parent / "runs" / "tiny")
    summary = directory.summary()
    assert summary is not None
    assert summary["status"] == "failed"
    assert "task_loss" in summary["error"]
    assert not directory.student.exists()


def test_a_full_disk_ends_the_run_in_words(spec_file, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Saver, "save", full)
    with pytest.raises(RunFailed, match="disk is full"):
        run(spec_file(), quiet=True)


def test_an_error_that_nobody_foresaw_is_in_the_summary(spec_file, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: Any) -> None:
        raise KeyError("layer9")

    path = spec_file()
    monkeypatch.setattr(loop.Training, "take_step", failing)
    with pytest.raises(KeyError):
        run(path, quiet=True)
    summary = RunDirectory(path.parent / "runs" / "tiny").summary() or {}
    assert (summary["status"], summary["error"]) == ("failed", "'layer9'")
    monkeypatch.setattr(RunDirectory, "write_summary", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(KeyError):  # and not the error of writing it down
        run(path, quiet=True)


def test_a_run_directory_that_vanishes_ends_the_run_in_words(spec_file, monkeypatch: pytest.MonkeyPatch):
    path = spec_file()
    update = loop.Training.take_step

    def vanishing(self: loop.Training) -> None:
        shutil.rmtree(path.parent / "runs")
        (path.parent / "runs").touch()
        update(self)

    monkeypatch.setattr(loop.Training, "take_step", vanishing)
    with pytest.raises(RunFailed, match="tiny was moved or deleted during the run"):
        run(spec_file(train={"epochs": 1, "batch_size": 40}), quiet=True)


def test_more_epochs_that_were_killed_are_not_taken_for_finished(spec_file, monkeypatch: pytest.MonkeyPatch):
    run(spec_file(train={"epochs": 1}), quiet=True)
    longer = spec_file(train={"epochs": 3})
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "take_step", lambda self: (_ for _ in ()).throw(SystemExit(9)))
        with pytest.raises(SystemExit):  # like a kill: nothing is concluded
            run(longer, quiet=True)
    assert run(longer, quiet=True).summary["epochs"] == 3


def test_a_spec_made_in_python(spec_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    values = json.loads(spec_file().read_text())
    result = run(RunSpec.model_validate({**values, "name": "python", "output": "here"}), quiet=True)
    assert result.directory == tmp_path / "here" / "python"
    assert result.summary["status"] == "finished"


def test_a_teacher_whose_spec_changed_is_told_with_the_command_that_trains_it_anew(spec_file):
    teacher = spec_file("big", train={"epochs": 1})
    student = spec_file(teacher={"run": "big.json"}, distiller=KD, train={"epochs": 1})
    run(student, quiet=True)
    spec_file("big", train={"epochs": 1}, optimizer={"lr": 0.01})
    with pytest.raises(UserError) as caught:
        run(student, quiet=True, existing="fresh")
    (problem,) = caught.value.problems
    assert problem.where == "teacher.run: optimizer.lr"
    assert f"kd run {teacher} --fresh" in str(problem)


def test_a_teacher_whose_logits_are_not_finite_is_found_before_training(spec_file, tmp_path):
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    state["bn1.running_var"].fill_(-1.0)  # finite, and its root is not
    torch.save(state, tmp_path / "w.pth")
    teacher = {"model": "test_resnet", "checkpoint": "w.pth"}
    spec = spec_file(teacher=teacher, distiller="kd", data={"image_size": 32})
    with pytest.raises(UserError, match=r"^teacher: its logits are NaN or infinite for 50 of the evaluation"):
        run(spec, quiet=True)
