"""What is read from timm's sources against what timm says itself."""

import subprocess
import sys

import pytest
import timm
import torch
from timm.data import create_dataset
from timm.models import get_deprecated_models
from timm.optim import get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2

from kdcore.spec import installed


def test_models():
    assert installed.models() == set(timm.list_models())


def test_deprecated_models():
    assert installed.deprecated_models() == set(get_deprecated_models())
    assert None not in get_deprecated_models().values(), (
        "timm removed names: they are no valid names any more"
    )


def test_optimizers():
    assert set(installed.optimizers()) == set(list_optimizers())
    assert installed.optimizers()["fusedsgd"] == "apex"
    assert installed.optimizers()["bnblion"] == "bitsandbytes"
    assert installed.optimizers()["adamw"] is None
    infos = {name: get_optimizer_info(name) for name in list_optimizers()}
    assert {name for name, package in installed.optimizers().items() if package == "opt_einsum"} == {
        name for name, info in infos.items() if getattr(info.opt_class, "__name__", "") == "Kron"
    }
    assert installed.second_order() == {name for name, info in infos.items() if info.second_order} != set()


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated:FutureWarning")
def test_schedulers():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    for name in installed.schedulers():
        create_scheduler_v2(optimizer, sched=name, num_epochs=30, decay_epochs=3, warmup_epochs=2)
    assert {
        "cosine",
        "step",
        "multistep",
        "plateau",
        "poly",
        "tanh",
        "none",
        "wsd",
        "rsqrt",
    } <= installed.schedulers()


def test_dataset_prefixes():
    assert installed.dataset_prefixes() == {"torch", "hfds", "hfids", "tfds", "wds"}


@pytest.mark.parametrize("name", sorted(installed.torch_datasets()))
def test_torch_datasets_are_known_to_timm(name, tmp_path):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # nothing is there; which error differs
        create_dataset(f"torch/{name}", root=str(tmp_path), split="train", download=False)
    assert "Unknown torchvision dataset" not in str(caught.value)


def test_unknown_torch_datasets_are_told_so_by_timm(tmp_path):
    with pytest.raises(AssertionError, match="Unknown torchvision dataset"):
        create_dataset("torch/nothing", root=str(tmp_path), split="train")


def test_trackers_are_those_of_accelerate():
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    assert installed.trackers() == frozenset(LOGGER_TYPE_TO_CLASS)


def test_nothing_is_imported():
    code = (
        "import sys; from kdcore.spec import installed as i; i.models(); i.optimizers(); i.schedulers();"
        "assert i.trackers(); assert not {'timm', 'torch', 'numpy', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_timm_and_accelerate_nothing_is_said(monkeypatch, tmp_path):
    answers = (installed.models, installed.optimizers, installed.schedulers, installed.torch_datasets)
    for answer in (*answers, installed.trackers):
        for found in (None, tmp_path):
            monkeypatch.setattr(installed, "_folder", lambda package, found=found: found)
            installed._models_files.cache_clear()
            assert answer.__wrapped__() is None
    installed._models_files.cache_clear()
