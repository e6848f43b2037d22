"""Each part for accelerators in small, on the processor."""

from __future__ import annotations

import gc
import itertools
import json
from pathlib import Path

import pytest
import torch
from kd_feature import crd_loss

from benchmarks.gpu import comparison, correctness, crd, loader, marked, methods, steps
from benchmarks.gpu.parts import PARTS, Turn
from benchmarks.steps import gpu
from benchmarks.steps.workload import Workload

ROOT = Path(__file__).resolve().parents[2]
TINY = Workload("tiny", "test_resnet", "test_resnet", 32, 4, batches=2)


@pytest.fixture
def turn(tmp_path):
    return Turn(60.0, tmp_path, small=True)


def in_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_every_part_can_be_imported_and_the_first_is_correctness():
    modules = {"correctness": correctness, "steps": steps, "loader": loader, "crd": crd}
    modules |= {"methods": methods, "comparison": comparison}
    assert {part.name: part.module for part in PARTS} == {
        name: module.__name__ for name, module in modules.items()
    }
    assert PARTS[0].name == "correctness"


def test_a_step_of_every_contender(turn, monkeypatch):
    monkeypatch.setattr(gpu, "torchdistill_box", lambda *_, **__: None)
    name, measured = next(iter(steps.items(small=True).items()))
    assert name.endswith("bf16, channels_last, not compiled")
    found = in_json(measured(turn))
    case = found["case"]
    assert set(case["values"]) == {
        "bare loop",
        "student alone",
        "kd live",
        "kd cached",
        "timm LogitDistillationTask",
        "kd live, teacher not folded",
    }
    assert {len(values) for values in case["values"].values()} == {2}
    assert case["notes"] == {"torchdistill": gpu.NO_TORCHDISTILL}


def test_a_contender_that_fails_is_a_note_and_all_get_the_same_settings(monkeypatch):
    asked = {}

    def contender(name, result):
        def make(workload, *arguments, **settings):
            asked[name] = settings or arguments
            return result

        return make

    def fails():
        raise ValueError("no such | kernel\nmore")

    for name, step in (
        ("bare_loop", int),
        ("student_alone", int),
        ("timm_task", fails),
        ("torchdistill_box", int),
    ):
        monkeypatch.setattr(gpu, name, contender(name, step))
    monkeypatch.setattr(gpu, "_kd", lambda stack, workload, changes: asked.update({str(changes): 1}) or int)
    monkeypatch.setattr(gpu, "takes_whole_step", lambda: True)
    case = gpu.contenders(TINY, compiled=True)
    assert case.notes == {"timm LogitDistillationTask": "failed: ValueError: no such / kernel"}
    assert list(case.steps)[-2:] == ["kd live, whole step", "kd cached, whole step"]
    names = ("bare_loop", "student_alone", "timm_task", "torchdistill_box")
    assert [asked[name] for name in names] == [{"fast": True, "compiled": True}] * 4
    assert sum("'train__compile': 'step'" in name for name in asked) == 2
    assert all("bf16" in name for name in asked if name not in names)
    monkeypatch.setattr(gpu, "bare_loop", contender("bare_loop", fails))
    with pytest.raises(RuntimeError, match="bare loop"):
        gpu.contenders(TINY, compiled=False)


def test_cases_for_an_accelerator_start_with_what_compiles_nothing():
    names = list(gpu.cases())
    assert len(names) == 8
    assert [name.endswith("not compiled") for name in names] == [True, True, False, False] * 2
    assert "batch 128" in names[3]
    assert "batch 512" in names[4]


def test_the_loaders_images(turn):
    items = loader.items(small=True)
    assert list(items)[:2] == ["224 px, decoded, 0 workers", "224 px, decoded, 1 workers"]
    for name in ("224 px, decoded, 0 workers", "224 px, kept in memory, 0 workers"):
        assert in_json(items[name](turn))["images_per_second"] > 0


def test_both_ways_of_crd(turn):
    (measured,) = crd.items(small=True).values()
    found = [crd.Time(*one) for one in in_json(measured(turn))]
    assert [(one.rows, one.dim, one.samples, one.chosen) for one in found] == [(60, 8, 3, 21), (60, 8, 4, 11)]
    assert all(one.all_rows > 0 and one.chosen_rows > 0 and isinstance(one.takes_all, bool) for one in found)


TRUE = {"row": 0.02, "score": 0.1, "term": 0.003, "pick": 0.5, "chosen": 0.2, "fetch": 0.05}


def times(start=20_000.0):
    """What both ways would take with known constants."""
    for rows, dim, samples, chosen in itertools.product(crd.ROWS, crd.DIMS, crd.BATCHES, crd.CHOSEN):
        each = samples * chosen
        whole = (
            rows * (TRUE["row"] * dim + samples * (TRUE["score"] + TRUE["term"] * dim)) + each * TRUE["pick"]
        )
        part = each * (TRUE["chosen"] + TRUE["fetch"] * dim)
        shapes = ((samples, dim), (rows, dim), (samples, chosen))
        takes = crd_loss._score_all(*(torch.empty(shape, device="meta") for shape in shapes))
        yield crd.Time(rows, dim, samples, chosen, 1e-9 * (whole + start), 1e-9 * (part + start), takes)


def test_the_constants_are_found_again():
    found = crd.fitted(list(times()))
    assert {name: found[name] for name in TRUE} == pytest.approx(TRUE, rel=1e-6)
    assert found["start"] == pytest.approx(20_000)
    assert all(crd.slower(one, crd.choose(found, one)) <= 1 for one in times())
    costs = crd_loss._COSTS_ELSEWHERE._asdict()  # the formula is that of the code
    assert all(crd.choose(costs, one) == one.takes_all for one in times())


def test_no_constant_is_negative():
    noisy = [
        one._replace(all_rows=one.all_rows * factor)
        for one, factor in zip(times(), itertools.cycle([0.7, 1.4]))
    ]
    assert min(crd.fitted(noisy).values()) >= 0


class Row:
    def __init__(self, method, seed, error=None):
        self.method, self.seed, self.error, self.epochs = method, seed, error, 1
        self.top1, self.test_top1, self.images_per_second, self.wall_seconds = 50.0, 60.0 + seed, 100.0, 2.0


def test_the_comparison_adds_a_seed_each_time(turn, monkeypatch):
    asked = []
    script = {"write": lambda folder: (folder / "digits.csv").write_text("path,label")}
    monkeypatch.setattr(comparison.runpy, "run_path", lambda path: script)

    def compare(file, *, seeds, output, **more):
        asked.append((file, seeds, output))
        rows = [Row(method, seed) for method in ("alone", "kd") for seed in range(seeds)]
        return type("Result", (), {"runs": rows})

    monkeypatch.setattr("kd_compare.compare", compare, raising=False)
    monkeypatch.setattr(comparison, "missing", lambda: ["examples/cifar10/data"])
    names = list(comparison.items(small=False))
    assert names[:2] == ["digits, seed 0", "digits, seed 1"]
    found = in_json(comparison.items(small=False)["digits, seed 1"](turn))
    assert [(run["method"], run["top1"]) for run in found["runs"]][:2] == [("alone", 60.0), ("alone", 61.0)]
    assert found["missing"] == ["examples/cifar10/data"]
    file, seeds, output = asked[0]
    assert (seeds, output) == (2, turn.folder / "runs")
    # the examples are as they were, and the copy can be run
    assert file.parent == turn.folder / "few-labels"
    assert json.loads((file.parent / "student.json").read_text())["output"] == str(output)
    assert (file.parent / "digits.csv").exists()
    monkeypatch.setattr(
        "kd_compare.compare", lambda *_, **__: type("Result", (), {"runs": [Row("kd", 0, "no memory")]})
    )
    with pytest.raises(RuntimeError, match="kd, seed 0: no memory"):
        comparison.items(small=False)["digits, seed 0"](turn)


def test_on_cifar_if_everything_is_there(monkeypatch):
    monkeypatch.setattr(comparison, "missing", list)
    assert next(iter(comparison.items(small=False))) == "CIFAR-10, seed 0"


@pytest.fixture
def frozen():
    """The pytest inside of this one gives back what garbage collection was to leave out."""
    yield
    gc.freeze()


def test_marked_tests_are_items(turn, monkeypatch, frozen):
    monkeypatch.setenv("KD_TEST_ACCELERATOR", "cpu")
    found = marked.tests([ROOT / "tests" / "accelerator" / "test_hand_over.py"], small=True)
    passes, skips = found
    assert passes == (
        "tests/accelerator/test_hand_over.py::"
        "test_bytes_are_normalised_on_the_device_to_the_bits_of_the_processor"
    )
    assert found[passes](turn) == {"outcome": "passed"}
    if not torch.cuda.is_available():
        assert found[skips](turn)["why"].startswith("only CUDA copies")
    with pytest.raises(RuntimeError, match="test_no_such"):
        marked.one("tests/accelerator/test_hand_over.py::test_no_such", turn)
    with pytest.raises(RuntimeError, match="no marked test"):
        marked.tests([ROOT / "tests" / "ops" / "test_precision.py"], small=True)
