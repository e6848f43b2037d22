"""The live table of a comparison, in terminals of any size."""

from __future__ import annotations

import io

import pytest
from kd_compare.display import Cell, drawn
from rich.console import Console


def shown(board, most=None, width=60):
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn(board, most))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_row_for_each_method():
    board = {
        "vanilla": [Cell("finished", 4, 4, 50.0), Cell("running", 1, 4, 40.0)],
        "kd-feature/fitnet": [Cell("waiting", 0, 4), Cell("failed", 2, 4)],
    }
    lines = shown(board)
    assert lines[0].split() == ["method", "runs", "epochs", "now", "at"]
    assert lines[1].split() == ["vanilla", "✓", "▸", "5/8", "45.00", "%"]
    assert lines[2].split() == ["kd-feature/fitnet", "·", "✗", "2/8"]


@pytest.mark.parametrize("most", [4, 8])
def test_more_methods_than_lines(most):
    states = [
        "finished",
        "dropped",
        "waiting",
        "waiting",
        "finished",
        "failed",
        "waiting",
        "running",
        "waiting",
    ]
    board = {f"m{number}": [Cell(status, 0, 4)] for number, status in enumerate(states)}
    lines = shown(board, most)
    assert len(lines) == most + 1
    names = [line.split()[0] for line in lines[1:-1]]
    assert {"m5", "m7"} <= set(names)
    assert names == sorted(names)
    hidden = len(board) - len(names)
    assert lines[-1].split() == ["and", str(hidden), "more", "3" if hidden > 3 else str(hidden), "ended"]
    assert len(shown(board, len(board))) == len(board) + 1  # they fit
