"""What a page is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class ReportSection:
    """A part of the page."""

    id: str
    title: str
    text: str = ""
    figures: list[Markup] = field(default_factory=list)
