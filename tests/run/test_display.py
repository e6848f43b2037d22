from __future__ import annotations

import io
from typing import Any

import pytest

from kdcore.run.display import PlainDisplay, TerminalDisplay, TimeLeft, describe

RECORD: dict[str, Any] = {
    "epoch": 2,
    "lr": 0.1,
    "loss": 1.5,
    "task_loss": 0.25,
    "terms": {"kd": 1.25},
    "train": {"top1": 50.0, "top5": 90.0},
    "eval": {"top1": 61.125, "top5": 95.0, "agreement": 70.0},
    "images_per_second": 1234.5,
}


def test_an_epoch_in_one_line():
    line = describe({**RECORD, "ema": {"top1": 62.0}})
    expected = (
        "loss 1.5 task 0.25 kd 1.25  train top1 50.00  eval top1 61.12  eval agreement 70.00  ema top1 62.00"
        "  1,234 images/s"
    )
    assert line == expected


def test_unlabelled_images_have_no_accuracy():
    line = describe({**RECORD, "train": {"top1": None, "top5": None}, "eval": {"agreement": 70.0}})
    assert "top1" not in line
    assert "eval agreement 70.00" in line


def test_plain_lines_for_files_and_pipes():
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.begin(4, 1)
    display.epoch(1, 10, 0)
    display.advance(100.0)
    display.losses(RECORD)
    display.warn("careful")
    display.epoch_ended(RECORD)
    display.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "warning: careful"
    assert lines[1].startswith("epoch 2/4  loss 1.5")
    assert len(lines) == 2


def test_a_long_epoch_shows_its_losses_once_a_minute(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("kdcore.run.display.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.epoch(0, 10, 3)
    display.advance(100.0)
    for seconds in (59.0, 2.0, 59.0):  # only the second is more than a minute after the line before
        now[0] += seconds
        display.losses(RECORD)
    assert stream.getvalue() == "  step 4/10  loss 1.5 task 0.25 kd 1.25  100 images/s\n"


def test_time_left_follows_from_whole_epochs(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("kdcore.run.display.time.monotonic", lambda: now[0])
    left = TimeLeft()
    left.begin(10, 4)
    now[0] += 2 * 1800
    assert left.after(6) == "2:00:00"


def test_bars_are_drawn_on_stderr(capfd: pytest.CaptureFixture[str]):
    display = TerminalDisplay()
    display.begin(4, 1)
    display.epoch(1, 10, 0)
    display.losses(RECORD)
    display.advance(100.0)
    display.note("[not markup]")
    display.epoch_ended(RECORD)
    display.close()
    display.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert "[not markup]" in err
    assert "epochs" in err
