"""A run that goes on without broken images: the same weights however it is done, and a count that is right."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from kdcore import Interrupted, RunFailed, run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes; of 24 training images 2 are broken, of 8 evaluation images 1."""
    root = tmp_path / "images"
    for split, count in (("train", 12), ("test", 4)):
        for label in range(2):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (16, 16), (200 * label + number, 10 * number, 0)).save(
                    folder / f"{number:02}.png"
                )
    (root / "train" / "class0" / "03.png").write_bytes(b"no image")
    (root / "train" / "class1" / "05.png").write_bytes(b"")
    (root / "test" / "class1" / "02.png").write_bytes(b"no image")
    return root


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "student" / "model.safetensors")


def test_a_run_goes_on_and_counts_each_once(
    spec_file, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    import kdcore.run.loop as loop

    data = {"dataset": str(images), "train_samples": None, "eval_samples": None, "skip_broken": True}
    changes = {"data": data, "train": {"epochs": 2, "batch_size": 6}}
    whole = run(spec_file("whole", **changes))
    shown = capsys.readouterr().err
    assert whole.summary["skipped"] == {"train": 2, "eval": 1}
    assert shown.count("2 training images cannot be read and are skipped") == 1
    assert shown.count("1 evaluation image cannot be read") == 1
    assert "class0/03.png" in shown
    assert whole.summary["student"]["top1"] * 7 / 100 == pytest.approx(
        round(whole.summary["student"]["top1"] * 7 / 100)
    )

    update, steps = loop.Training.take_step, []

    def stopping(self: Any) -> None:
        update(self)
        steps.append(1)
        if len(steps) == 6:
            self.context.stop.signal = signal.SIGTERM

    path = spec_file("stopped", **{**changes, "data": {**data, "workers": 1}})
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "take_step", stopping)
        with pytest.raises(Interrupted):
            run(path, quiet=True)
    resumed = run(path)
    assert resumed.summary["skipped"] == {"train": 2, "eval": 1}
    assert "skipped" not in capsys.readouterr().err  # told before
    one, other = _weights(whole.directory), _weights(resumed.directory)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_unasked_it_ends_and_names_the_file(spec_file, images: Path):
    with pytest.raises(RunFailed, match=r"cannot be read: .*\.png"):
        run(spec_file(data={"dataset": str(images), "train_samples": None, "eval_samples": None}), quiet=True)


def test_with_all_gone(spec_file, images: Path):
    path = spec_file(
        data={"dataset": str(images), "train_samples": None, "eval_samples": None, "skip_broken": True}
    )
    for file in (images / "train").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(RunFailed, match="none of the 24 images can be read"):
        run(path, quiet=True)
    shutil.rmtree(images)
