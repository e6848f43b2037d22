"""`save_run`: a student of a user's own loop as a run directory, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import kdcore
from kdcore import AdaptedModel, Distillation, RunSpec, UserError, load_student, open_run, save_run
from kdcore.inspect import open_run_student

pytest.importorskip("sklearn", reason="the digits need scikit-learn")

NARROW = {"channels": [8, 8, 16, 16]}
SPEC: dict[str, Any] = {
    "student": {"model": "resnet10t", "options": NARROW},
    "data": {"dataset": "digits", "image_size": 16, "eval_samples": 20, "workers": 0},
    "distiller": "kd",
}


def spec(**changes):
    return {**SPEC, **changes}


def model(**changes):
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=10, **(NARROW | changes))


@pytest.fixture(scope="module")
def student():
    return model()


@pytest.fixture(scope="module")
def distillation(student):
    return Distillation(
        student, model(), "dkd", num_classes=10, image_size=16, warmup_epochs=0, task_weight=0.5
    )


@pytest.fixture(scope="module")
def saved(student, tmp_path_factory):
    """A student with what was measured of it."""
    records = [
        {"epoch": 1, "loss": 2.5, "lr": 0.1, "eval": {"top1": 20.0}},
        {"epoch": 2, "loss": torch.tensor(2.0).item(), "eval": {"top1": 30.0}},
    ]
    folder = tmp_path_factory.mktemp("own") / "mine"
    return save_run(folder, student, SPEC, metrics={"top1": torch.tensor(30.0)}, records=records)


def test_it_is_a_finished_run_with_this_student(saved, student):
    assert saved.finished
    assert saved.own_loop
    assert saved.damage() is None
    assert not list(saved.path.parent.glob(".*"))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = student.eval()(images)
        assert torch.equal(load_student(saved.path).model(images), expected)
        timms = timm.create_model(f"local-dir:{saved.student}", pretrained=True).eval()
        assert torch.equal(timms(images), expected)


def test_nothing_is_said_that_was_not_given(saved):
    summary = saved.summary()
    assert summary == {
        "status": "finished",
        "loop": "own",
        "student": {"model": "resnet10t", "top1": 30.0, "epoch": 2, "parameters": 42050},
        "data": {"num_classes": 10, "image_size": [16, 16]},
        "epochs": 2,
    }
    assert [record["eval"]["top1"] for record in saved.metrics()] == [20.0, 30.0]
    written = saved.spec()
    assert not {"seed", "optimizer", "scheduler", "train", "task", "checkpoint"} & written.keys()
    assert not {"augment", "mixup", "train_samples"} & written["data"].keys()
    assert written["student"]["options"] == NARROW
    assert "pretrained" not in written["student"]
    about = saved.environment()
    assert (about["loop"], about["packages"]["torch"]) == ("own", torch.__version__.split("+")[0])
    assert not {"device", "processes", "starts"} & about.keys()


def test_it_opens_again(saved):
    opened = open_run(saved.path)
    assert len(opened.images.whole) == 20
    predictions, teacher = opened.predictions
    assert (len(predictions), teacher) == (20, None)
    again = open_run_student(saved.path)
    assert (again.epoch, again.scores, again.finished) == (2, {"top1": 30.0}, True)
    assert again.class_names == tuple("0123456789")
    with pytest.raises(UserError, match="no best epoch"):
        open_run_student(saved.path, "best")
    with pytest.raises(UserError, match="no averaged student"):
        open_run_student(saved.path, "ema")


def test_kd_run_finds_it_and_continues_nothing(saved, tmp_path):
    before = sorted(saved.path.rglob("*"))
    found = kdcore.run(saved.path, quiet=True)
    assert found.summary == saved.summary()
    assert sorted(saved.path.rglob("*")) == before  # no report, no hook, no notification
    for changes in ("seed=3", "train.epochs=9"):
        with pytest.raises(UserError, match="trained outside of kd"):
            kdcore.run(saved.path, overrides=[changes], quiet=True)
    other = tmp_path / "mine.json"
    other.write_text(json.dumps(spec(output=str(saved.path.parent))))
    with pytest.raises(UserError, match="trained outside of kd"):
        kdcore.run(other, quiet=True)


def test_it_teaches(saved, tmp_path):
    below = spec(
        name="below",
        output=str(tmp_path),
        teacher={"checkpoint": str(saved.path)},
        train={"epochs": 1, "batch_size": 20},
        report=False,
    )
    below["data"] = SPEC["data"] | {"train_samples": 20}
    found = kdcore.run(below, quiet=True).summary
    assert found["teacher"]["model"] == "resnet10t"
    with pytest.raises(UserError, match=r"teacher\.run.*outside of kd") as caught:
        kdcore.validate(below | {"teacher": {"run": str(saved.path)}})
    assert f'"checkpoint": "{saved.path}"' in caught.value.problems[0].hint


def test_nothing_was_measured(distillation, tmp_path):
    """A Distillation says which distillers there were, and the weight of the task loss."""
    run = save_run(tmp_path / "x", distillation, {key: SPEC[key] for key in ("student", "data")})
    assert run.summary()["student"] == {"model": "resnet10t", "epoch": None, "parameters": 42050}
    assert "epochs" not in run.summary()
    assert run.metrics() == []
    assert run.spec()["distiller"] == {"name": "dkd"}
    assert run.spec()["task"] == {"weight": 0.5}
    assert open_run_student(run.path).epoch is None


def test_a_distiller_of_ones_own(student, tmp_path):
    class Mine(nn.Module):
        requires = kdcore.Requires(teacher=False)

        def forward(self, student, teacher, batch, progress):
            return {"zero": student.logits.sum() * 0}

    own = Distillation(student, None, [Mine(), "vanilla"], num_classes=10, image_size=16, task_weight=1.0)
    run = save_run(tmp_path / "x", own, {key: SPEC[key] for key in ("student", "data")})
    assert run.spec()["distiller"] == [{"name": "mine"}, {"name": "vanilla"}]
    assert open_run(run.path).spec.distiller[0].name == "mine"
    with pytest.raises(UserError, match=r"trained by another one") as caught:
        save_run(tmp_path / "y", own, SPEC)
    assert "mine, vanilla" in caught.value.problems[0].allowed


class OptimizedModule(nn.Module):
    """Has the name and the attribute of `torch.compile`'s, which takes seconds to import."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


def test_wrappers_and_modes(student, tmp_path):
    student.train()
    student.bn1.eval()  # a frozen norm stays frozen
    wrapped = nn.parallel.DataParallel(student)
    run = save_run(tmp_path / "x", AdaptedModel(model=OptimizedModule(student)), RunSpec(**SPEC))
    assert (student.training, student.bn1.training, student.layer1.training) == (True, False, True)
    assert load_student(run.path).config.class_names == tuple("0123456789")
    save_run(tmp_path / "y", wrapped, SPEC)
    student.eval()


def test_a_spec_file_with_paths_and_a_task_weight(student, saved, tmp_path):
    file = tmp_path / "spec.toml"
    teacher = tmp_path / "teacher"
    teacher.symlink_to(saved.path)
    file.write_text(
        'distiller = "kd"\n[student]\nmodel = "resnet10t"\noptions = {channels = [8, 8, 16, 16]}\n'
        '[data]\ndataset = "digits"\nimage_size = 16\nmixup = 0.2\n[teacher]\ncheckpoint = "teacher"\n'
        "[task]\nweight = 0.3\n[optimizer]\nlr = 0.25\n"
    )
    run = save_run(tmp_path / "runs" / "x", student, file)
    written = run.spec()
    assert written["teacher"]["checkpoint"] == str(teacher)
    assert (written["task"], written["optimizer"]) == ({"weight": 0.3}, {"lr": 0.25})
    assert (written["data"]["mixup"], written["name"], written["output"]) == (
        0.2,
        "x",
        str(tmp_path / "runs"),
    )


# -- what is refused -----------------------------------------------------------------------------------------------


def refused(tmp_path, *arguments, match, **keywords):
    with pytest.raises(UserError, match=match) as caught:
        save_run(tmp_path / "bad", *arguments, **keywords)
    assert not list(tmp_path.iterdir())
    return caught.value.problems


def test_a_directory_that_exists(student, saved, tmp_path):
    content = (saved.path / "summary.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        save_run(saved.path, student, SPEC)
    assert (saved.path / "summary.json").read_bytes() == content
    with pytest.raises(UserError, match="cannot have this name"):
        save_run(tmp_path / "no name", student, SPEC)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=r"is a file|cannot be written"):
        save_run(file / "x", student, SPEC)


class Other(nn.Module):
    """The same weights, and other outputs."""

    def __new__(cls):
        made = model()
        made.maxpool = nn.Identity()
        return made


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: model(channels=[8, 8, 16, 32]),
            r"not the model that the spec names.*layer4\.0\.conv1\.weight",
        ),
        (
            lambda: timm.create_model("resnet10t", num_classes=5, **NARROW),
            r"fc\.weight has the shape \[5, 16\]",
        ),
        (lambda: nn.Linear(2, 2), r"it has no conv1\.0\.weight.*more\)"),
        (Other, "gives other outputs"),
        (lambda: "resnet10t", "not a torch.nn.Module"),
        (lambda: nn.Identity(), "not a torch.nn.Module with weights"),
    ],
)
def test_another_student(make, match, tmp_path):
    refused(tmp_path, make(), SPEC, match=match)


def test_weights_that_are_not_finite(tmp_path):
    broken = model()
    with torch.no_grad():
        broken.fc.bias[3] = float("nan")
    refused(tmp_path, broken, SPEC, match=r"finite numbers: fc\.bias")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"data": {"image_size": 16}}, r"data\.dataset: is missing"),
        ({"data": {"dataset": "digitz"}}, "did you mean 'digits'"),
        ({"student": {"model": "resnet10"}}, "did you mean 'resnet10t'"),
        ({"student": {"model": "module"}}, "student"),
        ({"distiller": "dkdd"}, "did you mean"),
        ({"train": {"ema": 0.9}}, r"train\.ema"),
        ({"teacher": {"model": "resnet10t", "learns": True}}, r"teacher\.learns"),
        ({"data": {"dataset": "digits", "num_classes": 12}}, "digits has 10 classes"),
    ],
)
def test_a_wrong_spec(student, changes, match, tmp_path):
    refused(tmp_path, student, spec(**changes), match=match)


def test_a_spec_that_is_none(student, tmp_path):
    refused(tmp_path, student, 3, match="it must be a dict, a file or a RunSpec")
    refused(tmp_path, student, {"data": SPEC["data"]}, match="student")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (list("012345678"), "10 classes"),
        (list("0123456788"), "two classes have this name"),
        ("0123456789", "10 classes"),
        (list("9876543210"), "another order"),
        ([*range(10)], "a text"),
    ],
)
def test_wrong_class_names(student, names, match, tmp_path):
    refused(tmp_path, student, SPEC, match=match, class_names=names)


@pytest.mark.parametrize(
    ("metrics", "match"),
    [
        ({"accuracy": 91.0}, "did you mean 'top1'"),
        ({"macro-f1": 91.0}, "did you mean 'macro_f1'"),
        ({"top1": 191.0}, "in percent"),
        ({"top1": float("nan")}, "finite"),
        ({"top1": "91"}, "finite"),
        ({"top1": torch.zeros(2)}, "finite"),
    ],
)
def test_wrong_metrics(student, metrics, match, tmp_path):
    refused(tmp_path, student, SPEC, match=match, metrics=metrics)


def test_a_fraction_is_a_warning(student, tmp_path):
    with pytest.warns(UserWarning, match=r"metrics\.top1 is 0\.9: kd's measures are in percent") as caught:
        save_run(tmp_path / "x", student, SPEC, metrics={"top1": 0.9})
    assert Path(caught[0].filename) == Path(__file__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_run(tmp_path / "y", student, SPEC, metrics={"top1": 0.0})


@pytest.mark.parametrize(
    ("records", "match"),
    [
        ([{"loss": 1.0}], "'epoch' is missing"),
        ([{"epoch": 1}, {"epoch": 1}], "later than the one before"),
        ([{"epoch": 1, "eval": {"top1": 120}}], r"records\[0\]\.eval\.top1"),
        ([{"epoch": 1, "loss": torch.tensor(1.0)}], "must be numbers"),
        ([{"epoch": 1, "loss": "low"}], "not a whole number or a number"),
    ],
)
def test_wrong_records(student, records, match, tmp_path):
    refused(tmp_path, student, SPEC, match=match, records=records)


def test_the_disk_is_full(student, tmp_path, monkeypatch):
    def full(*_args, **_kw):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kdcore.run.save_run.save_student", full)
    refused(tmp_path, student, SPEC, match="cannot be written: No space left")
