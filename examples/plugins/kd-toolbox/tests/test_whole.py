"""Each thing where kd uses it: in a run, an export, a report, a comparison."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys

import kd_compare
import kd_export
import kd_report
import kdcore
import pytest

from kd_toolbox.dataset import Stripes

WITHOUT = """
import runpy, sys
sys.modules.update(torch=None, kdcore=None)
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_recipe_and_metric_are_in_the_run(run):
    spec = json.loads((run / "spec.json").read_text())
    assert spec["recipe"] == {"applied": "toolbox-quick"}
    (distiller,) = spec["distiller"] if isinstance(spec["distiller"], list) else [spec["distiller"]]
    assert (spec["optimizer"]["name"], distiller["weight"], spec["task"]["weight"]) == ("adamw", 2.0, 0.5)
    summary = json.loads((run / "summary.json").read_text())
    for model in ("student", "teacher"):
        assert -1 <= summary[model]["overconfidence"] <= 1


def test_the_command(run, kd, tmp_path):
    done = kd("csv", run)
    assert done.code == 0, done.err
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[0]["terms.cosine"]) > 0
    assert kd("csv", run, "--output", "metrics.csv").code == 0
    assert (tmp_path / "metrics.csv").read_text() == done.out
    wrong = kd("csv", tmp_path)
    assert wrong.code == 2
    assert "RUN: this is not a run directory" in wrong.err


def test_numpy_alone_computes_an_exported_plain_net(run, tmp_path):
    result = kd_export.export(run, "npz")
    assert result.check.same_top1 == result.check.images == 40
    image = tmp_path / "image.png"
    Stripes(None, "test", samples=4, side=32)[0][0].save(image)
    command = [sys.executable, "-c", WITHOUT, str(result.path / "load.py"), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in Stripes.classes)


def test_other_models_are_exported_as_files_alone(write_specs, tmp_path):
    student = {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}
    path = write_specs(tmp_path, student=student, teacher=None, distiller="vanilla", name="other")
    result = kd_export.export(kdcore.run(path, quiet=True).directory, "npz")
    assert result.check is None
    assert sorted(result.files) == ["kd.json", "weights.npz"]


def test_the_section_is_in_the_report(run):
    result = kd_report.report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="toolbox-confusions"' in page
    assert not [note for note in result.notes if "kd-toolbox" in note]


@pytest.fixture
def compare(write_specs, tmp_path):
    """Compares the teacher's spec with itself."""
    write_specs(tmp_path)
    spec = tmp_path / "specs" / "teacher.json"
    return lambda *options: kd_compare.compare(
        spec, seeds=1, launcher="nice", launcher_options=options, quiet=True
    )


def test_the_launcher_runs_a_comparison(compare):
    result = compare("level=1")
    assert (result.status, result.launcher, result.methods[0].finished) == ("finished", "nice", 1)


def test_a_wrong_option_of_the_launcher_is_refused(compare):
    with pytest.raises(kdcore.UserError, match="launcher 'nice' has no key 'levl'"):
        compare("levl=1")


def test_a_run_that_fails_is_in_the_log(write_specs, tmp_path):
    path = write_specs(tmp_path, optimizer={"lr": 1e30}, teacher=None, distiller="vanilla")
    with pytest.raises(kdcore.RunFailed):
        kdcore.run(path, quiet=True)
    (line,) = (tmp_path / "runs" / "stripes" / "failures.log").read_text().splitlines()
    assert re.match(r"after epoch \d: .*(NaN|infinite|finite)", line)
