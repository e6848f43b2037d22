"""The checks of report sections."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.tiny_run import contents, difference, tiny_run
from kdcore import OpenedRun, ReportSection, SectionEntry, open_run
from kdcore.plugin import cause

if TYPE_CHECKING:
    from kd_dev.testing.check import Rule

# what the page's content security policy blocks, or what reads from elsewhere
_FOREIGN: Final = re.compile(
    r"<script|<iframe|<link\b|javascript:|@import\b"
    r"|\bon\w+\s*=\s*[\"']|<[^<>]*[\s\"'/]on\w+\s*="
    r"|(?:src|href|(?<![\w-])(?:data|srcset|poster))\s*=\s*[\"']?(?!data:|#)[\w./:]"
    r"|url\(\s*(?:[\"']|&quot;|&#39;)?(?!data:|#)[\w./:]",
    re.I,
)
_SHOWN: Final = 60  # characters of what was found, which may begin with a long data: URI


class SectionSubject(DeclaredSubject[SectionEntry]):
    """A section, and a finished tiny run."""

    def run(self) -> OpenedRun:
        """The run, opened again."""
        return open_run(tiny_run())

    @cached_property
    def made(self) -> Any:
        """What it returns for the run, or what it raised."""
        try:
            return self.target(self.run())
        except Exception as error:
            return error

    def section(self) -> ReportSection:
        """The section.

        Raises:
            unittest.SkipTest: the check `section` fails, or it has nothing to say about the run.
        """
        _ = self.target
        if self.made is None:
            skip("it has no section for the run")
        if not isinstance(self.made, ReportSection):
            skip("it does not return a section: see the check 'returns_a_section'")
        return self.made


@rule(
    "report section",
    summary="The declared target can be loaded, and called with `(run)`.",
    why="Until a report is made, kd knows only the declaration.",
    fix="Correct `target` in the `SectionEntry`, or the signature of the function.",
)
def declaration(subject: SectionSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "report section",
    summary="For a finished run of one epoch, without a teacher, it returns a ReportSection or None.",
    why="A report is made of every run: with one epoch, without a teacher, with a method that you do not know.",
    fix="Return None if the run does not have what the section is about. The message has the error.",
)
def returns_a_section(subject: SectionSubject) -> None:
    _ = subject.target  # another check reports what is wrong with it
    if isinstance(subject.made, Exception):
        raise Violation(f"it raised {cause(subject.made)}") from subject.made
    if subject.made is not None and not isinstance(subject.made, ReportSection):
        raise Violation(f"it returned {type(subject.made).__name__}, not kdcore.ReportSection or None")


def foreign(figure: str) -> str | None:
    """The part of a figure that loads something from elsewhere or runs a script, if it has one."""
    found = _FOREIGN.search(figure)
    return found and figure[max(found.start(), found.end() - _SHOWN) : found.end() + 20]


@rule(
    "report section",
    summary="Its figures load nothing from elsewhere and run no scripts.",
    why="A report is one file that can be opened anywhere, without a network.",
    fix="Draw inline SVG, or put an image into a `data:` URI. Escape the names that you did not write.",
)
def self_contained(subject: SectionSubject) -> None:
    for number, figure in enumerate(subject.section().figures):
        if found := foreign(figure):
            raise Violation(f"figure {number} has {found!r}")


@rule(
    "report section",
    summary="It does not change the run directory.",
    why="Reports are made of finished runs, also of those that another user wrote.",
    fix="Return everything in the section, and write no file.",
)
def run_unchanged(subject: SectionSubject) -> None:
    subject.section()
    place = tiny_run()
    before = contents(place)
    subject.target(open_run(place))
    changed = difference(before, contents(place))
    if changed:
        raise Violation(f"it changed {changed[0]} in the run directory")


@rule(
    "report section",
    summary="Called again for the same run, it returns an equal section.",
    why="A report that is made again is the same file.",
    fix="Sort what has no order, use no clock, and draw random numbers from a generator with a fixed seed.",
)
def deterministic(subject: SectionSubject) -> None:
    first = subject.section()
    if subject.target(subject.run()) != first:
        raise Violation("the second section differs from the first")


RULES: Final[tuple[Rule[SectionSubject], ...]] = (
    declaration,
    returns_a_section,
    self_contained,
    run_unchanged,
    deterministic,
)
