"""The data group: each loader gives all images, and the kept ones come from memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import data
from benchmarks.rounds import measure


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # timm leaves files to the garbage collector
@pytest.mark.parametrize("size", [32, 224])
def test_every_contender_goes_through_all_images(size, monkeypatch):
    monkeypatch.delenv("KD_CIFAR10", raising=False)
    seen = []
    monkeypatch.setattr(data, "consume", lambda batches: seen.append(sum(1 for _ in batches)))
    case = data.pipeline(size, 0, images=4, batch=2)
    measured = measure(case, rounds=1, seconds=0.0, warmup=0)
    assert list(measured.values) == list(case.steps)
    assert set(seen) == {2}
    assert set(case.notes) < set(case.steps)


def test_training_with_and_without_loader_processes():
    case = data.training(32, images=4, batch=2)
    case.steps["0 workers"]()
    assert list(case.steps) == ["0 workers", "1 workers", "2 workers"]
    case.close()


def test_real_images_are_linked_evenly(tmp_path, monkeypatch):
    data.make_images(tmp_path / "cifar", 6, (32, 32))
    monkeypatch.setenv("KD_CIFAR10", str(tmp_path / "cifar"))
    data.link_images(tmp_path / "cifar" / "train", tmp_path / "few", 5)
    found = sorted(Path(file).parent.name for file in (tmp_path / "few").rglob("*.jpg"))
    assert found == ["a", "a", "b", "b", "b"]
    data.pipeline(32, 0, images=4, batch=2).close()
