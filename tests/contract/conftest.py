"""A plugin as a stranger would write it from the contract alone, installed by its metadata, and `kd` beside it."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kdcore.plugins import get_plugins

NEED_TORCH = ("run", "validate", "eval", "export", "cache-teacher")

DECLARED = """
import json, os

from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, Paper, hookimpl

PLUGIN_API = 1

@hookimpl
def kd_distillers():
    return [
        DistillerEntry(name="toy-bank", kind="feature", summary="Hints, soft targets and a bank.",
                       target="stranger.code:Bank", options="stranger.options:BankOptions",
                       paper=Paper(title="Toys", year=2020, url="https://example.org"), task_weight=0.5),
        DistillerEntry("toy-plain", "baseline", "No teacher, no options.", "stranger.code:Plain",
                       "stranger.options:PlainOptions"),
    ]

@hookimpl
def kd_feature_adapters():
    return [AdapterEntry(name="toy", summary="For toy networks.", target="stranger.code:ToyAdapter",
                         models=["stranger.code:ToyNet"])]

@hookimpl
def kd_datasets():
    return [DatasetEntry("toy-shapes", "Two kinds of images.", "stranger.code:shapes", 2)]

@hookimpl
def kd_models():
    return [ModelEntry("toynet", "Two layers.", "stranger.code:toynet")]

def note(*what):
    if "STRANGER_LOG" in os.environ:
        with open(os.environ["STRANGER_LOG"], "a") as file:
            file.write(json.dumps(what) + "\\n")

@hookimpl
def kd_run_started(run):
    note("started", str(run.path))

@hookimpl
def kd_epoch_ended(run, metrics):
    note("epoch", metrics["epoch"])
    metrics.clear()

@hookimpl
def kd_run_finished(summary):
    note("finished", summary["status"])
    raise RuntimeError("the stranger trips")
"""
OPTIONS = """
from kdcore import DistillerOptions

class BankOptions(DistillerOptions):
    stage: int = 2
    decay: float = 0.5

class PlainOptions(DistillerOptions):
    pass
"""
CODE = """
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from kdcore import FeatureMap, ModelOutput, Requires, StageInfo

SEEN = []

class Bank(nn.Module):
    def __init__(self, options, setup):
        super().__init__()
        self.options = options
        self.requires = Requires(student_stages=(options.stage,), teacher_stages=(options.stage,),
                                 student_embedding=True, sample_index=True)
        s, t = setup.student.stage(options.stage), setup.teacher.stage(options.stage)
        self.head = nn.Conv2d(s.channels, t.channels, 1)
        self.register_buffer("bank", torch.zeros(setup.train_size, setup.student.embedding_dim))
        SEEN.append(setup)

    def forward(self, student, teacher, batch, progress):
        stage = self.options.stage
        mine = F.adaptive_avg_pool2d(self.head(student.features[stage].map), 1)
        theirs = F.adaptive_avg_pool2d(teacher.features[stage].map, 1)
        self.bank[batch.index] = self.options.decay * self.bank[batch.index] + student.embedding.detach()
        soft = F.kl_div(student.logits.log_softmax(1), teacher.logits.softmax(1), reduction="batchmean")
        weight = self.options.weight * (1 + progress.epoch / progress.total_epochs)
        return {"hint": weight * F.mse_loss(mine, theirs), "loss": weight * soft}

class Plain(nn.Module):
    requires = Requires(teacher=False)

    def __init__(self, options, setup):
        super().__init__()
        self.weight = options.weight

    def forward(self, student, teacher, batch, progress):
        return {"size": self.weight * student.logits.square().mean()}

class ToyNet(nn.Module):
    def __init__(self, num_classes, in_chans, width=4):
        super().__init__()
        self.body = nn.ModuleList(
            nn.Conv2d(a, b, 3, 2, 1) for a, b in [(in_chans, width), *[(width, width)] * 3])
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images):
        for layer in self.body:
            images = layer(images).relu()
        return self.fc(images.mean((2, 3)))

class WideNet(ToyNet):
    pass

def toynet(num_classes, in_chans, **options):
    return WideNet(num_classes, in_chans, **options)

class ToyAdapter:
    def stages(self, model, image_size):
        height, width = image_size
        return tuple(StageInfo(n + 1, layer.out_channels, (height >> n + 1, width >> n + 1), 0)
                     for n, layer in enumerate(model.body))

    def forward(self, model, images, stages, embedding):
        maps = {}
        for number, layer in enumerate(model.body, 1):
            images = layer(images).relu()
            if number in stages:
                maps[number] = FeatureMap(images, None)
        pooled = images.mean((2, 3))
        return ModelOutput(logits=model.fc(pooled), features=maps, embedding=pooled if embedding else None)

class Shapes:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Image.new("RGB", (16, 16), (200 * (index % 2), 20 + index, 30)), index % 2

def shapes(root, split):
    return Shapes({"train": 24, "test": 10}[split])
"""


def install(site: Path, name: str, version: str, modules: dict[str, str], point: str, value: str) -> None:
    """What an installer leaves: the modules, and a dist-info folder with the entry point."""
    for file, text in modules.items():
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[kdcore]\n{point} = {value}\n")


@pytest.fixture(scope="session")
def add() -> Callable[..., None]:
    return install


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    modules = {
        "stranger/__init__.py": "",
        "stranger/plugin.py": DECLARED,
        "stranger/options.py": OPTIONS,
        "stranger/code.py": CODE,
    }
    install(folder, "kd-stranger", "3.1", modules, "stranger", "stranger.plugin")
    return folder


@pytest.fixture
def stranger(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plugin's code, in this process."""
    monkeypatch.syspath_prepend(str(site))
    get_plugins.cache_clear()
    yield importlib.import_module("stranger.code")
    get_plugins.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "stranger"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def kd(fork_kd: Callable[..., Any]) -> Callable[..., SimpleNamespace]:
    """Run `python -m kdcore` with these folders on the path."""

    def call(*arguments: object, path: tuple[Path, ...] = (), **variables: str) -> SimpleNamespace:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KD_") or k == "KD_NO_REPORT"}
        places = [*map(str, path), inherited.get("PYTHONPATH", "")]
        environment = {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, places)), **variables}
        if arguments[0] in NEED_TORCH:
            process = fork_kd(*arguments, environment=environment)
            out, err = process.communicate(timeout=300)
            return SimpleNamespace(code=process.returncode, out=out, err=err)
        done = subprocess.run(
            [sys.executable, "-m", "kdcore", *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    def spec(path: Path, **sections: Any) -> Path:
        path.write_text(json.dumps(sections))
        return path

    return spec


@pytest.fixture(scope="session")
def check_signature() -> Callable[[str, str], None]:
    """Compare `name(parameters)` with what a package offers under that name: order, kinds and defaults."""

    def check(package: str, expected: str) -> None:
        module, name = importlib.import_module(package), expected.strip().partition("(")[0]
        assert name in module.__all__
        found = inspect.signature(getattr(module, name))
        plain = [one.replace(annotation=inspect.Parameter.empty) for one in found.parameters.values()]
        bare = found.replace(parameters=plain, return_annotation=inspect.Signature.empty)
        assert f"{name}{bare}" == expected.strip()

    return check
