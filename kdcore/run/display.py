"""How a run shows its progress: bars in a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from kdcore.rundir.summary import CLASS_MEASURES, LABEL_MEASURES, has_several_labels, headline, is_percent
from kdcore.terminal import raw
from kdcore.text import clock, message, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Display(Protocol):
    """Receives progress events of a run."""

    seconds_between_losses: float
    metric: str | None
    """`train.metric`: shown after each epoch."""

    def note(self, text: str) -> None:
        """Show information."""

    def warn(self, text: str) -> None:
        """Show a warning: something may be wrong."""

    def begin(self, epochs: int, epoch: int) -> None:
        """Training starts; `epoch` of `epochs` are complete."""

    def epoch(self, epoch: int, batches: int, done: int) -> None:
        """An epoch starts; `done` of its batches are already trained."""

    def advance(self, images_per_second: float) -> None:
        """A batch was trained."""

    def losses(self, means: dict[str, Any]) -> None:
        """The epoch's means so far."""

    def epoch_ended(self, record: dict[str, Any]) -> None:
        """An epoch was trained and evaluated."""

    def close(self) -> None:
        """Training is over."""


class SilentDisplay:
    """Shows nothing: for all processes except the main one, and for `quiet`."""

    seconds_between_losses = 10.0
    metric: str | None = None

    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def begin(self, epochs: int, epoch: int) -> None: ...
    def epoch(self, epoch: int, batches: int, done: int) -> None: ...
    def advance(self, images_per_second: float) -> None: ...
    def losses(self, means: dict[str, Any]) -> None: ...
    def epoch_ended(self, record: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class PlainDisplay(SilentDisplay):
    """One line per epoch, and one a minute in long epochs."""

    _minute = 60.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._epochs = 0
        self._left = TimeLeft()
        self._printed = time.monotonic()
        self._rate = 0.0
        self._batches = self._done = 0

    def note(self, text: str) -> None:
        self._show(text)
        self._printed = time.monotonic()

    def warn(self, text: str) -> None:
        self._show(f"warning: {text}")

    def _show(self, text: str) -> None:
        # a message that cannot be written (a closed pipe, a full disk) must not end the training
        with contextlib.suppress(OSError, ValueError):
            print(message(text), file=self._stream, flush=True)

    def begin(self, epochs: int, epoch: int) -> None:
        self._epochs = epochs
        self._left.begin(epochs, epoch)

    def epoch(self, epoch: int, batches: int, done: int) -> None:
        self._batches, self._done = batches, done

    def advance(self, images_per_second: float) -> None:
        self._rate = images_per_second
        self._done += 1

    def losses(self, means: dict[str, Any]) -> None:
        if time.monotonic() - self._printed > self._minute:
            self.note(f"  step {self._done}/{self._batches}  {_losses(means)}  {self._rate:,.0f} images/s")

    def epoch_ended(self, record: dict[str, Any]) -> None:
        left = self._left.after(record["epoch"])
        self.note(f"epoch {record['epoch']}/{self._epochs}  {describe(record, self.metric)}  {left} left")


class TerminalDisplay(SilentDisplay):
    """Bars for epochs and batches, with the current losses."""

    seconds_between_losses = 1.0

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=raw(sys.stderr))
        self._bars: RichProgress | None = None
        self._epochs: TaskID | None = None
        self._batches: TaskID | None = None
        self._rate = ""
        self._means = ""

    def note(self, text: str) -> None:
        self._show(text)

    def warn(self, text: str) -> None:
        self._show(f"warning: {text}", "yellow")

    def _show(self, text: str, style: str | None = None) -> None:
        self._console.print(message(text), style=style, highlight=False, markup=False, emoji=False)

    def begin(self, epochs: int, epoch: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description:<6}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            refresh_per_second=4,
        )
        # time left is computed from whole epochs: the time of a batch does not include evaluation
        self._epochs = self._bars.add_task("epochs", total=epochs, completed=epoch, text="")
        self._batches = self._bars.add_task("steps", total=None, text="")
        self._bars.start()

    def epoch(self, epoch: int, batches: int, done: int) -> None:
        if self._bars is not None and self._batches is not None:
            self._bars.reset(self._batches, total=batches, completed=done, text="")

    def advance(self, images_per_second: float) -> None:
        self._rate = f"{images_per_second:,.0f} images/s"
        if self._bars is not None and self._batches is not None:
            self._bars.update(self._batches, advance=1, text=printable(f"{self._rate}  {self._means}"))

    def losses(self, means: dict[str, Any]) -> None:
        self._means = _losses(means)

    def epoch_ended(self, record: dict[str, Any]) -> None:
        if self._bars is not None and self._epochs is not None:
            self._bars.update(self._epochs, completed=record["epoch"])
        self.note(f"epoch {record['epoch']}  {describe(record, self.metric)}")

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


class TimeLeft:
    """Estimates the time for the remaining epochs from the trained ones."""

    def begin(self, epochs: int, epoch: int) -> None:
        """Training starts; `epoch` of `epochs` are complete."""
        self._epochs, self._first, self._start = epochs, epoch, time.monotonic()

    def after(self, epoch: int) -> str:
        """Time left when `epoch` epochs are complete: hours, minutes and seconds."""
        taken = (time.monotonic() - self._start) / max(epoch - self._first, 1)
        return clock(taken * (self._epochs - epoch))


def describe(record: dict[str, Any], metric: str | None = None) -> str:
    """One line for an epoch's record; `metric`: a measure that is shown too, as `train.metric` in a spec."""
    hidden = {"top5", *CLASS_MEASURES, *LABEL_MEASURES, "map"} - {metric}
    parts = [_losses(record)]
    for name in ("train", "eval", "ema"):
        scores = record.get(name) or {}
        if has_several_labels(scores):
            hidden -= set(headline(scores))
        shown = [key for key in scores if key not in hidden and isinstance(scores[key], int | float)]
        parts += [f"{name} {key} {_score(key, scores[key])}" for key in shown]
    parts.append(f"{record['images_per_second']:,.0f} images/s")
    return "  ".join(parts)


def _score(name: str, value: float) -> str:
    """Percentages with two digits; metrics of plugins, whose size is not known, with four significant ones."""
    return f"{value:.2f}" if is_percent(name) else f"{value:.4g}"


def _losses(means: dict[str, Any]) -> str:
    named = [("loss", means["loss"]), ("task", means["task_loss"]), *means["terms"].items()]
    return " ".join(f"{name} {value:.4g}" for name, value in named if value is not None)
