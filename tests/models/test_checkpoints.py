from __future__ import annotations

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdcore import UserError
from kdcore.models.checkpoints import read_weights

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


def same(found):
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[k], v) for k, v in WEIGHTS.items())


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3, "arch": "resnet18", "optimizer": {"lr": 0.1}},
        {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1)},
        {"state_dict_ema": WEIGHTS, "state_dict": {k: v + 1 for k, v in WEIGHTS.items()}},
        {"state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}},
        {"state_dict": {f"_orig_mod.{name}": value for name, value in WEIGHTS.items()}},
    ],
    ids=["plain", "training", "model", "ema", "ddp", "compiled"],
)
def test_torch_files(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pth.tar")
    assert same(read_weights(tmp_path / "checkpoint.pth.tar", "student.checkpoint"))


def test_safetensors(tmp_path):
    save_file({f"module.{name}": value for name, value in WEIGHTS.items()}, tmp_path / "w.safetensors")
    assert same(read_weights(tmp_path / "w.safetensors", "student.checkpoint"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_shapes_only(tmp_path, name):
    save = save_file if name.endswith("safetensors") else torch.save
    save(WEIGHTS, tmp_path / name)
    found = read_weights(tmp_path / name, "student.checkpoint", shapes_only=True)
    assert {k: tuple(v.shape) for k, v in found.items()} == {"layer.weight": (2, 3), "layer.bias": (2,)}
    assert all(value.is_meta for value in found.values())


class Malicious:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path, zipped):
    proof, path = tmp_path / "proof", tmp_path / "evil.pth"
    torch.save(
        {"state_dict": WEIGHTS, "more": Malicious(f"touch {proof}")},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match="refused: it would execute code") as caught:
        read_weights(path, "teacher.checkpoint")
    assert caught.value.problems[0].where == "teacher.checkpoint"
    assert not proof.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Malicious(f"touch {proof}")))
    with pytest.raises(UserError, match="refused: it would execute code"):
        read_weights(path, "teacher.checkpoint")
    assert not proof.exists()


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(UserError, match="refused: it would execute code") as caught:
        read_weights(tmp_path / "model.pth", "teacher.checkpoint")
    assert "torch.nn.modules.linear.Linear" in caught.value.problems[0].message


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        read_weights(tmp_path / "nothing.pth", "student.checkpoint")
    with pytest.raises(UserError, match="this folder is not a run directory"):
        read_weights(tmp_path, "student.checkpoint")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"no", "no whole safetensors file"),
        ("a.pth", b"hello, this is text", "is no checkpoint"),
        ("a.pth", b"", "is no checkpoint"),
        ("a.pth", b"PK\x03\x04 half a zip", "is no checkpoint"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_weights(tmp_path / name, "student.checkpoint")


def test_numpy_files(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(2))
    with pytest.raises(UserError, match="NumPy checkpoints are not read"):
        read_weights(tmp_path / "a.npz", "student.checkpoint")


@pytest.mark.parametrize(
    "content", [{}, {"epoch": 3}, [torch.zeros(2)], {1: torch.zeros(2)}, {"model": {"a": 3}}]
)
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no weights"):
        read_weights(tmp_path / "a.pth", "student.checkpoint")
