"""A run's progress in a notebook: one output that is updated. It needs no widgets, so it works in every notebook."""

from __future__ import annotations

import html
import sys
import time
from importlib import import_module
from typing import Any, Final

from kdcore.run.display import SilentDisplay, TimeLeft, describe
from kdcore.text import message, printable

_SECONDS: Final = 0.5  # between two drawings
_EPOCHS_SHOWN: Final = 5
_MOST_NOTES: Final = 8


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook; does not import IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookDisplay(SilentDisplay):
    """Notes, the last epochs, and a bar."""

    seconds_between_losses = 1.0

    def __init__(self) -> None:
        display: Any = import_module("IPython.display").display  # a kernel always has it
        self._notes: list[str] = []
        self._records: list[str] = []
        self._epochs = self._done = self._batches = self._batch = 0
        self._left = TimeLeft()
        self._rate = 0.0
        self._closed = True
        self._drawn = time.monotonic()
        self._handle: Any = display(self._content(), raw=True, display_id=True)

    def note(self, text: str) -> None:
        self._notes = [*self._notes, message(text)][-_MOST_NOTES:]
        self._draw()

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def begin(self, epochs: int, epoch: int) -> None:
        self._epochs, self._done, self._closed = epochs, epoch, False
        self._records = []
        self._left.begin(epochs, epoch)
        self._draw()

    def epoch(self, epoch: int, batches: int, done: int) -> None:
        self._batches, self._batch = batches, done

    def advance(self, images_per_second: float) -> None:
        self._batch, self._rate = self._batch + 1, images_per_second
        if time.monotonic() - self._drawn > _SECONDS:
            self._draw()

    def epoch_ended(self, record: dict[str, Any]) -> None:
        self._done, self._batch = record["epoch"], 0
        line = f"epoch {record['epoch']}/{self._epochs}  {describe(record, self.metric)}"
        self._records = [*self._records, printable(line)][-_EPOCHS_SHOWN:]
        self._draw()

    def close(self) -> None:
        self._closed = True
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._handle.update(self._content(), raw=True)

    def _content(self) -> dict[str, str]:
        lines = [*self._notes, *self._records]
        bar = ""
        if not self._closed:
            part = self._done + self._batch / max(self._batches, 1)
            left = self._left.after(self._done) if self._done else "?"
            text = f"{self._rate:,.0f} images/s, {left} left"
            lines.append(f"{100 * part / self._epochs:.0f} % of {self._epochs} epochs, {text}")
            bar = f'<progress value="{part:.3f}" max="{self._epochs}" style="width: 20em"></progress>'
        plain = "\n".join(lines) or "starting"
        shown = f'{bar}<pre style="margin: 0">{html.escape(plain)}</pre>'
        return {"text/plain": plain, "text/html": shown}
