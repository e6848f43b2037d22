"""The table of README.md of what goes in and out: each format that it names is one that kd reads or writes."""

from __future__ import annotations

import re

import pytest

from kdcore import CommandEntry, ExporterEntry
from kdcore.plugins import get_plugins
from kdcore.spec.datasets import TABLES, TARS, ZIP
from kdcore.spec.timm_datasets import KINDS, SHARDS
from kdcore.task_kinds import TASKS


@pytest.fixture(scope="module")
def rows(root):
    """The cells of both tables by their first one."""
    text = (root / "README.md").read_text(encoding="utf-8")
    tables = text.partition("| in | |")[2].partition("\n\n| out | |")
    lines = [*tables[0].splitlines(), *tables[2].partition("\n\n")[0].splitlines()]
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("|") and "---" not in line]
    return {row[0]: re.sub(r"\]\([^)]*\)", "]", row[1]) for row in cells}


def named(text, title):
    """What is in brackets after a title."""
    return {one.strip() for one in re.search(rf"{title}\]? \(([^)]*)\)", text)[1].split(",")}


def test_every_source_of_images(rows):
    text = rows["images"]
    tables = {"CSV": ".csv", "JSON lines": ".jsonl", "Parquet": ".parquet"}
    assert named(text, "tables") == set(tables)
    assert set(tables.values()) | {".tsv"} == set(TABLES)
    shards = {"webdatasets": "wds", "Parquet": "parquet", "Arrow": "arrow"}
    assert named(text, "shards") == set(shards)
    assert set(shards.values()) == set(SHARDS)
    libraries = {"torchvision": ("torch",), "Hugging Face": ("hfds", "hfids"), "TensorFlow": ("tfds",)}
    assert named(text, "that timm opens") == set(libraries)
    assert {prefix for found in libraries.values() for prefix in found} | set(SHARDS) == set(KINDS)
    assert "[folders, tars and zips]" in text
    assert TARS[0] == ".tar"
    assert ZIP == ".zip"


def test_every_kind_of_labels(rows):
    for words in ("one class an image", "[several]", "[none]"):
        assert words in rows["labels"]
    assert len(TASKS) == 3


def test_every_export_and_command(rows):
    found = get_plugins().all(ExporterEntry)
    names = {item.entry.name for item in found if item.plugin.name == "kd-export"}
    words = {"openvino": "OpenVINO", "onnx": "ONNX", "torchscript": "TorchScript", "pt2": "exported programs"}
    words |= {"executorch": "ExecuTorch", "coreml": "Core ML"}
    assert {"timm", "torch", *words} == names
    words |= {"int8": "8 bits", "fp16": "half precision"}
    assert all(any(getattr(item.entry, form) for item in found) for form in ("int8", "fp16"))
    for word in words.values():
        assert word in rows["`kd export`"]
    commands = {item.entry.name for item in get_plugins().all(CommandEntry)}
    assert {row.strip("`").removeprefix("kd ") for row in rows if row.startswith("`kd ")} <= commands
