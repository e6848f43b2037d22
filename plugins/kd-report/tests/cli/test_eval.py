from __future__ import annotations

import json
from dataclasses import replace

import pytest
from kd_report import EvalResult, ModelScores, Speed

SPEED = Speed(8, 16.0, (12.0, 24.0), 2.0, 500.0, 2**20, 9)
STUDENT = ModelScores("resnet10t", 1_000, 2_500_000, 4_000, (16, 16), 90.0, 99.5, 0.25, 3.0, (SPEED,))
TEACHER = replace(STUDENT, name="resnet34", parameters=4_000, macs=10_000_000, top1=95.0)
RESULT = EvalResult(
    "runs/x",
    "last",
    "digits",
    "test",
    500,
    500,
    STUDENT,
    TEACHER,
    None,
    91.0,
    0.1,
    "a CPU, 1 thread",
    "fp32",
    ("beware",),
)


@pytest.fixture
def asked(monkeypatch):
    """What the command asks for; the answer is ready."""
    calls = []

    def answer(target, **more):
        calls.append((target, more))
        return RESULT if more["teacher"] is not False else replace(RESULT, teacher=None, agreement=None)

    monkeypatch.setattr("kd_report.eval.evaluate.evaluate", answer)
    return calls


def test_the_table(kd, asked):
    done = kd("eval", "runs/x")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert done.out.startswith("500 images of digits, split test; fp32\n")
    assert ["parameters", "1,000", "4,000", "0.25"] in lines
    assert ["top-1", "90.00", "%", "95.00", "%", "-5"] in lines
    assert ["agrees", "with", "the", "teacher", "91.00", "%"] in lines
    assert "multiply-adds (MACs)     2.5 M" in done.out
    assert "ms per image, of 8       2  (1.5 to 3)" in done.out
    assert "memory for 8 images      1.05 MB" in done.out
    assert "on a CPU, 1 thread; 1 MAC = 2 FLOPs" in done.out
    assert "beware" in done.err
    assert asked[0][1]["batch_sizes"] == (1, 8, 64)
    assert asked[0][1]["teacher"] is True


def test_alone_and_as_json(kd, asked):
    done = kd(
        "eval",
        "runs/x",
        "--no-teacher",
        "--batch-sizes",
        "0",
        "--option",
        "depth=2",
        "--option",
        "act=relu",
        "--json",
    )
    told = json.loads(done.out)
    assert told["teacher"] is None
    assert told["student"]["speed"][0]["quartiles"] == [12.0, 24.0]
    assert asked[0][1]["batch_sizes"] == ()
    assert asked[0][1]["options"] == {"depth": 2, "act": "relu"}
    kd("eval", "runs/x", "--top-k", "2,3", "--top-k", "7", "--table-option", "delimiter=;")
    assert asked[1][1]["top_k"] == (2, 3, 7)
    assert asked[1][1]["table_options"] == {"delimiter": ";"}
    assert "resnet34" not in kd("eval", "runs/x", "--no-teacher").out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--batch-sizes", "1,x"], "must be whole numbers"),
        (["--batch-sizes", "1,-2"], "at least one image"),
        (["--option", "depth"], "must be KEY=VALUE"),
        (["--table-option", "encoding"], "must be KEY=VALUE"),
        (["--top-k", "3,x"], "must be whole numbers"),
        (["--ema", "--best"], "exclude each other"),
        (["--teacher", "resnet34", "--no-teacher"], "cannot be used with --teacher"),
    ],
)
def test_wrong_flags(kd, asked, flags, text):
    done = kd("eval", "runs/x", *flags)
    assert done.code == 2
    assert text in done.err
    assert not asked
