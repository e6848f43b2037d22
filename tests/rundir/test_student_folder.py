from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from kdcore import UserError
from kdcore.models.checkpoints import read_checkpoint
from kdcore.rundir.files import sha256_of
from kdcore.rundir.student_folder import damage, is_altered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights = tmp_path / "model.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), weights)
    (tmp_path / "config.json").write_text(json.dumps({"kdcore": {"sha256": sha256_of(weights)}}))
    return tmp_path


def _flip_a_bit(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def test_a_folder_that_is_whole(folder: Path):
    assert damage(folder) is None
    assert len(read_checkpoint(folder / "model.safetensors", "teacher.checkpoint").tensors) > 10


def test_one_bit_of_a_teachers_weights_is_noticed(folder: Path):
    weights = folder / "model.safetensors"
    _flip_a_bit(weights)
    assert is_altered(weights)
    with pytest.raises(UserError, match="the weights are damaged: their checksum") as caught:
        read_checkpoint(weights, "teacher.checkpoint")
    assert caught.value.problems[0].where == "teacher.checkpoint"
    assert (
        torch.device("meta")
        == next(  # no values are read
            iter(read_checkpoint(weights, "teacher.checkpoint", shapes_only=True).tensors.values())
        ).device
    )


def test_damaged_weights_with_nan_are_called_both(folder: Path):
    weights = folder / "model.safetensors"
    state = load_file(weights)
    state["fc.weight"][0, 0] = float("nan")
    save_file(state, weights)
    with pytest.raises(
        UserError, match=r"damaged: .*; the weights are not finite: NaN or infinity in fc\.weight"
    ):
        read_checkpoint(weights, "teacher.checkpoint")


@pytest.mark.parametrize("config", [None, "{}", "[]", '{"kdcore": 3}', '{"architecture": "resnet18"}', "{"])
def test_weights_that_kd_did_not_write_have_no_checksum(folder: Path, config: str | None):
    weights = folder / "model.safetensors"
    _flip_a_bit(weights)
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(config)
    assert not is_altered(weights)
    assert damage(folder) is not None
