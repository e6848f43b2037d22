"""What making a report gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ReportResult:
    """What was made.

    Attributes:
        path: the page.
        figures: the figures as PNG and PDF, and their numbers.
        notes: what is missing from the page, and why.
    """

    path: Path
    figures: tuple[Path, ...]
    notes: tuple[str, ...]
