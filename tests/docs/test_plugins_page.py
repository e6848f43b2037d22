"""The plugin that docs/plugins.md writes works: installed as a distribution, listed, run on the digits."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest
import torch

PAGE = "docs/plugins.md"


def install(site, about, **entry_points):
    """What an installer writes beside the modules."""
    folder = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    folder.mkdir()
    folder.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    folder.joinpath("entry_points.txt").write_text("\n".join(["[kdcore]", *lines, ""]))


@pytest.fixture(scope="module")
def site(blocks_of, tmp_path_factory):
    """The page's plugin, installed; and another one that declares its second distiller as the page says."""
    site = tmp_path_factory.mktemp("site")
    for block in blocks_of(PAGE):
        if block.file is not None:
            file = site / block.file.removeprefix("kd-mimic/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
    site.joinpath("kd_mimic", "__init__.py").touch()
    project = tomllib.loads((site / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install(site, project, **project["entry-points"]["kdcore"])
    (entry,) = [block.text for block in blocks_of(PAGE) if "last-map" in block.text]
    head, call = entry.split("\n\n", 1)
    site.joinpath("second.py").write_text(
        f"{head}, hookimpl\n\nENTRY = {call}\n@hookimpl\ndef kd_distillers():\n    return [ENTRY]\n"
    )
    install(site, {"name": "kd-second", "version": "1.0"}, **{"kd-second": "second"})
    return site


@pytest.fixture
def mimic_loss(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    yield importlib.import_module("kd_mimic.mimic").mimic_loss
    for name in [name for name in sys.modules if name.partition(".")[0] == "kd_mimic"]:
        del sys.modules[name]


@pytest.fixture
def kd(site, tmp_path):
    """Run `kd` in a process of its own that has the plugin."""

    def call(*arguments, **variables):
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "kdcore", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "KD_STRICT_PLUGINS": "1", **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


def test_it_is_listed(kd):
    (plugin,) = json.loads(kd("plugins", "kd-mimic", "--json").out)
    assert (plugin["status"], plugin["version"], plugin["distillers"]) == ("loaded", "1.0.0", ["mimic"])
    assert plugin["heavy"] == []


def test_its_options_are_shown(kd):
    shown = kd("show", "mimic")
    assert shown.code == 0, shown.err
    assert "Take the mean over the classes from the logits first." in shown.out


def test_it_can_be_disabled(kd):
    with_it, without = kd("list-distillers"), kd("list-distillers", KD_DISABLE_PLUGINS="kd-mimic")
    assert "kd-mimic" in with_it.out
    assert "kd-mimic" not in without.out


def test_it_runs(kd, site, tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    narrow = 'options={"channels": [8, 8, 16, 16]}'
    spec = json.loads((site / "mimic.json").read_text())
    changes = [
        f"student.{narrow}",
        f"teacher.{narrow}",
        "data.image_size=16",
        "data.train_samples=32",
        "data.workers=0",
        "train.batch_size=16",
        "task.weight=1",
        f"distiller={json.dumps([spec['distiller'], 'last-map'])}",
    ]
    flags = [part for change in changes for part in ("--set", change)]
    done = kd("run", site / "mimic.json", "--output", tmp_path / "runs", "--json", *flags)
    assert done.code == 0, done.err
    assert json.loads(done.out)["status"] == "finished"
    (line,) = (tmp_path / "runs" / "mimic" / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["terms"].keys() == {"mimic.mimic", "last-map.hint"}
    assert record["loss"] == pytest.approx(record["task_loss"] + sum(record["terms"].values()), rel=1e-4)
    assert min(record["terms"].values()) > 0


def test_its_loss(mimic_loss):
    student = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[5.0, 5.0, 5.0]], requires_grad=True)
    assert mimic_loss(student, teacher, centre=False).item() == pytest.approx((16 + 9 + 4) / 3)
    centred = mimic_loss(student, teacher, centre=True)
    assert centred.item() == pytest.approx(2 / 3)
    centred.backward()
    assert teacher.grad is None
    assert student.grad is not None
