"""Wrong specs: each ends `kd validate` with code 2 and a message that a stranger can act on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from kdcore.plugins import find_candidates, get_plugins


@dataclass(frozen=True)
class Wrong:
    """A spec (sections that replace those of a right one, or the text of a file), and what has to be told."""

    name: str
    content: dict[str, Any] | str | bytes
    where: str
    words: tuple[str, ...]
    flags: tuple[str, ...] = ()
    file: str = "my-run.json"
    others: dict[str, Any] = field(default_factory=dict)
    count: int = 1  # of the problems that are told


RIGHT = {"student": {"model": "resnet10t"}, "teacher": {"model": "resnet18"}, "distiller": "dkd"}
DEEP = '{"train": ' + "[" * 60 + "]" * 60 + ', "student": {"model": "resnet10t"}, "distiller": "kd"}'
LAUGHS = "\n    ".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)


def dkd(**options):
    return {"distiller": {"name": "dkd", **options}}


def student(**keys):
    return {"student": {"model": "resnet10t", **keys}}


def teacher(**keys):
    return {"teacher": {"model": "resnet18", **keys}}


WRONG = [
    # types
    Wrong("text for a number", {"train": {"epochs": "ten"}}, "train.epochs", ("whole number", '"ten"', "1 or more")),
    Wrong("quoted number", {"optimizer": {"lr": "0.1"}}, "optimizer.lr", ("a number is wanted, not text",)),
    Wrong("fraction for a count", {"train": {"batch_size": 2.5}}, "train.batch_size", ("whole number", "2.5")),
    Wrong("boolean for a number", {"train": {"epochs": True}}, "train.epochs", ("whole number", "true")),
    Wrong("boolean for an option", dkd(alpha=True), "distiller.alpha", ("a number is wanted", "true")),
    Wrong("text for a boolean", student(pretrained="yes"), "student.pretrained", ("true or false", '"yes"')),
    Wrong("number for a boolean", {"train": {"sync_bn": 1}}, "train.sync_bn", ("true or false is wanted",)),
    Wrong("number for a name", {"student": {"model": 18}}, "student.model", ("text is wanted", "18")),
    Wrong("text for an object", {"data": "digits"}, "data", ("an object is wanted, not text",)),
    Wrong("list for an object", {"train": []}, "train", ("an object", "not a list")),
    Wrong("no teachers in a list", {"teacher": []}, "teacher",
          ("too short (at least 1)", "an object, a list of objects with a 'name' each, or null")),
    Wrong("null student", {"student": None}, "student", ("an object is wanted, not null",)),
    Wrong("null section", {"train": None}, "train", ("not null", "leave it out")),
    Wrong("null number", {"seed": None}, "seed", ("whole number", "not null")),
    Wrong("number for a distiller", {"distiller": 3}, "distiller", ("a distiller's name",)),
    Wrong("wrong type in a list", {"data": {"augment": {"scale": [0.1, "1"]}}}, "data.augment.scale[1]", ("text",)),
    Wrong("text option of a distiller", dkd(temperature="hot"), "distiller.temperature", ("above 0", '"hot"')),
    # ranges
    Wrong("no epochs", {"train": {"epochs": 0}}, "train.epochs", ("1 or more",)),
    Wrong("negative rate", {"optimizer": {"lr": -0.1}}, "optimizer.lr", ("above 0",)),
    Wrong("probability above 1", {"data": {"augment": {"hflip": 50}}}, "data.augment.hflip", ("from 0 to 1", "50")),
    Wrong("momentum of 1", {"optimizer": {"momentum": 1}}, "optimizer.momentum", ("below 1",)),
    Wrong("option out of range", dkd(temperature=0), "distiller.temperature", ("above 0",)),
    Wrong("range the wrong way round", {"data": {"augment": {"ratio": [2, 1]}}}, "data.augment.ratio",
          ("smaller first",)),
    Wrong("tiny images", {"data": {"image_size": 4}}, "data.image_size", ("8 pixels or more",)),
    Wrong("two means", {"data": {"mean": [0.5, 0.5]}}, "data.mean", ("2 numbers", "one for each channel")),
    Wrong("milestones that fall", {"scheduler": {"decay_milestones": [20, 10]}}, "scheduler.decay_milestones",
          ("rising",)),
    Wrong("unknown choice", {"train": {"precision": "fp61"}}, "train.precision", ("'fp16'", "bf16")),
    Wrong("no channels", {"data": {"channels": 0}}, "data.channels", ("1",)),
    Wrong("huge number", {"seed": 10**30}, "seed", ("too large",)),
    Wrong("NaN", '{"optimizer": {"lr": NaN}, "student": {"model": "resnet10t"}, "distiller": "dkd"}', "optimizer.lr",
          ("finite",)),
    Wrong("infinity", student(options={"drop_rate": float("inf")}), "student.options.drop_rate", ("finite",)),
    Wrong("infinity in TOML", 'distiller = "dkd"\n[student]\nmodel = "resnet10t"\n[optimizer]\nlr = inf',
          "optimizer.lr", ("finite",), file="a.toml"),
    Wrong("no distillers", {"distiller": []}, "distiller", ("too short", "a distiller's name")),
    # keys
    Wrong("misspelt section", {"optimzer": {"lr": 1}}, "optimzer", ("no key", "did you mean 'optimizer'?")),
    Wrong("misspelt key", {"train": {"epoch": 3}}, "train.epoch", ("did you mean 'epochs'?", "batch_size")),
    Wrong("key of another section", {"lr": 0.1}, "lr", ("did you mean 'optimizer.lr'?",)),
    Wrong("key out of nowhere", {"train": {"zzz": 1}}, "train.zzz", ("no key 'zzz'", "accumulate")),
    Wrong("misspelt option", dkd(alpah=1), "distiller.alpah", ("distiller 'dkd'", "did you mean 'alpha'?")),
    Wrong("option of another distiller", dkd(gamma=1), "distiller.gamma", ("no key 'gamma'", "temperature")),
    Wrong("nothing at all", "{}", "student", ("missing", "distiller"), count=2),
    Wrong("no model", {"student": {"small_input": True}}, "student.model", ("missing", "timm")),
    Wrong("no name of the distiller", {"distiller": {"alpha": 1}}, "distiller.name", ("missing",)),
    Wrong("number as a key", "student: {model: resnet10t}\ndistiller: dkd\ntrain: {3: 4}", "train",
          ("must be text", "quote"),
          file="a.yaml"),
    # names
    Wrong("unknown distiller", {"distiller": "dkdd"}, "distiller",
          ("did you mean 'dkd'?", "allowed: ab, abkd, ", " more)")),
    Wrong("distiller like none", {"distiller": "zzzzzz"}, "distiller",
          ("allowed: ab, abkd, ", "kd list-distillers lists all names")),
    Wrong("unknown distiller in a list", {"distiller": ["kd", "nkdd"], "task": {"weight": 1}}, "distiller[1]",
          ("did you mean 'nkd'?",)),
    Wrong("distiller of an unknown plugin", {"distiller": "nowhere/kd"}, "distiller",
          ("'nowhere' is not installed",)),
    Wrong("unknown model", {"student": {"model": "resnet81"}}, "student.model", ("'resnet18'", "timm")),
    Wrong("unknown teacher", {"teacher": {"model": "vit_tiny_patch16_242"}}, "teacher.model",
          ("vit_tiny_patch16_224",)),
    Wrong("path as a model", {"student": {"model": "weights/best.pth"}}, "student.model", ("'checkpoint'",)),
    Wrong("unknown adapter", student(adapter="timmm"), "student.adapter", ("did you mean 'timm'?",)),
    Wrong("unknown optimizer", {"optimizer": {"name": "adamq"}}, "optimizer.name",
          ("did you mean 'adam", "lookahead_")),
    Wrong("unknown scheduler", {"scheduler": {"name": "cosin"}}, "scheduler.name", ("'cosine'", "multistep")),
    Wrong("unknown dataset", {"data": {"dataset": "digit"}}, "data.dataset", ("'digits'", "no folder, archive or table")
          ),
    Wrong("unknown prefix", {"data": {"dataset": "torhc/cifar10"}}, "data.dataset", ("'torch/cifar10'",)),
    Wrong("unknown dataset of torchvision", {"data": {"dataset": "torch/cifar1000"}}, "data.dataset",
          ("'torch/cifar100'",)),
    Wrong("path traversal in the name", {"name": "../../etc/cron"}, "name", ("letters, digits",)),
    Wrong("empty name", {"name": ""}, "name", ("letters, digits",)),
    # files
    Wrong("missing checkpoint", student(checkpoint="best.safetensor"), "student.checkpoint",
          ("best.safetensors", "no file"),
          others={"best.safetensors": ""}),
    Wrong("missing folder of images", {"data": {"dataset": "./flowres"}}, "data.dataset",
          ("no folder, archive or table", "flowers"),
          others={"flowers/rose/1.png": ""}),
    Wrong("7z of images", {"data": {"dataset": "flowers.7z"}}, "data.dataset", (".tar.gz", ".zip"),
          others={"flowers.7z": ""}),
    Wrong("missing teacher spec", {"teacher": {"run": "techer.json"}}, "teacher.run", ("no file", "teacher.json"),
          others={"teacher.json": RIGHT}),
    Wrong("wrong teacher spec", {"teacher": {"run": "t.json"}}, "teacher.run (t.json): train.epochs", ("1 or more",),
          others={"t.json": {**RIGHT, "train": {"epochs": -1}}}),
    Wrong("broken teacher spec", {"teacher": {"run": "t.json"}}, "teacher.run (t.json)", ("line 1, column 2",),
          others={"t.json": "{"}),
    Wrong("own teacher", {"teacher": {"run": "my-run.json"}}, "teacher.run", ("train each other's teacher",)),
    Wrong("teachers in a circle", {"teacher": {"run": "t.json"}}, "teacher.run (t.json): teacher.run",
          ("my-run.json -> t.json -> my-run.json",), others={"t.json": {**RIGHT, "teacher": {"run": "my-run.json"}}}),
    Wrong("teacher in the same directory", {"teacher": {"run": "t.json"}, "name": "t"}, "name", ("same directory",),
          others={"t.json": RIGHT}),
    Wrong("another model than the teacher's run", {"teacher": {"run": "t.json",
          "model": "resnet50"}}, "teacher.model",
          ("resnet10t",), others={"t.json": RIGHT}),
    Wrong("output is a file", {"output": "results"}, "output", ("is a file",), others={"results": "x"}),
    # what does not go together
    Wrong("two sources of weights", teacher(pretrained=True, checkpoint="x.pth"), "teacher", ("exclude each other",)),
    Wrong("run beside pretrained", {"teacher": {"run": "t.json", "pretrained": True}}, "teacher",
          ("'run' excludes",)),
    Wrong("teacher of no kind", {"teacher": {"small_input": True}}, "teacher", ("'model' is missing",)),
    Wrong("file that tells no model", {"teacher": {"checkpoint": "a.pth"}}, "teacher.model",
          ("missing", "file of weights"),
          others={"a.pth": ""}),
    Wrong("no weight beside two", {"distiller": ["kd", "dkd"]}, "task.weight",
          ("several distillers", "1.0 is usual")),
    Wrong("nothing to learn from", {"distiller": "vanilla", "task": {"weight": 0}}, "task.weight",
          ("nothing is left",)),
    Wrong("mixup of an odd batch", {"data": {"mixup": 0.2}, "train": {"batch_size": 63}}, "train.batch_size",
          ("even number", "63")),
    Wrong("classes as an option", student(options={"num_classes": 10}), "student.options.num_classes",
          ("from the data",)),
    Wrong("channels as an option", student(options={"in_chans": 1}), "student.options.in_chans", ("data.channels",)),
    Wrong("classes that the dataset has not", {"data": {"num_classes": 7}}, "data.num_classes", ("10 classes",)),
    Wrong("warm-up to the end", {"train": {"epochs": 5}, "scheduler": {"warmup_epochs": 5}},
          "scheduler.warmup_epochs", ("train.epochs = 5",)),
    Wrong("lowest rate above the highest", {"optimizer": {"lr": 0.1}, "scheduler": {"min_lr": 1}}, "scheduler.min_lr",
          ("optimizer.lr = 0.1", "0 to 0.1")),
    Wrong("automatic augmentation of many steps", {"data": {"augment": {"auto_augment": "augmix-w100000000"}}},
          "data.augment.auto_augment", ("chains that are mixed", "1 to 10")),
    Wrong("second derivatives", {"optimizer": {"name": "adahessian"}}, "optimizer.name", ("second derivatives",)),
    Wrong("epochs without end", {"train": {"epochs": 10**12}}, "train.epochs", ("too large", "up to 1,000,000")),
    Wrong("batch of a billion", {"train": {"batch_size": 10**9}}, "train.batch_size", ("too large", "up to 1,048,576")),
    Wrong("images of a gigapixel", {"data": {"image_size": 10**5}}, "data.image_size", ("too large", "up to 16,384")),
    Wrong("teacher of a gigapixel", {"teacher": {"model": "resnet34", "image_size": 10**5}}, "teacher.image_size",
          ("too large",)),
    Wrong("many augmentations", {"teacher_cache": {"augmentations": 10**12}}, "teacher_cache.augmentations",
          ("too large",)),
    Wrong("crop of nearly nothing", {"data": {"crop_pct": 1e-320}}, "data.crop_pct", ("0.01 or more",)),
    Wrong("cache that is no object", {"teacher_cache": True}, "teacher_cache", ("an object of augmentations",)),
    Wrong("cache without a teacher", {"teacher": None, "distiller": "vanilla",
          "teacher_cache": {"augmentations": 2}}, "teacher_cache", ("no teacher",)),
    Wrong("cache of mixed images", {"teacher_cache": {"augmentations": 2}, "data": {"cutmix": 1.0}},
          "data.cutmix", ("new in each epoch", "leave out teacher_cache")),
    # the file itself
    Wrong("comma too many", '{"student": {},\n}', "my-run.json", ("broken JSON in line", "comma")),
    Wrong("comment in JSON", '{\n  // student\n  "student": {}}', "my-run.json", ("line 2, column 3", "no comments")),
    Wrong("JSON that ends early", '{"student": {"model": "resnet10t"', "my-run.json", ("line 1", "ends too early")),
    Wrong("broken TOML", "[student\nmodel = 1", "a.toml", ("broken TOML in line 1",), file="a.toml"),
    Wrong("broken YAML", "student:\n  model: a\n distiller: kd", "a.yaml", ("broken YAML in line 3",), file="a.yaml"),
    Wrong("code in YAML", "student: !!python/object/apply:os.getcwd []", "a.yaml", ("a spec is data",),
          file="a.yaml"),
    Wrong("twice in JSON", '{"seed": 1, "seed": 2, "student": {"model": "resnet10t"}, "distiller": "dkd"}', "seed",
          ("twice",)),
    Wrong("twice in YAML", "student: {model: resnet10t}\ndistiller: dkd\ntrain: {epochs: 1, epochs: 2}",
          "train.epochs",
          ("twice",), file="a.yaml"),
    Wrong("twice in TOML", "seed = 1\nseed = 2", "a.toml", ("line 2",), file="a.toml"),
    Wrong("a date", 'name = 2024-01-02\ndistiller = "dkd"\n[student]\nmodel = "resnet10t"', "name",
          ("quote it",), file="a.toml"),
    Wrong("empty file", "", "my-run.json", ("empty",)),
    Wrong("a list", "[]", "my-run.json", ("a list", "an object")),
    Wrong("not UTF-8", b'{"name": "\xff"}', "my-run.json", ("UTF-8",)),
    Wrong("other suffix", "{}", "a.txt", (".json, .toml, .yaml, .yml",), file="a.txt"),
    Wrong("nested without end", DEEP, "train[0][0]", ("nested too deeply",)),
    Wrong("many laughs", f"distiller: kd\nstudent:\n  model: resnet10t\n  options:\n    {LAUGHS}", "student",
          ("too many values",), file="a.yaml"),
    # flags
    Wrong("flag without a value", {}, "--set", ("no '='", "key.path=value"), ("--set", "train.epochs")),
    Wrong("flag without a key", {}, "--set", ("empty",), ("--set", "=3")),
    Wrong("flag through a value", {"seed": 3}, "--set", ("seed is 3",), ("--set", "seed.low=3")),
    Wrong("flag past the end", {"distiller": ["kd"]}, "--set", ("distiller.0",), ("--set", "distiller.1.alpha=3")),
    Wrong("unknown key in a flag", {}, "tran (--set tran.epochs=3)", ("'train'",), ("--set", "tran.epochs=3")),
    Wrong("wrong value in a flag", {}, "distiller.alpha (--set distiller.alpha=x)", ("a number",),
          ("--set", "distiller.alpha=x")),
]  # fmt: skip


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Writes a file and returns its name, from which the folder is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return name

    return write


def lay_out(case, put):
    for name, content in case.others.items():
        put(name, content)
    return put(case.file, {**RIGHT, **case.content} if isinstance(case.content, dict) else case.content)


def check(done, where, words, count=1):
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert re.search(rf"^(error: |\d+\. ){re.escape(where)}: ", done.err, re.MULTILINE), done.err
    for word in words:
        assert word in done.err, done.err
    told = re.search(r"^error: (\d+) problems$", done.err, re.MULTILINE)
    assert (int(told[1]) if told else 1) == count, done.err


@pytest.mark.parametrize("case", WRONG, ids=[case.name.replace(" ", "-") for case in WRONG])
def test_wrong_spec(kd, put, case):
    done = kd("validate", lay_out(case, put), *case.flags)
    check(done, case.where, case.words, case.count)


def test_there_are_enough():
    assert len({case.name for case in WRONG}) == len(WRONG) >= 45


@pytest.mark.parametrize("name", ["misspelt key", "unknown model", "comma too many", "wrong teacher spec"])
def test_wrong_spec_in_a_process_of_its_own(kd_process, put, name):
    (case,) = [case for case in WRONG if case.name == name]
    check(kd_process("validate", lay_out(case, put), *case.flags), case.where, case.words)


def test_missing_spec(kd, put):
    put("quickstart.json", RIGHT)
    check(kd("validate", "quikstart.json"), "quikstart.json", ("no such file", "quickstart.json"))


def test_folder_that_is_no_run_directory(kd, put):
    put("specs/a.toml", "")
    check(kd("validate", "specs"), "specs", ("no run directory", "a.toml"))


PLUGIN = """
@hookimpl
def kd_distillers():
    return [DistillerEntry(name="{name}", kind="logit", summary="s", target="{module}:D", options="{options}")]
"""


def test_plugin_that_raises(kd, put, add_plugin):
    add_plugin("kd-raising", "raise RuntimeError('no licence')", version="2.0")
    done = kd("validate", put("a.json", {**RIGHT, "distiller": "raised"}))
    check(done, "distiller", ("kd-raising 2.0", "no licence", "there is no distiller"))


def test_plugin_whose_options_cannot_be_imported(kd, put, add_plugin):
    add_plugin("kd-half", PLUGIN.format(name="half", module="kd_half", options="kd_half.nowhere:Options"))
    done = kd("validate", put("a.json", {**RIGHT, "distiller": "half"}))
    check(
        done,
        "distiller",
        ("kd-half 1.0", "kd_half.nowhere", "pip install --force-reinstall --no-deps kd-half"),
    )


def test_two_plugins_with_one_distiller(kd, put, add_plugin):
    for name in ("kd-one", "kd-two"):
        add_plugin(name, PLUGIN.format(name="same", module=name.replace("-", "_"), options="a:B"))
    done = kd("validate", put("a.json", {**RIGHT, "distiller": {"name": "same"}}))
    check(
        done,
        "distiller.name",
        ("kd-one 1.0 and kd-two 1.0", "kd-one/same, kd-two/same", "KD_DISABLE_PLUGINS=kd-one"),
    )


def test_disabled_plugin(kd, put, monkeypatch):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "kd-classic")
    done = kd("validate", put("a.json", RIGHT))
    check(done, "distiller", ("kd-classic", "is disabled", "KD_DISABLE_PLUGINS"))


def test_first_party_plugin_that_is_not_installed(kd, put, monkeypatch):
    others = [candidate for candidate in find_candidates() if candidate.distribution != "kd-feature"]
    monkeypatch.setattr("kdcore.plugins.manager.find_candidates", lambda: others)
    get_plugins.cache_clear()
    done = kd("validate", put("a.json", {**RIGHT, "distiller": "fitnet"}))
    check(done, "distiller", ("comes with the package kd-feature", "pip install kd-feature"))


def test_everything_at_once(kd, put):
    spec = {
        "student": {"model": "resnet81", "pretrained": "yes"},
        "teacher": {"run": "t.json"},
        "distiller": [{"name": "dkd", "alpha": "x"}, "nkdd"],
        "train": {"epochs": 0, "epoch": 1},
        "optimizer": {"name": "sdg"},
        "data": {"dataset": "digit"},
    }
    put("t.json", {**RIGHT, "student": {"model": "resnet99"}})
    done = kd("validate", put("a.json", spec), "--set", "x", "--json")
    assert done.code == 2
    assert {problem["where"] for problem in json.loads(done.out)["problems"]} == {
        "--set", "student.model", "student.pretrained", "teacher.run (t.json): student.model", "distiller[0].alpha",
        "distiller[1]", "train.epochs", "train.epoch", "optimizer.name", "data.dataset", "task.weight",
    }  # fmt: skip


def test_no_torch_is_imported_to_tell_them(put):
    put("a.json", {**RIGHT, "student": {"model": "resnet81"}, "distiller": "dkdd", "train": {"epochs": 0}})
    code = (
        "import sys\n"
        "from kdcore.cli import main\n"
        "try:\n    main(['validate', 'a.json'])\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "heavy = {'torch', 'timm', 'torchvision', 'numpy', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "3 problems" in done.stderr
