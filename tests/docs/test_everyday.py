"""What docs/everyday.md says holds on its own data."""

from __future__ import annotations

import csv
import importlib.util
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import kdcore

PAGE = "docs/everyday.md"


def module_of(file):
    found = importlib.util.spec_from_file_location("images_of_an_example", file)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


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
    module = module_of(folder / "images.py")
    with module.write(tmp_path).open(encoding="utf-8") as file:
        counts = Counter((row["split"], int(row["label"])) for row in csv.DictReader(file))
    assert [counts["train", label] for label in (0, 9)] == [100, 1]
    assert all(counts["test", label] == 40 for label in range(10))
    comparison = tomllib.loads((folder / "compare.toml").read_text(encoding="utf-8"))
    spec = json.loads((folder / "student.json").read_text(encoding="utf-8"))
    spec |= {"output": str(tmp_path / "runs"), "report": False}
    spec["student"] = {"model": "resnet10t", "options": {"channels": [4, 4, 8, 8]}}
    spec["data"] |= {
        "dataset": str(tmp_path / "digits.csv"),
        "image_size": 16,
        "eval_samples": 50,
        "workers": 0,
    }
    spec["train"] = {"epochs": 1, "batch_size": 50}
    changes = [
        f"{key}={value}" for variant in comparison["variants"][:2] for key, value in variant["set"].items()
    ]
    assert changes == ["data.sampling=balanced", "task.class_weights=balanced"]
    summary = kdcore.run(spec, overrides=changes, quiet=True).summary
    assert (summary["data"]["train_size"], summary["data"]["eval_size"]) == (250, 50)
    assert summary["student"]["macro_f1"] is not None


def test_few_labels(root, tmp_path):
    """The table of the example, and a run of it in small: images without a label teach the student."""
    folder = root / "examples" / "few-labels"
    module = module_of(folder / "images.py")
    with module.write(tmp_path).open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    known = Counter((row["split"], row["label"] != "") for row in table)
    assert known == {("train", True): 60, ("train", False): 1237, ("test", True): 500}
    assert all((row["weight"] == "1") == (row["label"] != "") for row in table)
    comparison = tomllib.loads((folder / "compare.toml").read_text(encoding="utf-8"))
    assert [variant["label"] for variant in comparison["variants"]] == [
        "labelled-alone",
        "labelled-kd",
        "all-kd",
    ]
    few = [row for row in table if row["split"] == "test"][::10]
    few += [row for row in table if row["split"] == "train" and row["label"]]
    few += [row for row in table if row["split"] == "train" and not row["label"]][:60]
    with (tmp_path / "digits.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", "split", "weight"])
        writer.writeheader()
        writer.writerows(few)
    spec = json.loads((folder / "student.json").read_text(encoding="utf-8"))
    small = {"model": "resnet10t", "small_input": True, "options": {"channels": [4, 4, 8, 8]}}
    spec |= {"output": str(tmp_path / "runs"), "report": False, "student": small, "teacher": small}
    spec["data"] |= {"dataset": str(tmp_path / "digits.csv"), "labelled_fraction": 0.25, "workers": 0}
    spec["train"] = {"epochs": 1, "batch_size": 40}
    data = kdcore.run(spec, quiet=True).summary["data"]
    assert (data["train_size"], data["eval_size"]) == (120, 50)


def test_pairs_of_digits_have_several_labels(root, tmp_path):
    pytest.importorskip("pyarrow", reason="the tables are Parquet")
    folder = root / "examples" / "label-pairs"
    found = importlib.util.spec_from_file_location("label_pairs", folder / "images.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.PAIRS, module.LABELLED = {"train": 40, "val": 20, "test": 20}, 20
    module.write(tmp_path)
    for name in ("teacher.json", "student.json"):
        (tmp_path / name).write_text((folder / name).read_text(encoding="utf-8"), encoding="utf-8")
    small = ["train.epochs=1", "train.batch_size=20", f"output={tmp_path / 'runs'}"]
    kdcore.run(tmp_path / "teacher.json", overrides=small, quiet=True)
    small += ["teacher.run=null", f"teacher.checkpoint={tmp_path / 'runs' / 'label-pairs-teacher'}"]
    summary = kdcore.run(tmp_path / "student.json", overrides=small, quiet=True).summary
    assert (summary["data"]["train_labelled"], summary["data"]["task"]) == (20, "labels")
    assert summary["test"]["student"]["map"] is not None
