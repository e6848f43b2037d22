"""Discovery, names, switches, lists and exit codes, as the contract has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdcore import PLUGIN_API

BROKEN = "raise RuntimeError('it is out of order')\n"
RIVAL = """
from kdcore import DistillerEntry, hookimpl

@hookimpl
def kd_distillers():
    return [DistillerEntry("toy-plain", "logit", "Another one.", "rival:No", "rival:Nothing")]
"""


@pytest.fixture
def broken(add, tmp_path: Path) -> Path:
    add(tmp_path / "b", "kd-broken", "0.7", {"broken_mod.py": BROKEN}, "broken", "broken_mod")
    return tmp_path / "b"


def _plugins(shown) -> dict[str, dict]:
    return {one["name"]: one for one in json.loads(shown.out)}


def test_a_broken_plugin_is_one_warning_line(kd, broken: Path):
    for command in (["--help"], ["list-distillers", "--json"]):
        shown = kd(*command, path=(broken,))
        assert shown.code == 0
        (line,) = shown.err.splitlines()
        assert all(part in line for part in ("broken", "0.7", "it is out of order"))
    assert any(one["name"] == "vanilla" for one in json.loads(shown.out))
    status = _plugins(kd("plugins", "--json", path=(broken,)))["broken"]
    assert status["status"] == "broken"
    assert "RuntimeError" in status["traceback"]


def test_strict_makes_it_fatal(kd, broken: Path):
    shown = kd("list-distillers", path=(broken,), KD_STRICT_PLUGINS="1")
    assert shown.code == 2
    assert "it is out of order" in shown.err
    assert "Traceback" not in shown.err
    assert kd("list-distillers", KD_STRICT_PLUGINS="1").code == 0


def test_disabled_plugins_are_not_imported(kd, broken: Path, site: Path):
    shown = kd("plugins", "--json", path=(broken, site), KD_DISABLE_PLUGINS="broken,kd-classic")
    assert shown.err == ""
    status = {name: one["status"] for name, one in _plugins(shown).items()}
    assert (status["broken"], status["kd-classic"], status["stranger"]) == ("disabled", "disabled", "loaded")
    everything = kd("list-distillers", "--json", path=(broken, site), KD_DISABLE_PLUGINS="*")
    assert [one["name"] for one in json.loads(everything.out)] == ["vanilla"]


def test_another_plugin_api_is_told_before_any_hook(kd, add, tmp_path: Path):
    code = (
        f"PLUGIN_API = {PLUGIN_API + 1}\nfrom kdcore import hookimpl\n"
        "@hookimpl\ndef kd_distillers():\n    raise SystemExit('called')\n"
    )
    add(tmp_path, "kd-new", "9.0", {"new_mod.py": code}, "new", "new_mod")
    about = _plugins(kd("plugins", "--json", path=(tmp_path,)))["new"]
    assert about["status"] == "broken"
    assert str(PLUGIN_API) in about["error"]
    assert str(PLUGIN_API + 1) in about["error"]
    assert "called" not in about["error"]


def test_two_plugins_with_one_distiller(kd, add, write, site: Path, tmp_path: Path):
    add(tmp_path, "kd-rival", "2.2", {"rival.py": RIVAL}, "rival", "rival")
    listed = json.loads(kd("list-distillers", "--json", path=(site, tmp_path)).out)
    assert sum(one["name"] == "toy-plain" for one in listed) == 2
    spec = {"data": {"dataset": "toy-shapes", "image_size": 16}, "student": {"model": "toynet"}}
    path = write(tmp_path / "a.json", **spec, distiller={"name": "toy-plain"})
    validate = ("validate", path, "--no-models")
    shown = kd(*validate, path=(site, tmp_path))
    assert shown.code == 2
    assert all(part in shown.err for part in ("kd-stranger", "3.1", "rival", "2.2", "distiller"))
    qualified = ("--set", "distiller.name=stranger/toy-plain")
    assert kd(*validate, *qualified, path=(site, tmp_path)).code == 0
    assert kd(*validate, path=(site, tmp_path), KD_DISABLE_PLUGINS="kd-rival").code == 0


def test_two_plugins_with_one_name(kd, add, site: Path, tmp_path: Path):
    add(tmp_path, "kd-twin", "1.5", {"twin.py": RIVAL}, "stranger", "twin")
    infos = json.loads(kd("plugins", "--json", path=(site, tmp_path)).out)
    twins = [one for one in infos if one["name"] == "stranger"]
    assert {one["version"] for one in twins} == {"3.1", "1.5"}
    assert all(one["status"] == "broken" for one in twins)
    assert all("3.1" in one["error"] and "1.5" in one["error"] for one in twins)


def test_what_only_a_broken_or_missing_plugin_has(kd, add, write, tmp_path: Path):
    modules = {"kd_classic_broken.py": BROKEN}
    path = write(
        tmp_path / "a.json",
        data={"dataset": "digits"},
        student={"model": "resnet10t"},
        teacher={"model": "resnet10t"},
        distiller={"name": "crd"},
    )
    shown = kd("validate", path, KD_DISABLE_PLUGINS="kd-feature")
    assert shown.code == 2
    assert "kd-feature" in shown.err
    add(tmp_path / "front", "kd-feature", "0.0.1", modules, "kd-feature", "kd_classic_broken")
    shown = kd("validate", path, path=(tmp_path / "front",))
    assert shown.code == 2
    assert all(part in shown.err for part in ("kd-feature", "0.0.1", "it is out of order", "pip install"))


def test_the_lists_of_a_strangers_things(kd, site: Path):
    for command, name, fields in (
        ("list-distillers", "toy-bank", {"kind": "feature", "task_weight": 0.5}),
        ("list-adapters", "toy", {"models": ["stranger.code:ToyNet"]}),
        ("list-datasets", "toy-shapes", {"num_classes": 2}),
    ):
        shown = kd(command, "--json", path=(site,))
        (entry,) = [one for one in json.loads(shown.out) if one["name"] == name]
        assert {key: entry[key] for key in fields} == fields
        assert (entry["plugin"], entry["version"]) == ("stranger", "3.1")
        assert entry["summary"]
        assert name in kd(command, path=(site,)).out


def test_show_and_schema_know_a_strangers_options(kd, site: Path):
    about = json.loads(kd("show", "toy-bank", "--json", path=(site,)).out)
    options = {one["name"]: one["default"] for one in about["options"]}
    assert options == {"weight": 1.0, "stage": 2, "decay": 0.5}
    assert "decay" in json.dumps(json.loads(kd("schema", path=(site,)).out))


def test_every_problem_of_a_spec_at_once(kd, write, site: Path, tmp_path: Path):
    path = write(
        tmp_path / "a.json",
        student={"model": "toynett"},
        distiller={"name": "toy-bank", "decay": "much", "wieght": 2},
        train={"epochs": 0, "batchsize": 4},
    )
    shown = kd("validate", path, path=(site,))
    assert shown.code == 2
    assert shown.out == ""
    for part in ("student.model", "'toynet'", "distiller.decay", "'weight'", "train.epochs", "'batch_size'"):
        assert part in shown.err
    problems = json.loads(kd("validate", path, "--json", path=(site,)).out)["problems"]
    assert {one["where"] for one in problems} >= {
        "student.model",
        "distiller.decay",
        "distiller.wieght",
        "train.epochs",
        "train.batchsize",
    }


def test_several_distillers_need_a_task_weight(kd, write, site: Path, tmp_path: Path):
    path = write(
        tmp_path / "a.json",
        data={"dataset": "toy-shapes"},
        student={"model": "toynet"},
        distiller=["toy-plain", "vanilla"],
    )
    shown = kd("validate", path, path=(site,))
    assert shown.code == 2
    assert "task.weight" in shown.err


def test_the_spec_of_the_contract(kd, write, tmp_path: Path):
    """The whole example of the contract, teacher included, is a spec."""
    write(tmp_path / "digits-teacher.json", student={"model": "resnet34"}, distiller={"name": "vanilla"})
    path = write(
        tmp_path / "spec.json",
        name="digits-dkd",
        seed=0,
        output="runs",
        data={
            "dataset": "digits",
            "root": None,
            "train_split": "train",
            "eval_split": "test",
            "train_samples": None,
            "image_size": 32,
            "workers": 2,
            "augment": {},
            "mixup": 0.0,
            "cutmix": 0.0,
        },
        teacher={
            "model": "resnet34",
            "pretrained": False,
            "checkpoint": None,
            "run": "digits-teacher.json",
            "small_input": False,
            "options": {},
            "adapter": None,
        },
        student={
            "model": "resnet10t",
            "pretrained": False,
            "checkpoint": None,
            "small_input": False,
            "options": {},
            "adapter": None,
        },
        distiller={"name": "dkd", "alpha": 1.0, "beta": 8.0, "temperature": 4.0},
        task={"weight": None, "label_smoothing": 0.0},
        train={
            "epochs": 30,
            "batch_size": 64,
            "accumulate": 1,
            "clip_grad": None,
            "precision": "fp32",
            "ema": None,
            "compile": False,
            "channels_last": False,
        },
        optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4},
        scheduler={"name": "cosine", "warmup_epochs": 0},
        checkpoint={"minutes": 15},
        teacher_cache=None,
    )
    shown = kd("validate", path, "--no-models")
    assert shown.code == 0, shown.err


def test_a_minimal_spec(kd, write, tmp_path: Path):
    path = write(tmp_path / "a.json", student={"model": "resnet10t"}, distiller={"name": "vanilla"})
    assert kd("validate", path, "--no-models").code == 0


def test_the_lists_import_nothing_heavy(site: Path, monkeypatch: pytest.MonkeyPatch):
    code = (
        "import sys\nfrom kdcore.cli import main\n"
        "try:\n    main(['list-distillers'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'timm', 'numpy', 'accelerate'} & set(sys.modules)), file=sys.stderr)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "toy-bank" in done.stdout
    assert done.stderr.strip() == "[]"
