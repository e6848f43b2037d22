"""A section of a run's report, as a plugin makes it. Importing this module needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SECTION_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A section of a run's report, as a plugin makes it.

    Attributes:
        id: the section's place in the page, in lower-case words with "-" between them: a link to it ends in `#id`.
        title: its heading.
        text: a paragraph before the figures.
        figures: HTML of each figure. It goes into the page as it is, so escape in it everything that you did not write,
            such as the names of classes. `id`, `title` and `text` are plain text: the page escapes them. The page runs
            no scripts and loads nothing: an image is inline SVG or a `data:` URI.

    Raises:
        ValueError: a field has another type, or the form of `id` is wrong.
    """

    id: str
    title: str
    text: str = ""
    figures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "title", "text"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"ReportSection: {name} must be text, not {getattr(self, name)!r}")
        if not _SECTION_ID.fullmatch(self.id):
            raise ValueError(
                f"ReportSection: id is {self.id!r}; it must be lower-case letters and digits, in words with '-' "
                "between them"
            )
        if not self.title.strip():
            raise ValueError(f"ReportSection {self.id!r}: title must not be empty")
        given: object = self.figures
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ValueError(
                f"ReportSection {self.id!r}: figures must be a sequence of HTML texts, not {given!r}"
            )
        figures = tuple(given)
        wrong = next((figure for figure in figures if not isinstance(figure, str)), None)
        if wrong is not None:
            raise ValueError(
                f"ReportSection {self.id!r}: figures must be HTML texts, not {type(wrong).__name__}"
            )
        object.__setattr__(self, "figures", figures)
