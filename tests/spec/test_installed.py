"""The names that kd knows without importing timm and accelerate, against what the libraries say."""

import inspect
import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
import timm
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from timm.models import get_deprecated_models
from timm.optim import get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2, scheduler_factory

from kdcore.spec import ask_timm, installed

NEW_TIMM = "timm has changed: run `uv run python -m kdcore.spec.ask_timm`"


@pytest.fixture
def another_timm(monkeypatch):
    """As if a version of timm were installed that the file does not know."""
    installed._table.cache_clear()
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    yield
    installed._table.cache_clear()


def test_the_file_is_what_timm_says():
    table = json.loads(ask_timm.FILE.read_text(encoding="utf-8"))
    assert table["timm"] == timm.__version__, NEW_TIMM
    assert table == json.loads(ask_timm.as_text(ask_timm.ask())), NEW_TIMM


def test_another_timm_is_asked(another_timm, monkeypatch):
    monkeypatch.setattr(ask_timm, "ask", lambda: {"deprecated": {"old": "new"}})
    assert installed.deprecated_models() == {"old": "new"}


def test_models():
    assert set(installed.models()) == set(timm.list_models())
    weights = {
        f"{model.name}.{tag}".strip(".") for model in installed.models().values() for tag in model.weights
    }
    assert weights == set(timm.list_pretrained())
    assert installed.models()["resnet18"].file == "resnet"


def test_deprecated_models():
    assert set(installed.deprecated_models()) == set(get_deprecated_models())
    # some of timm's old names mean tags that timm has renamed since
    assert {new.partition(".")[0] for new in installed.deprecated_models().values()} <= set(
        installed.models()
    )


def test_optimizers():
    assert set(installed.optimizers()) == set(list_optimizers())
    assert installed.optimizers()["fusedsgd"].package == "apex"
    assert installed.optimizers()["bnblion"].package == "bitsandbytes"
    assert installed.optimizers()["adamw"].package is None
    infos = {name: get_optimizer_info(name) for name in list_optimizers()}
    assert {name for name, found in installed.optimizers().items() if found.package == "opt_einsum"} == {
        name for name, info in infos.items() if getattr(info.opt_class, "__name__", "") == "Kron"
    }
    second_order = {name for name, found in installed.optimizers().items() if found.second_order}
    assert second_order == {name for name, info in infos.items() if info.second_order} != set()


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated:FutureWarning")
@pytest.mark.parametrize("name", sorted(installed.SCHEDULERS))
def test_schedulers_are_known_to_timm(name):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    made, _ = create_scheduler_v2(optimizer, sched=name, num_epochs=30, decay_epochs=3, warmup_epochs=2)
    assert (made is None) == (name == "none")


def test_schedulers_are_all_that_timm_knows():
    source = inspect.getsource(scheduler_factory)
    compared = re.findall(r"\bsched (?:==|!=) '(\w+)'", source)
    listed = [
        name for names in re.findall(r"\bsched in \(([^)]*)\)", source) for name in re.findall(r"\w+", names)
    ]
    assert {*compared, *listed} == installed.SCHEDULERS


def test_trackers_are_those_of_accelerate():
    assert frozenset(LOGGER_TYPE_TO_CLASS) == installed.TRACKERS


def test_nothing_is_imported():
    code = (
        "import sys; from kdcore.spec import installed as i; i.models(); i.optimizers(); i.deprecated_models();"
        "assert not {'timm', 'torch', 'numpy', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
