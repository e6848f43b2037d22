"""What a comparison shows while it runs, on stderr: a table on a terminal, otherwise plain lines."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from kdcore.plugin import clock, message, printable, raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.live import Live

    from kd_compare.result import Status

SIGNS: Final[dict[Status, str]] = {
    "waiting": "·",
    "running": "▸",
    "paused": "‖",
    "finished": "✓",
    "failed": "✗",
    "dropped": "-",
}
_ENDED: Final[frozenset[Status]] = frozenset(("finished", "dropped", "failed"))
_PERIOD: Final = 60.0  # seconds between two lines of progress


@dataclass
class Cell:
    """A run as the table shows it."""

    status: Status = "waiting"
    epoch: int = 0
    epochs: int = 0
    score: float | None = None


Board = dict[str, list[Cell]]
"""By method, its runs."""


class ComparisonDisplay(Protocol):
    """Receives the progress of a comparison."""

    def note(self, text: str) -> None:
        """Show a line."""

    def update(self, board: Board) -> None:
        """Show the current state; called several times a second."""

    def close(self) -> None:
        """Stop."""


class Silent:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def update(self, board: Board) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line for each event, and once a minute a line with the progress of all runs."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def note(self, text: str) -> None:
        """Print it."""
        with contextlib.suppress(OSError, ValueError):  # the stream may be closed
            print(message(text), file=sys.stderr, flush=True)

    def update(self, board: Board) -> None:
        """Print the progress of the runs, once a minute."""
        now = time.monotonic()
        if now - self._told < _PERIOD:
            return
        self._told = now
        cells = [cell for row in board.values() for cell in row]
        done, whole = sum(cell.epoch for cell in cells), sum(cell.epochs for cell in cells)
        ended = sum(cell.status in _ENDED for cell in cells)
        spent = clock(now - self._started)
        self.note(f"  {ended} of {len(cells)} runs, {done:,} of {whole:,} epochs, {spent}")

    def close(self) -> None:
        """Nothing is left to do."""


class LiveTable:
    """A table of methods and seeds that is drawn again and again."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=raw(sys.stderr))
        self._live: Live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def note(self, text: str) -> None:
        """Print it above the table."""
        self._console.print(message(text), highlight=False, markup=False, emoji=False)

    def update(self, board: Board) -> None:
        """Draw the table."""
        self._live.update(drawn(board, self._console.height - 3))

    def close(self) -> None:
        """Remove the table; the result follows."""
        self._live.stop()


def drawn(board: Board, most: int | None = None) -> RenderableType:
    """The table of a board, with at most `most` methods: running and failed ones first."""
    from rich.table import Table
    from rich.text import Text

    shown = board if most is None or len(board) <= most else _chosen(board, max(most - 1, 1))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("method", "left"), ("runs", "left"), ("epochs", "right"), ("now at", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # literals of rich
    for label, row in shown.items():
        scores = [cell.score for cell in row if cell.score is not None]
        epochs = f"{sum(cell.epoch for cell in row)}/{sum(cell.epochs for cell in row)}"
        score = f"{sum(scores) / len(scores):.2f} %" if scores else ""
        table.add_row(
            Text(printable(label)),
            " ".join(SIGNS[cell.status] for cell in row),
            epochs,
            score,
            style=_style(row),
        )
    hidden = [row for label, row in board.items() if label not in shown]
    if hidden:
        ended = sum(all(cell.status in _ENDED for cell in row) for row in hidden)
        table.add_row(f"and {len(hidden)} more", f"{ended} ended", style="dim")
    return table


def _chosen(board: Board, most: int) -> Board:
    def rank(label: str) -> int:
        states = {cell.status for cell in board[label]}
        return 0 if "running" in states else 1 if "failed" in states else 2 if not states <= _ENDED else 3

    chosen = sorted(board, key=rank)[:most]  # sorted is stable
    return {label: row for label, row in board.items() if label in chosen}


def _style(row: Sequence[Cell]) -> str:
    states = {cell.status for cell in row}
    if "failed" in states:
        return "red"
    if states == {"finished"}:
        return "green"
    return "" if "running" in states else "dim"


def choose_comparison_display(quiet: bool) -> ComparisonDisplay:
    """A live table if stderr is a terminal, otherwise lines."""
    if quiet or sys.stderr is None:  # None: the caller closed it
        return Silent()
    return LiveTable() if sys.stderr.isatty() else Lines()
