"""Metrics of plugins in a run: in metrics.jsonl, in the summary, and what a wrong one does."""

from __future__ import annotations

import json

import pytest
import torch

import kdcore
from kdcore.errors import UserError
from kdcore.inspect.metrics import load_metrics
from kdcore.plugins import get_plugins

PLUGIN = """
    from kdcore import MetricEntry, hookimpl
    @hookimpl
    def kd_metrics():
        return [MetricEntry(name=name, summary="S.", target=f"{module}_code:{{function}}", tasks=tasks)
            for name, function, tasks in {entries}]
"""
GOOD = """
def confidence(probabilities, targets):
    return probabilities.max(dim=1).values.mean()
def accuracy(probabilities, targets):
    return float((probabilities.argmax(dim=1) == targets).double().mean())
"""
ENTRIES = [("confidence", "confidence", ("classes",)), ("accuracy", "accuracy", ("classes",))]


@pytest.fixture
def add_plugin(install):
    def add(name, code=GOOD, entries=ENTRIES):
        module = name.replace("-", "_")
        install(name, PLUGIN.format(module=module, entries=entries), **{f"{module}_code": code})

    return add


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_they_are_listed_under_their_names(spec_file, add_plugin):
    add_plugin("kd-fox")
    path = spec_file(teacher={"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}, distiller="kd")
    result = kdcore.run(path, quiet=True)
    for record in records(result.directory):
        assert record["eval"]["accuracy"] == pytest.approx(record["eval"]["top1"] / 100)
        assert 0.1 <= record["eval"]["confidence"] <= 1
    summary = json.loads((result.directory / "summary.json").read_text())
    assert summary["student"]["accuracy"] == record["eval"]["accuracy"]
    assert summary["teacher"]["accuracy"] == pytest.approx(summary["teacher"]["top1"] / 100)


def test_a_spec_can_name_them_or_have_none(spec_file, add_plugin):
    add_plugin("kd-fox")
    (record, _) = records(kdcore.run(spec_file(metrics=["kd-fox/accuracy"]), quiet=True).directory)
    assert {"accuracy", "confidence"} & set(record["eval"]) == {"accuracy"}
    (record, _) = records(kdcore.run(spec_file("none", metrics=[]), quiet=True).directory)
    assert {"accuracy", "confidence"} & set(record["eval"]) == set()


def test_the_weights_are_the_same_with_and_without_them(spec_file, add_plugin):
    code = "import torch\ndef confidence(p, t):\n    p.zero_(); t.zero_(); torch.manual_seed(0); return torch.rand(())"
    add_plugin("kd-fox", code, ENTRIES[:1])
    weights = [
        kdcore.run(spec_file(name, **more), quiet=True).directory / "student" / "model.safetensors"
        for name, more in (("with", {}), ("without", {"metrics": []}))
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()


WRONG = {
    "raises": ("raise KeyError('x')", "KeyError: 'x'"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "is not a number": ("return float('nan')", "it returned nan"),
    "is infinite": ("return -float('inf')", "it returned -inf"),
    "is no number": ("return 'many'", "ValueError: could not convert string to float"),
    "is nothing": ("return None", "TypeError: "),
    "is a tensor of several": ("return probabilities", "only one element"),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_that_fails_is_null_and_reported_once(add_plugin, case):
    statement, text = WRONG[case]
    add_plugin("kd-fox", GOOD.replace("return probabilities.max(dim=1).values.mean()", statement))
    lines = []
    metrics = load_metrics(None, get_plugins(), lines.append)
    logits, target = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])
    for _ in range(2):
        assert metrics(logits, target) == {"accuracy": pytest.approx(2 / 3), "confidence": None}
    (line,) = lines
    assert line.startswith("metric 'confidence' of plugin kd-fox 1.0: ")
    assert text in line
    assert line.endswith("; its value is null")


def test_images_without_a_label_are_left_out(add_plugin):
    add_plugin("kd-fox")
    metrics = load_metrics(["accuracy"], get_plugins(), print)
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert metrics(logits, torch.tensor([1, -1])) == {"accuracy": 0.0}
    assert metrics(logits, torch.tensor([-1, -1])) == {}


def test_two_of_one_name_and_reserved_names_are_listed_with_their_plugins(add_plugin):
    add_plugin("kd-fox", entries=[*ENTRIES, ("top1", "accuracy", ("classes",))])
    add_plugin("kd-owl", entries=ENTRIES[1:])
    found = load_metrics(None, get_plugins(), print).names
    assert set(found) == {"confidence", "kd-fox/accuracy", "kd-owl/accuracy", "kd-fox/top1"}


def test_metrics_for_another_task_are_not_computed(add_plugin):
    add_plugin("kd-fox", entries=[("accuracy", "accuracy", ("labels",))])
    assert load_metrics(None, get_plugins(), print).names == ()
    with pytest.raises(UserError, match="this metric is for the task 'labels', and the task is 'classes'"):
        load_metrics(["accuracy"], get_plugins(), print)


def test_code_that_cannot_be_imported_is_left_out_unless_the_spec_names_it(spec_file, add_plugin):
    add_plugin("kd-fox", "1 / 0")
    lines = []
    assert load_metrics(None, get_plugins(), lines.append).names == ()
    assert "metric 'accuracy' of plugin kd-fox 1.0: its code" in lines[0]
    assert "ZeroDivisionError" in lines[0]
    result = kdcore.run(spec_file(), quiet=True)
    assert result.summary["status"] == "finished"
    with pytest.raises(UserError, match=r"metric 'accuracy' of plugin kd-fox 1\.0: its code"):
        kdcore.validate(spec_file("named", metrics=["accuracy"]))


def test_wrong_names_are_reported_with_their_place(spec_file, add_plugin):
    add_plugin("kd-fox")
    with pytest.raises(UserError) as caught:
        kdcore.validate(spec_file(metrics=["acuracy", "confidence", "kd-fox/confidence"]))
    wrong, twice = caught.value.problems
    assert (wrong.where, wrong.nearest) == ("metrics[0]", "accuracy")
    assert (twice.where, twice.message) == ("metrics[2]", "this metric is in the list twice")


def test_a_resumed_run_may_have_others(spec_file, add_plugin):
    add_plugin("kd-fox")
    path = spec_file()
    kdcore.run(path, quiet=True, until=1)
    result = kdcore.run(path, overrides=['metrics=["confidence"]'], quiet=True)
    first, second = records(result.directory)
    assert "accuracy" in first["eval"]
    assert "accuracy" not in second["eval"]
