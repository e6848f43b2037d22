"""What docs/everyday.md says holds on its own data."""

from __future__ import annotations

import csv
import importlib.util
from collections import Counter
from pathlib import Path

import pytest

import kdcore
from kdcore.spec.load import load_spec

PAGE = "docs/everyday.md"


def test_fashion_mnist(blocks_of, tmp_path, monkeypatch):
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    code = next(block.text for block in blocks_of(PAGE) if "read_idx" in block.text)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(code.replace('write_images(Path("."))', 'write_images(Path("."), 60)'), PAGE, "exec"), names)
    spec = {
        "data": {"dataset": "fashion.csv", "image_size": 32, "channels": 1, "workers": 0},
        "student": {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 20},
    }
    data = kdcore.run(spec, quiet=True).summary["data"]
    assert (data["train_size"], data["eval_size"], data["num_classes"]) == (60, 60, 10)


def test_the_spreadsheet_reports_the_missing_file(blocks_of, page_folder, monkeypatch, capsys):
    folder = page_folder(PAGE)
    monkeypatch.chdir(folder)
    code = next(
        block.text for block in blocks_of(PAGE) if "Fotos.csv" in block.text and block.language == "python"
    )
    exec(compile(code, PAGE, "exec"), {})
    text = (folder / "fotos.json").read_text(encoding="utf-8")
    result = kdcore.run("fotos.json")
    assert (result.summary["data"]["train_size"], result.summary["data"]["eval_size"]) == (29, 12)
    assert "Bild 99.png" in capsys.readouterr().err
    (folder / "fotos.json").write_text(text.replace('"skip_broken": true,', ""), encoding="utf-8")
    with pytest.raises(kdcore.UserError, match=r"1 of 29 files.*Bild 99\.png"):
        kdcore.run("fotos.json", existing="fresh")


def test_the_rare_classes(root, tmp_path):
    folder = root / "examples" / "rare-classes"
    found = importlib.util.spec_from_file_location("rare_classes", folder / "images.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with module.write(tmp_path).open(encoding="utf-8") as file:
        counts = Counter((row["split"], int(row["label"])) for row in csv.DictReader(file))
    assert [counts["train", label] for label in (0, 9)] == [100, 1]
    assert all(counts["test", label] == 40 for label in range(10))
    text = (folder / "student.json").read_text(encoding="utf-8")
    (tmp_path / "student.json").write_text(text, encoding="utf-8")
    assert load_spec(tmp_path / "student.json").spec.data.channels == 1
