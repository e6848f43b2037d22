from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore import UserError
from kdcore.cli.app import main
from kdcore.teacher_cache.listing import damaged_rows, find_caches, look_at

from .conftest import PLAIN, SAMPLES, outputs


def kd(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def caches(opened, tmp_path: Path) -> list[Path]:
    """A half filled cache, and a damaged one."""
    half = opened()
    half.write(0, torch.arange(SAMPLES), outputs(SAMPLES))
    damaged = opened(PLAIN, seed=1)
    (damaged.path / "logits.bin").write_bytes(b"")
    return [half.path, damaged.path]


def test_list(caches, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert {info.path for info in find_caches([tmp_path])} == set(caches)
    assert kd("cache", "list", str(tmp_path)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    (line,) = [line for line in shown if line.endswith(str(caches[0]))]
    assert "toy/net on toys" in line
    assert "12 x 2" in line
    assert "50 %" in line
    assert any(line.startswith("damaged") and str(caches[1]) in line for line in shown)
    assert kd("cache", "list", str(tmp_path), "--json") == 0
    found = {info["path"]: info for info in json.loads(capsys.readouterr().out)}
    assert found[str(caches[0])]["filled"] == 12
    assert "logits.bin has 0 bytes" in found[str(caches[1])]["problem"]
    (tmp_path / "empty").mkdir()
    assert kd("cache", "list", str(tmp_path / "empty")) == 0
    assert capsys.readouterr().out == "there are none\n"
    assert kd("cache", "list", str(tmp_path / "absent")) == 2


def test_show(caches, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    manifest = caches[0] / "manifest.json"
    content = json.loads(manifest.read_text())
    content["identity"]["data"] = {"image_size": [8, 8], "split": "train"}
    content["identity"]["precision"] = "fp32"
    manifest.write_text(json.dumps(content))
    assert kd("cache", "show", str(caches[0])) == 0
    shown = capsys.readouterr().out
    assert "12 of 24 filled" in shown
    assert "map-stage2 3x4x5 float32" in shown
    assert kd("cache", "show", str(caches[0]), "--json") == 0
    assert json.loads(capsys.readouterr().out)["fields"][0]["name"] == "logits"
    assert kd("cache", "show", str(caches[1])) == 2


def test_check(caches, capsys: pytest.CaptureFixture[str]):
    assert kd("cache", "check", str(caches[0])) == 0
    assert "12 rows are filled; all are whole" in capsys.readouterr().out
    np.memmap(caches[0] / "embedding.bin", np.uint8, "r+")[21] ^= 1  # five float32 a row: row 1
    assert damaged_rows(look_at(caches[0])) == [1]
    assert kd("cache", "check", str(caches[0])) == 1
    assert kd("cache", "check", str(caches[1])) == 1


def test_rm(caches, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine").mkdir()
    assert kd("cache", "rm", str(caches[0]), str(tmp_path / "mine"), "--yes") == 2
    assert "not a teacher cache" in capsys.readouterr().err
    assert caches[0].is_dir()
    assert (tmp_path / "mine").is_dir()
    monkeypatch.setattr("typer.confirm", lambda *args, **kwargs: False)
    assert kd("cache", "rm", str(caches[0])) == 0
    assert caches[0].is_dir()
    assert kd("cache", "rm", *map(str, caches), "--yes") == 0
    assert find_caches([tmp_path]) == []


def test_a_cache_that_is_being_made_is_not_listed(tmp_path: Path):
    (tmp_path / ".toy-1.tmp").mkdir()
    (tmp_path / ".toy-1.tmp" / "rows.crc").write_bytes(b"")
    assert find_caches([tmp_path]) == []
    with pytest.raises(UserError, match="not a teacher cache"):
        look_at(tmp_path)
