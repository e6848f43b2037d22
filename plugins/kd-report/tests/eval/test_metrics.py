"""Metrics of plugins in an evaluation, and what one that cannot be used does to it."""

from __future__ import annotations

import json
import shutil

import pytest
from kd_report import evaluate
from kd_report.cli.eval_table import rows
from PIL import Image

PLUGIN = """
from kdcore import MetricEntry, hookimpl

@hookimpl
def kd_metrics():
    names = {names}
    return [MetricEntry(name=name, summary="A metric.", target=f"{module}:{{name}}") for name in names]

def confidence(probabilities, targets):
    return float(probabilities.max(dim=1).values.mean())

def error(probabilities, targets):
    return float((probabilities.argmax(dim=1) != targets).double().mean())

def failing(probabilities, targets):
    raise ZeroDivisionError("no images")
"""


@pytest.fixture
def pets(tmp_path):
    """Four labelled images of two classes."""
    for level, name in ((0, "cat"), (255, "dog")):
        for number in range(2):
            path = tmp_path / "pets" / "test" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (level,) * 3).save(path)
    return {"data": str(tmp_path / "pets"), "image_size": 32, "batch_sizes": ()}


def test_their_values_are_in_result_json_and_table(add_plugin, pets, kd):
    add_plugin("kd-mine", PLUGIN.format(module="kd_mine", names=["confidence", "error"]))
    found = evaluate("test_resnet", **pets)
    assert found.student.metrics["error"] == pytest.approx(1 - found.student.top1 / 100)
    assert 0.5 <= found.student.metrics["confidence"] <= 1
    assert json.loads(json.dumps(found.as_dict()))["student"]["metrics"] == found.student.metrics
    table = dict(rows(found))
    assert table["error"] == f"{found.student.metrics['error']:.4g}"
    flags = ("--data", pets["data"], "--image-size", 32, "--batch-sizes", 0)
    done = kd("eval", "test_resnet", *flags, "--json")
    assert json.loads(done.out)["student"]["metrics"] == pytest.approx(found.student.metrics)


def test_one_that_fails_is_null_and_said_once(add_plugin, pets):
    add_plugin("kd-mine", PLUGIN.format(module="kd_mine", names=["failing", "error", "gone"]))
    found = evaluate("test_resnet", **pets)
    assert found.student.metrics["failing"] is None
    assert "gone" not in found.student.metrics
    assert dict(rows(found))["failing"] == ""
    (line,) = [line for line in found.warnings if "'failing'" in line]
    assert line.startswith("metric 'failing' of plugin kd-mine 1.0: ZeroDivisionError: no images")
    assert line.endswith("; its value is null")
    assert any("'gone' of plugin kd-mine 1.0" in line and "left out" in line for line in found.warnings)


def test_without_metrics_there_is_nothing(pets, monkeypatch, fresh_plugins):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "*")
    assert evaluate("test_resnet", **pets).student.metrics == {}


def test_a_run_has_those_that_its_spec_names(add_plugin, pair, tmp_path):
    add_plugin("kd-mine", PLUGIN.format(module="kd_mine", names=["confidence", "error"]))
    run = shutil.copytree(pair, tmp_path / "copy")
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps({**spec, "metrics": ["error", "absent"]}))
    found = evaluate(run, teacher=str(pair), samples=20, batch_sizes=())
    assert list(found.student.metrics) == list(found.teacher.metrics) == ["error"]
    assert "metric 'absent' of the run is left out: there is no metric of this name" in found.warnings
