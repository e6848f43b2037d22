"""The plugins that the pages in docs/plugins write work: installed as distributions, listed, checked, run."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kd_dev import new_plugin
from kd_dev.testing import (
    check_adapter,
    check_command,
    check_dataset,
    check_exporter,
    check_launcher,
    check_metric,
    check_plugin,
    check_recipe,
    check_run_hooks,
    check_section,
    check_transform,
)
from PIL import Image

import kdcore
from kdcore.plugins import get_plugins
from kdcore.plugins.roles import HOOKS, ROLES

ROOT = Path(__file__).parents[2]
PAGE = "docs/plugins/distiller.md"
ENTRY_POINTS = {  # of the packages that the pages write without a pyproject.toml
    "kd-tv-features": "kd_tv_features.plugin",
    "kd-labelled": "kd_labelled.plugin",
    "kd-tv": "kd_tv.plugin",
    "kd-diary": "kd_diary",
    "kd-leaky": "kd_leaky.plugin",
    "kd-lab": "kd_lab.plugin",
    "kd-recall": "kd_recall.plugin",
    "kd-formats": "kd_formats.plugin",
    "kd-worst": "kd_worst.plugin",
    "kd-detached": "kd_detached.plugin",
    "kd-second": "second",
}
NARROW = 'options={"channels": [8, 8, 16, 16]}'
QUICK = [
    "data.image_size=32",
    "data.workers=0",
    "train.batch_size=16",
    "train.epochs=1",
]


def install(site, name, version, value):
    """What an installer writes beside the modules."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    folder.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: kdcore>=0.1,<2\n"
    )
    folder.joinpath("entry_points.txt").write_text(f"[kdcore]\n{name} = {value}\n")


def write(site, blocks, page):
    """The page's files, as they lie in an installed package."""
    for block in blocks(page):
        first, _, rest = (block.file or "").partition("/")
        if block.file is not None and first != "by-hand":
            file = site / (rest if rest and first.startswith("kd-") else block.file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")


@pytest.fixture(scope="module")
def site(blocks_of, tmp_path_factory):
    """The pages' plugins, installed; and another one that declares the second distiller as the page says."""
    site = tmp_path_factory.mktemp("site")
    # the page begins with a package that `kd new-plugin` has made
    made = new_plugin("kd-mimic", kind="distiller", folder=tmp_path_factory.mktemp("made"))
    made.path.joinpath("kd_mimic").rename(site / "kd_mimic")
    made.path.joinpath("tests").rename(site / "tests")
    project = tomllib.loads((made.path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install(site, project["name"], project["version"], project["entry-points"]["kdcore"]["kd-mimic"])
    for page in sorted(page.name for page in (ROOT / "docs" / "plugins").glob("*.md")):
        write(site, blocks_of, f"docs/plugins/{page}")
    (entry,) = [
        block.text for block in blocks_of(PAGE) if "last-map" in block.text and block.language == "python"
    ]
    head, call = entry.split("\n\n", 1)
    site.joinpath("second.py").write_text(
        f"{head}, hookimpl\n\nPLUGIN_API = 1\nENTRY = {call}\n@hookimpl\ndef kd_distillers():\n    return [ENTRY]\n"
    )
    for name, value in ENTRY_POINTS.items():
        install(site, name, "1.0", value)
    return site


@pytest.fixture
def here(site, monkeypatch):
    """The plugins in this process."""
    monkeypatch.syspath_prepend(str(site))
    get_plugins.cache_clear()
    yield
    get_plugins.cache_clear()
    own = {"kd_mimic", "second", *(value.partition(".")[0] for value in ENTRY_POINTS.values())}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


@pytest.fixture
def kd(site, tmp_path):
    """Run `kd` in a process of its own that has the plugins."""

    def call(*arguments, program=("-m", "kdcore"), **variables):
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "KD_STRICT_PLUGINS": "1", **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


# -- a distiller -------------------------------------------------------------------------------------------------


def test_it_is_listed(kd):
    (plugin,) = json.loads(kd("plugins", "kd-mimic", "--json").out)
    assert (plugin["status"], plugin["version"], plugin["distillers"]) == ("loaded", "0.1.0", ["mimic"])
    assert plugin["heavy"] == []


def test_its_options_are_shown(kd):
    shown = kd("show", "mimic")
    assert shown.code == 0, shown.err
    assert "Subtract the mean over the classes from the logits first." in shown.out


def test_it_can_be_disabled(kd):
    with_it, without = kd("list-distillers"), kd("list-distillers", KD_DISABLE_PLUGINS="kd-mimic")
    assert "kd-mimic" in with_it.out
    assert "kd-mimic" not in without.out


def test_it_runs_and_its_diary_is_kept(kd, site, root, tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    spec = json.loads((site / "mimic.json").read_text())
    changes = [
        *QUICK,
        f"student.{NARROW}",
        f"teacher.{NARROW}",
        "data.image_size=16",
        "data.train_samples=32",
        "data.eval_samples=40",
        "task.weight=1",
        f"distiller={json.dumps([spec['distiller'], 'last-map'])}",
    ]
    flags = [part for change in changes for part in ("--set", change)]
    told = tmp_path / "told"
    notify = f"{sys.executable} -c \"import sys; open('{told}', 'w').write(sys.argv[1])\""
    done = kd("run", site / "mimic.json", "--output", tmp_path / "runs", "--json", *flags, KD_NOTIFY=notify)
    assert done.code == 0, done.err
    folder = tmp_path / "runs" / "mimic"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished"
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["terms"].keys() == {"mimic.mimic", "last-map.hint"}
    assert record["loss"] == pytest.approx(record["task_loss"] + sum(record["terms"].values()), rel=1e-4)
    assert min(record["terms"].values()) > 0
    title, epoch, end = (folder / "diary.md").read_text().splitlines()
    assert title == "# mimic"
    assert epoch.startswith("- epoch 1: top-1 ")
    assert end.startswith("Finished after ")
    assert told.read_text().startswith("mimic: top-1 ")
    # the page on hooks names every key
    page = (root / "docs" / "plugins" / "hooks.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    missing = [key for key in (*record, *summary) if f"`{key}`" not in rows]
    assert missing == []


def test_its_own_tests_pass(kd, site):
    """Those that the page writes, and of the conformance checks those that are quick and about this page's code."""
    chosen = (
        "not mimic- or declaration or lazy_import or terms_are or float64 or bf16 or no_gradient or weight"
    )
    done = kd(
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "-k",
        chosen,
        site / "tests",
        program=("-m", "pytest"),
    )
    assert done.code == 0, done.out
    assert " passed" in done.out


# -- the other pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kd-mimic", *ENTRY_POINTS])
def test_every_page_declares_what_it_has_to(name, here):
    check_plugin(name)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (check_command, "best"),
        (check_recipe, "lab-short"),
        (check_transform, "leaky"),
        (check_exporter, "npz"),
        (check_metric, "macro-recall"),
        (check_section, "worst-classes"),
        (check_launcher, "detached"),
        (check_run_hooks, "kd-diary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_pages_write_keeps_all_rules(check, name, here):
    check(name)


def test_the_adapter_keeps_all_rules(here):
    from torchvision.models.resnet import BasicBlock, ResNet

    small = partial(ResNet, BasicBlock, [1, 1, 1, 1], num_classes=7)
    check_adapter("tv-resnet", models=[(small, 64)])


def test_the_dataset_keeps_all_rules(here, tmp_path):
    rows = ["file,label,split"]
    for number in range(12):
        split, label = "train" if number < 8 else "test", "owl" if number % 2 else "fox"
        Image.new("RGB", (8, 8), (20 * number, 0, 99)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{label},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    check_dataset("labelled", root=str(tmp_path))


def test_torchvisions_models_are_built_with_checked_options(here):
    from kdcore import UserError
    from kdcore.models import build_model
    from kdcore.spec.models import ModelSpec

    def build(in_chans=3, **options):
        spec = ModelSpec(model="tv", options=options)
        return build_model(
            spec, num_classes=7, in_chans=in_chans, image_size=(32, 32), plugins=get_plugins(), where="model"
        ).model

    assert type(build(architecture="squeezenet1_1")).__module__.startswith("torchvision.models")
    with pytest.raises(UserError, match="three channels, not 1"):
        build(in_chans=1, architecture="squeezenet1_1")


def test_the_hooks_of_the_page_are_hooks(blocks_of, here, site):
    """Those that the page defines one by one, in one module."""
    from kdcore.plugins import Plugins
    from kdcore.plugins.records import Candidate

    blocks = [
        block.text
        for block in blocks_of("docs/plugins/hooks.md")
        if block.file is None and block.language == "python"
    ]
    (site / "kd_page_of_hooks.py").write_text("\n".join(blocks))
    found = Plugins.discover(
        [Candidate("page", "kd_page_of_hooks", "page", "1", str(site))], disabled=(), strict=True
    )
    (info,) = [info for info in found.infos if info.name == "page"]
    assert set(info.hooks) == set(HOOKS)
    assert {type(entry) for entry in info.entries} == set(ROLES)


def test_the_exporters_write_and_are_checked(here, spec_file):
    import numpy as np
    from kd_export import export

    run = kdcore.run(spec_file(train={"epochs": 1, "batch_size": 16}), quiet=True).directory
    written = export(run, "npz")
    assert np.load(written.path / "weights.npz")["fc.weight"].shape == (10, 16)
    assert (written.check, len(written.warnings)) == (None, 1)
    half = export(run, "kd-formats/bf16")
    assert half.check.images == 50
    assert half.check.same_top1 > 40
    assert 0 < half.check.largest_difference < 0.1
    assert json.loads((half.path / "kd.json").read_text())["dtype"] == "bfloat16"


@pytest.fixture
def a_run(here, spec_file):
    """The directory of a short run that has the metric of the page."""
    result = kdcore.run(spec_file(train={"epochs": 1, "batch_size": 16}), quiet=True)
    return Path(result.directory)


def test_the_metric_is_in_the_summary_and_is_right(a_run, here):
    summary = json.loads((a_run / "summary.json").read_text())
    assert 0 <= summary["student"]["macro-recall"] <= 1
    recall = importlib.import_module("kd_recall.recall").macro_recall
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0]])
    assert recall(probabilities, torch.tensor([0, 0, 0, 1])) == pytest.approx((2 / 3 + 1) / 2)


def test_the_section_is_in_the_report(a_run):
    from kd_report import report

    result = report(a_run)
    page = Path(result.path).read_text(encoding="utf-8")
    assert "Worst classes" in page
    assert 'id="worst-classes"' in page
    assert not [note for note in result.notes if "kd-worst" in note]


def test_the_command_lists_runs(a_run, here, capsys):
    from kdcore.cli import main

    for arguments, code in ((["best", str(a_run.parent)], 0), (["best", str(a_run)], 2)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    said = capsys.readouterr()
    assert a_run.name in said.out
    assert "this folder has no finished run" in said.err


def test_the_launcher_runs_jobs_that_a_later_process_finds_again(here, tmp_path):
    launching = importlib.import_module("kd_detached.launcher")
    options = importlib.import_module("kd_detached.options").DetachedOptions()
    setup = kdcore.LaunchSetup(tmp_path / "launcher", jobs=1)
    job = kdcore.LaunchJob("one", ("--version",), tmp_path, tmp_path / "run", tmp_path / "logs" / "one.log")
    first = launching.Detached(options, setup)
    handle = first.start(job)
    assert first.start(replace(job, name="two")) is None  # no room
    again = launching.Detached(options, setup)
    assert again.attach(job, handle)
    until = time.monotonic() + 240
    while not (found := again.ended()):
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)
    assert first.started["one"].wait(60) == 0
    assert found == [kdcore.JobEnd("one", 0)]
    assert again.ended() == []
    assert f"kd {kdcore.__version__}" in job.log.read_text()


def test_its_loss(here):
    mimic_loss = importlib.import_module("kd_mimic.mimic").mimic_loss
    student = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[5.0, 5.0, 5.0]], requires_grad=True)
    assert mimic_loss(student, teacher, centre=False).item() == pytest.approx((16 + 9 + 4) / 3)
    centred = mimic_loss(student, teacher, centre=True)
    assert centred.item() == pytest.approx(2 / 3)
    centred.backward()
    assert teacher.grad is None
    assert student.grad is not None
