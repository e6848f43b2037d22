from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdcore import UserError
from kdcore.models.checkpoints import read_checkpoint, read_weights

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
        ("a.safetensors", b'\x40\0\0\0\0\0\0\0{"a":', "not a complete safetensors file"),
        ("a.safetensors", b"no", "is not a checkpoint but text"),
        ("a.pth", b"hello, this is text", "is not a checkpoint"),
        ("a.pth", b"", "is not a checkpoint"),
        ("a.pth", b"PK\x03\x04 half a zip", "is not a checkpoint"),
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


@pytest.mark.parametrize(
    "content",
    [
        {"net": WEIGHTS, "best": np.float64(3.5), "epoch": np.int64(3)},
        {"weights": WEIGHTS, "where": Path("a/b"), "when": datetime(2020, 1, 1)},
        {"params": WEIGHTS, "history": np.arange(4.0), "counts": defaultdict(list, a=[1])},
        {"model": {"state_dict": WEIGHTS}, "model_state": None},
        {"ema_state_dict": {"decay": 0.9, "n_averaged": torch.tensor(3), "model": WEIGHTS}},
        {"some_name": WEIGHTS, "optimizer": {"state": {"exp_avg": torch.ones(3)}}},
        {**WEIGHTS, "epoch": 3, "lr": 0.1},
        {"state_dict": {name: nn.Parameter(value) for name, value in WEIGHTS.items()}},
    ],
    ids=["numbers", "paths", "arrays", "nested", "ema", "another-name", "flat", "parameters"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_lies_beside_the_weights_does_not_matter(tmp_path, content, zipped):
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
    if not zipped and "when" in content:
        return  # names of packages are found in zip files only
    found = read_checkpoint(tmp_path / "a.ckpt", "student.checkpoint")
    assert same(found.tensors)
    assert found.warnings == ()


def test_the_file_says_which_format_it_has_not_its_name(tmp_path):
    save_file(WEIGHTS, tmp_path / "w.pth")
    torch.save(WEIGHTS, tmp_path / "w.safetensors")
    assert same(read_weights(tmp_path / "w.pth", "student.checkpoint"))
    assert same(read_weights(tmp_path / "w.safetensors", "student.checkpoint"))


def test_several_sets_of_weights(tmp_path):
    torch.save({"generator": WEIGHTS, "discriminator": WEIGHTS}, tmp_path / "gan.pth")
    with pytest.raises(UserError, match="several sets of weights: discriminator, generator"):
        read_weights(tmp_path / "gan.pth", "teacher.checkpoint")
    torch.save({"model": WEIGHTS, "teacher": WEIGHTS}, tmp_path / "dino.pth")
    found = read_checkpoint(tmp_path / "dino.pth", "teacher.checkpoint")
    assert found.warnings == (
        "teacher.checkpoint: the file holds several sets of weights: 'model' is used, not teacher",
    )


def zip_of(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html>\n<html><body>404", "a web page"),
        (b"\n  <html>", "a web page"),
        (b'{"error": "not found"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n\0\0\0", "an HDF5 file, as Keras"),
        (zip_of("config.json", "metadata.json", "model.weights.h5"), "a Keras model"),
        (zip_of("m/constants.pkl", "m/data.pkl", "m/code/a.py"), "a TorchScript program"),
        (zip_of("m/archive_format", "m/models/model.json"), "an exported program"),
        (zip_of("a.npy"), "a NumPy archive"),
        (zip_of("word/document.xml"), "a zip archive of something else"),
        (b"\x08\x08\x12\x07pytorch\x1a\x05\xff\xfe", "an ONNX model"),
        (b"\x1c\0\0\0TFL3\xff", "a TensorFlow Lite model"),
        (zip_of("m/data.pkl", "m/data/0")[:40], "a file that is cut off"),
        (pickle.dumps({"a": 3}), "a pickle that is not of torch.save"),
        (pickle.dumps([1.5], protocol=0), "is not a checkpoint"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else ""
    ),  # the bytes of an archive hold the time, and every worker has to collect the same tests
)
@pytest.mark.parametrize("shapes_only", [True, False])
def test_other_files_are_called_what_they_are(tmp_path, content, message, shapes_only):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_weights(tmp_path / "a.pth", "teacher.checkpoint", shapes_only=shapes_only)
    assert "execute" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_real_programs_are_called_what_they_are(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pt")
    with pytest.raises(UserError, match="a TorchScript program"):
        read_weights(tmp_path / "script.pt", "teacher.checkpoint")
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), tmp_path / "program.pt2")
    with pytest.raises(UserError, match="an exported program"):
        read_weights(tmp_path / "program.pt2", "teacher.checkpoint")


@pytest.mark.filterwarnings("ignore:.*quantize")
@pytest.mark.parametrize("shapes_only", [True, False])
def test_sparse_and_quantised_weights(tmp_path, shapes_only):
    sparse = {"layer.weight": torch.eye(3).to_sparse()}
    torch.save(sparse, tmp_path / "sparse.pth")
    with pytest.raises(UserError, match=r"layer.weight is sparse"):
        read_weights(tmp_path / "sparse.pth", "teacher.checkpoint", shapes_only=shapes_only)
    codes = {"layer.weight": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)}
    torch.save(codes, tmp_path / "codes.pth")
    with pytest.raises(UserError, match=r"layer.weight is quantised"):
        read_weights(tmp_path / "codes.pth", "teacher.checkpoint", shapes_only=shapes_only)


class Beside:
    """Code of others beside the weights, though no system command."""


def test_objects_of_other_classes_are_not_built(tmp_path):
    torch.save({"state_dict": WEIGHTS, "config": Beside()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"it would execute code .*Beside"):
        read_weights(tmp_path / "a.pth", "teacher.checkpoint")
