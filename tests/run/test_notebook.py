"""Progress in a notebook, with a stand-in for IPython."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from kdcore.run.choose_display import choose_display
from kdcore.run.notebook import NotebookDisplay, in_notebook

RECORD = {
    "loss": 1.0,
    "task_loss": 0.5,
    "terms": {"kd": 0.5},
    "train": {"top1": 50.0},
    "eval": {"top1": 60.0},
    "images_per_second": 100.0,
}


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, in a process that takes itself for a notebook's kernel."""
    contents = []
    handle = SimpleNamespace(update=lambda content, raw: contents.append(content))

    def display(content, raw, display_id):
        contents.append(content)
        return handle

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return contents


def test_a_kernel_is_known(drawn, monkeypatch):
    assert in_notebook()
    assert isinstance(choose_display(main_process=True), NotebookDisplay)
    assert not isinstance(choose_display(main_process=False), NotebookDisplay)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_progress_is_one_output_that_is_drawn_anew(drawn):
    shown = NotebookDisplay()
    shown.note("data <8>")
    shown.warn("careful")
    shown.begin(epochs=8, epoch=0)
    assert "<progress" in drawn[-1]["text/html"]
    for epoch in range(1, 9):
        shown.epoch(epoch - 1, batches=10, done=0)
        shown.advance(100.0)
        shown.epoch_ended({"epoch": epoch, **RECORD})
    shown.close()
    last = drawn[-1]
    assert "data &lt;8&gt;" in last["text/html"]
    assert "<progress" not in last["text/html"]
    lines = last["text/plain"].splitlines()
    assert lines[:2] == ["data <8>", "warning: careful"]
    assert [line.split()[1] for line in lines[2:]] == ["4/8", "5/8", "6/8", "7/8", "8/8"]
    assert "eval top1 60.00" in lines[-1]
