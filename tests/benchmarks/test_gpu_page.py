"""The page for accelerators is filled from what the parts found; what they did not find stays."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page
from benchmarks.gpu.crd import Time

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results" / "gpu.md"
NOTHING = "Not measured yet."
CASE = {
    "name": "resnet50 -> resnet18, 224 px",
    "base": "bare loop",
    "values": {"bare loop": [0.1, 0.1], "kd live": [0.1, 0.1], "kd cached": [0.05, 0.05]},
    "cpu": {},
    "images": 100,
    "notes": {"torchdistill": "failed: ValueError: a kernel"},
    "unit": "ms",
    "differences": False,
}
TRACE = "Traceback\n  file\nE   ValueError: a | b\n\ntests/x.py:1: ValueError"


def done(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    items = {name: {"value": value, "seconds": 1.0} for name, value in values.items()}
    return {"status": "done", "seconds": 65.0, "planned": list(values), "items": {**items, **more}}


def run_of(method: str, seed: int, top1: float) -> dict[str, Any]:
    return {
        "method": method,
        "seed": seed,
        "top1": top1,
        "images_per_second": 900.0,
        "seconds": 9.0,
        "epochs": 4,
    }


@pytest.fixture
def results() -> dict[str, Any]:
    tests = {
        "tests/a/test_a.py::one": {"outcome": "passed"},
        "tests/a/test_a.py::two": {"outcome": "skipped", "why": "no"},
    }
    failed = {"tests/a/test_a.py::three": {"error": TRACE, "seconds": 2.0}}
    loaded = {
        f"{count} w": {"workers": count, "kept": False, "images_per_second": 400.0 * count}
        for count in (1, 4)
    }
    loaded["kept"] = {"workers": 0, "kept": True, "images_per_second": 9000.0}
    rows = [Time(rows, 64, 64, 1025, rows * 1e-9, 3e-5, False) for rows in (1000, 50_000, 90_000)]
    seeds = {
        f"digits, seed {seed}": {
            "runs": [
                run_of(method, one, top1 + one)
                for method, top1 in (("alone", 40.0), ("kd", 60.0))
                for one in range(seed + 1)
            ],
            "missing": ["kd-cifar-models"],
        }
        for seed in range(2)
    }
    cut = {"later": {"error": "its time was over\n", "cut": True}}
    return {
        "command": ["python", "-m", "benchmarks", "gpu", "--minutes", "10"],
        "small": False,
        "seconds": 590.0,
        "environment": {
            "python": "3.11",
            "packages": {"torch": "2.15", "torchvision": "0.29", "timm": "1.0"},
            "device": {"type": "cuda", "name": "A card", "cuda": "13"},
            "cpus": 16,
        },
        "parts": {
            "correctness": {**done(tests, **failed), "status": "failed"},
            "steps": {
                **done({"pair": {"case": CASE, "peak_mib": {"kd live": 1234.5}}}, **cut),
                "status": "cut",
            },
            "loader": done(loaded),
            "crd": done({"N": [list(one) for one in rows]}),
            "comparison": done(seeds),
        },
    }


def table(text: str, name: str) -> str:
    found = re.search(rf"<!-- measured: {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_part_fills_its_table(results):
    text = page.fill(PAGE.read_text(encoding="utf-8"), results)
    assert "cuda (A card), 16 CPUs; Python 3.11" in table(text, "environment")
    parts = table(text, "gpu/parts")
    assert "| correctness: the tests that are marked for accelerators | failed | 2 of 2 | 65 |" in parts
    assert "| methods: every distiller trains two short epochs | not begun |  |  |" in parts
    tests = table(text, "gpu/correctness")
    assert "1 passed, 1 skipped, 1 failed." in tests
    assert "- `test_a.py::two`: skipped: no" in tests
    assert "- failed: `test_a.py::three`: ValueError: a / b" in tests
    steps = table(text, "gpu/steps")
    assert "| kd cached | 50 | 2,000 | 0.500 | 0.500 to 0.500 |" in steps
    assert "| torchdistill | failed: ValueError: a kernel |" in steps
    assert "kd live 1,234 MiB" in steps
    assert "- cut by time: `later`: its time was over" in steps
    loader = table(text, "gpu/loader")
    assert "| kd live: resnet50 -> resnet18, 224 px | 1,000 | 3 | 4 are enough |" in loader
    assert "| kd cached: resnet50 -> resnet18, 224 px | 2,000 | 5 | 4 give 80% |" in loader
    crd = table(text, "gpu/crd")
    assert "| those in the code | 2 of 3 | 30.00 times |" in crd
    assert "Fitted: `Costs(" in crd
    compared = table(text, "gpu/comparison")
    assert "On digits. For CIFAR-10, this was missing: kd-cifar-models." in compared
    assert "| kd | 2 | 60.50 ± 0.71 | 900 | 9 |" in compared
    assert table(text, "gpu/methods").strip() == NOTHING
    assert page.fill(text, results) == text


def test_a_part_of_which_only_errors_are_known_lists_them(results):
    results["parts"] = {"crd": {"status": "failed", "seconds": 1.0, "items": {"N": {"error": TRACE}}}}
    text = page.fill(PAGE.read_text(encoding="utf-8"), results)
    assert table(text, "gpu/crd").strip() == "- failed: `N`: ValueError: a / b"
    results["parts"] = {
        "crd": {"status": "failed", "seconds": 1.0, "items": {}, "error": "ended\nImportError: x"}
    }
    text = page.fill(PAGE.read_text(encoding="utf-8"), results)
    assert "| failed: ImportError: x | 0 of ? | 1 |" in table(text, "gpu/parts")
    assert table(text, "gpu/crd").strip() == NOTHING


def test_small_results_fill_no_page(results, tmp_path, monkeypatch, capsys):
    file, copy = tmp_path / "out.json", tmp_path / "page.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    file.write_text(json.dumps({**results, "small": True}))
    monkeypatch.setattr(sys, "argv", ["page", str(file), str(copy)])
    assert page.main() == 2
    assert "--small" in capsys.readouterr().err
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    file.write_text(json.dumps(results))
    assert page.main() == 0
    assert "A card" in copy.read_text(encoding="utf-8")


def test_the_page_says_that_nothing_was_measured_as_long_as_that_is_so():
    text = PAGE.read_text(encoding="utf-8")
    assert ("Nothing on this page was measured yet" in text) == (
        table(text, "environment").strip() == NOTHING
    )
