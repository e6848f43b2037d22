"""Transforms of the student: applied once, built again from their records by everything that opens the student."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import kdcore
from kdcore import Problem, RunDirectory, UserError
from kdcore.inspect import open_run_student
from kdcore.models.transformed import transformed

ENTRY = """
from kdcore import TransformEntry, hookimpl

@hookimpl
def kd_transforms():
    return [
        TransformEntry("pick", "Fewer inputs of the classifier.", "kd_pick_code:Pick", "kd_pick_options:PickOptions"),
        TransformEntry("plain", "It has no options.", "kd_pick_code:Plain"),
    ]
"""
OPTIONS = """
from kdcore import Options
from pydantic import Field

class PickOptions(Options):
    count: int = Field(default=4, ge=1, description="How many.")
"""
CODE = """
import torch
from torch import nn
from kdcore import Problem, Transformed, UserError

calls = []

class Picked(nn.Module):
    def __init__(self, indices, head):
        super().__init__()
        self.register_buffer("indices", torch.tensor(indices, device=head.weight.device), persistent=False)
        self.head = nn.Linear(len(indices), head.out_features, device=head.weight.device)

    def forward(self, x):
        return self.head(x[:, self.indices])

class Pick:
    def __init__(self, options):
        self.options = options

    def apply(self, model, setup):
        calls.append((setup.where, setup.num_classes, setup.image_size))
        norms = model.fc.weight.norm(dim=0)
        if self.options.count > len(norms):
            raise UserError(Problem("count", "there are not so many", self.options.count, str(len(norms))))
        indices = norms.topk(self.options.count).indices.tolist()
        head = model.fc
        model.fc = Picked(indices, head)
        with torch.no_grad():
            model.fc.head.weight.copy_(head.weight[:, indices])
            model.fc.head.bias.copy_(head.bias)
        return Transformed(model, {"indices": indices}, (f"{len(indices)} of {len(norms)} inputs stay",))

    def rebuild(self, model, record):
        head = model.fc
        model.fc = Picked(record["indices"], head)
        if head.weight.device.type != "meta":
            with torch.no_grad():
                model.fc.head.weight.copy_(head.weight[:, record["indices"]])
                model.fc.head.bias.copy_(head.bias)
        return model

class Plain:
    def __init__(self, options):
        assert options is None

    def apply(self, model, setup):
        model.fc.scale = 2
        return Transformed(model, {}, ("nothing changed",), ("it does nothing",))

    def rebuild(self, model, record):
        model.fc.scale = 2
        return model
"""
NET = {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}


@pytest.fixture
def calls(install):
    """The calls of `apply` of a plugin with two transforms."""
    install("kd-pick", ENTRY, kd_pick_code=CODE, kd_pick_options=OPTIONS)
    import kd_pick_code

    return kd_pick_code.calls


@pytest.fixture
def spec(tmp_path):
    """A spec of a run of two short epochs, as a dict."""

    def call(name, transform, **more):
        return {
            "name": name,
            "output": str(tmp_path / "runs"),
            "data": {
                "dataset": "digits",
                "image_size": 16,
                "workers": 0,
                "train_samples": 32,
                "eval_samples": 20,
            },
            "student": {**NET, **({} if transform is None else {"transform": transform})},
            "distiller": "vanilla",
            "train": {"epochs": 2, "batch_size": 16},
            "report": False,
            **more,
        }

    return call


def run(spec, **how):
    return Path(kdcore.run(spec, quiet=True, **how).directory)


def weights(folder):
    return kdcore.load_student(folder).model.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_applies_it_once_and_goes_on_to_the_same_bits(calls, spec, tmp_path):
    whole = run(spec("whole", {"name": "pick"}))
    assert set(calls) == {("student.transform", 10, (16, 16))}
    assert weights(whole)["fc.head.weight"].shape == (10, 4)
    stopped = run(spec("whole", {"name": "pick"}, output=str(tmp_path / "other")), until=1)
    opened = kdcore.open_run(stopped)
    assert opened.student.model.fc.head.in_features == 4
    assert opened.student.network.model == "transformed-student"
    applied = len(calls)
    assert run(spec("whole", {"name": "pick"}, output=str(tmp_path / "other"))) == stopped
    assert len(calls) == applied  # its record is in the run directory
    assert same(weights(whole), weights(stopped))
    kept = json.loads((whole / "transforms.json").read_text())
    assert kept["notes"] == ["4 of 8 inputs stay"]
    assert kept["transforms"][0]["name"] == "kd-pick/pick"
    assert kept["transforms"][0]["options"] == {"count": 4}
    assert open_run_student(whole, "best").model.fc.head.in_features == 4
    assert json.loads((whole / "student" / "config.json").read_text())["architecture"].endswith(
        "_needs_kdcore"
    )


def test_the_run_directory_alone_is_enough_elsewhere(calls, spec, tmp_path):
    whole = run(spec("first", "pick", train={"epochs": 1, "batch_size": 16}))
    again = spec("second", [{"name": "pick", "count": 2}])
    again["student"]["checkpoint"] = str(tmp_path / "gone")
    shutil.copytree(whole, tmp_path / "gone")
    with pytest.raises(UserError, match="student"):  # its classifier is not a layer of 4 inputs any more
        run(again)
    again["student"].pop("transform")
    second = run(again)  # the model's name before its transforms is enough
    shutil.rmtree(tmp_path / "gone")
    shutil.move(second, tmp_path / "moved")
    applied = len(calls)
    assert kdcore.load_student(tmp_path / "moved").model.fc.head.in_features == 4
    assert kdcore.open_run(tmp_path / "moved").student.classes is not None
    assert len(calls) == applied


def test_the_student_of_such_a_run_is_a_teacher(calls, spec, tmp_path):
    (tmp_path / "teacher.json").write_text(json.dumps(spec("teacher", "pick")))
    taught = spec("taught", ["pick", {"name": "plain"}], teacher={"run": str(tmp_path / "teacher.json")})
    taught["distiller"] = "kd"
    report = kdcore.validate(taught)
    assert report.transforms == ("4 of 8 inputs stay", "nothing changed")
    ((_, parameters),) = report.teachers.values()
    assert parameters == report.student_parameters  # the teacher's run has not begun
    assert "student  4 of 8 inputs stay" in report.lines()
    assert "student.transform[1]: it does nothing" in report.warnings
    directory = RunDirectory(run(taught))
    assert directory.summary()["teacher"]["model"] == "transformed-student"


@pytest.mark.parametrize(
    ("transform", "where", "said"),
    [
        ("pik", "student.transform.name", "pick"),
        ({"name": "pick", "cuont": 3}, "student.transform.cuont", "count"),
        ([{"name": "pick", "count": 0}], "student.transform[0].count", "1 or more"),
        ([{"name": "plain", "count": 3}], "student.transform[0].count", "has no options"),
        ({"count": 3}, "student.transform.name", "missing"),
        (3, "student.transform", "another type is wanted"),
        ([], "student.transform", "one transform at least"),
        (["pick", {"name": "pick", "count": 9}], "student.transform[1]", "Picked"),
        ({"name": "pick", "count": 9}, "student.transform.count", "there are not so many"),
    ],
)
def test_what_is_refused_and_where(transform, where, said, calls, spec):
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec("wrong", transform))
    (problem,) = caught.value.problems
    assert problem.where == where
    assert said in str(problem)


@pytest.mark.parametrize(
    ("method", "does", "said"),
    [
        (
            "apply",
            lambda self, model, setup: kdcore.Transformed(None, {}),
            r"Transformed\(model=...\) is NoneType",
        ),
        (
            "apply",
            lambda self, model, setup: kdcore.Transformed(model.requires_grad_(False), {}),
            "no parameter that",
        ),
        ("rebuild", lambda self, model, record: None, r"rebuild\(\) returned NoneType, not an nn.Module"),
        (
            "rebuild",
            lambda self, model, record: model,
            r"fc\.bias is not there after apply\(\), and \[10\] after",
        ),
    ],
)
def test_what_breaks_a_promise_names_the_plugin(method, does, said, calls, spec, monkeypatch):
    import kd_pick_code

    monkeypatch.setattr(kd_pick_code.Pick, method, does)
    with pytest.raises(
        UserError, match=rf"^student\.transform: transform 'pick' of plugin kd-pick \S+: .*{said}"
    ):
        kdcore.validate(spec("wrong", "pick"))


def test_rebuild_gets_the_record_as_it_is_read_later(calls, spec, monkeypatch):
    import kd_pick_code

    def apply(self, model, setup):
        return kdcore.Transformed(model, {3: (1, 2)})

    seen = []
    monkeypatch.setattr(kd_pick_code.Plain, "apply", apply)
    monkeypatch.setattr(
        kd_pick_code.Plain, "rebuild", lambda self, model, record: seen.append(record) or model
    )
    kdcore.validate(spec("keys", "plain"))
    assert seen == [{"3": [1, 2]}]


def test_its_name_alone_does_not_build_it(calls, spec):
    alone = spec("alone", None)
    alone["student"] = {"model": "transformed-student"}
    with pytest.raises(UserError, match="built from the options that a run writes"):
        kdcore.validate(alone)


def test_a_classifier_does_not_come_or_go_afterwards(calls, spec):
    whole = run(spec("whole", "pick", train={"epochs": 1, "batch_size": 16}))
    opened = kdcore.open_run(whole).student.network
    arguments = json.loads(json.dumps(dict(opened.options)))
    with pytest.raises(
        UserError, match=r"'kd-pick/pick' changed this student with a classifier; .* without one"
    ):
        transformed(0, 1, **arguments)
    with_more = transformed(12, 1, **arguments)
    assert with_more.fc.head.out_features == 12
    arguments["transforms"][0]["classifier"] = False
    with pytest.raises(UserError, match=r"without a classifier; it cannot be built with one"):
        transformed(10, 1, **arguments)


def test_a_student_opens_though_its_options_are_of_an_earlier_version(calls, spec):
    whole = run(spec("whole", "pick", train={"epochs": 1, "batch_size": 16}))
    before = weights(whole)
    file = whole / "student" / "config.json"
    text = file.read_text()
    assert '"count": 4' in text
    file.write_text(text.replace('"count": 4', '"number": 4'))
    assert same(weights(whole), before)


def test_a_damaged_record_is_an_error(calls, spec):
    stopped = run(spec("damaged", "pick"), until=1)
    (stopped / "transforms.json").write_text("{")
    with pytest.raises(UserError, match=r"transforms\.json"):
        run(spec("damaged", "pick"))
    again = run(spec("damaged", "pick"), existing="fresh")  # as the message says
    assert weights(again)["fc.head.weight"].shape == (10, 4)


def test_a_run_that_cannot_begin_anew_deletes_nothing(calls, spec, monkeypatch):
    import kd_pick_code

    whole = run(spec("kept", "pick"))
    before = weights(whole)

    def refuse(self, model, setup):
        raise UserError(Problem("", "not with these settings"))

    monkeypatch.setattr(kd_pick_code.Pick, "apply", refuse)  # its record would still be enough
    with pytest.raises(UserError, match="not with these settings"):
        run(spec("kept", "pick"), existing="fresh")
    assert same(weights(whole), before)


def test_the_record_of_an_earlier_version_goes_on(calls, spec):
    stopped = run(spec("older", "pick"), until=1)
    record = json.loads((stopped / "transforms.json").read_text())
    del record["student"]["classifier"]  # as if the field were new
    (stopped / "transforms.json").write_text(json.dumps(record))
    applied = len(calls)
    run(spec("older", "pick"))
    assert len(calls) == applied


def test_the_schema_has_the_options(calls, spec):
    import jsonschema

    schema = kdcore.schema()
    jsonschema.validate(spec("right", [{"name": "pick", "count": 3}, "plain"]), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec("wrong", {"name": "pick", "count": 0}), schema)


def test_it_may_exclude_settings_whenever_its_student_is_trained(calls, spec, monkeypatch):
    import kd_pick_code

    def check(self, setup):
        if setup.train.accumulate > 1:
            raise UserError(Problem("", "not in several parts"))

    monkeypatch.setattr(kd_pick_code.Pick, "check_training", check, raising=False)
    parts = {"train": {"epochs": 2, "batch_size": 16, "accumulate": 2}}

    def refused(changed):
        with pytest.raises(UserError, match="not in several parts") as caught:
            run(changed)
        return [problem.where for problem in caught.value.problems]

    assert refused(spec("first", "pick", **parts)) == ["student.transform"]
    assert calls == []  # before anything is changed
    after = spec("after", "plain", **parts)
    after["student"]["checkpoint"] = str(run(spec("first", "pick")))
    assert refused(after) == ["student.checkpoint"]
    monkeypatch.setattr(kd_pick_code.Pick, "check_training", lambda self, setup: 1 / 0)
    with pytest.raises(UserError, match=r"transform 'pick' .* failed: ZeroDivisionError"):
        kdcore.validate(spec("new", "pick"))


def test_a_run_that_continues_with_such_a_setting_is_refused(calls, spec, monkeypatch):
    import kd_pick_code

    def check(self, setup):
        if setup.train.grad_checkpointing:
            raise UserError(Problem("", "no second pass"))

    monkeypatch.setattr(kd_pick_code.Pick, "check_training", check, raising=False)
    run(spec("first", "pick"), until=1)
    with pytest.raises(UserError, match="no second pass") as caught:
        run(spec("first", "pick", train={"epochs": 2, "batch_size": 16, "grad_checkpointing": True}))
    assert [problem.where for problem in caught.value.problems] == ["student.transform"]
    run(spec("first", "pick"))
