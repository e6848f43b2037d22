"""Which display a run uses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kdcore.run.display import PlainDisplay, SilentDisplay, TerminalDisplay
from kdcore.run.notebook import NotebookDisplay, in_notebook

if TYPE_CHECKING:
    from kdcore.run.display import Display


def choose_display(main_process: bool) -> Display:
    """Bars in a terminal, one output in a notebook, lines elsewhere; only the main process shows anything."""
    if not main_process:
        return SilentDisplay()
    if in_notebook():
        return NotebookDisplay()
    if sys.stderr is None:  # the caller closed it
        return SilentDisplay()
    return TerminalDisplay() if sys.stderr.isatty() else PlainDisplay()
