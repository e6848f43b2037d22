"""`Check`: one rule for one subject, to be called; and what it says when the rule is broken."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeVar
from unittest import SkipTest

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins.importing import cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Kind = Literal["distiller", "adapter", "dataset", "plugin"]
SubjectT = TypeVar("SubjectT")
PAGE: Final = "docs/conformance.md"


class Violation(Exception):
    """A rule is broken; the message says what was seen."""


def skip(reason: str) -> NoReturn:
    """End a check that does not apply; pytest and unittest know the exception."""
    raise SkipTest(reason)


@dataclass(frozen=True, slots=True)
class Rule(Generic[SubjectT]):
    """What every subject of a kind has to keep, and the function that looks.

    Attributes:
        kind: of what it is a rule.
        id: its name, in test ids and in `expected_failures`.
        summary: the rule in one sentence.
        why: what goes wrong where it is broken.
        mend: what to do then.
        look: raises `Violation` where the rule is broken.
    """

    kind: Kind
    id: str
    summary: str
    why: str
    mend: str
    look: Callable[[SubjectT], None]

    @property
    def heading(self) -> str:
        """Its heading in the docs."""
        return self.id if self.kind == "distiller" else f"{self.id} ({self.kind})"

    @property
    def where(self) -> str:
        """Where it is written: page and anchor."""
        return f"{PAGE}#{self.heading.replace('(', '').replace(')', '').replace(' ', '-')}"


def rule(
    kind: Kind, *, summary: str, why: str, mend: str
) -> Callable[[Callable[[SubjectT], None]], Rule[SubjectT]]:
    """Make a rule of a function, whose name is the id."""

    def make(look: Callable[[SubjectT], None]) -> Rule[SubjectT]:
        return Rule(kind, look.__name__, summary, why, mend, look)

    return make


class Check:
    """A rule for one subject. Calling it does nothing where the rule is kept.

    Raises:
        ConformanceError: when called, and the rule is broken.
        unittest.SkipTest: when called, and the rule does not apply; the message says why.
    """

    def __init__(self, subject_name: str, rule: Rule[Any], subject: Any) -> None:
        self.subject_name = subject_name
        self._rule = rule
        self._subject = subject

    @property
    def id(self) -> str:
        """The rule's name."""
        return self._rule.id

    @property
    def summary(self) -> str:
        """The rule in one sentence."""
        return self._rule.summary

    @property
    def why(self) -> str:
        """What goes wrong where the rule is broken."""
        return self._rule.why

    @property
    def mend(self) -> str:
        """What to do then."""
        return self._rule.mend

    @property
    def where(self) -> str:
        """Where the rule is written."""
        return self._rule.where

    def __call__(self) -> None:
        """Look whether the rule is kept."""
        __tracebackhide__ = True  # pytest shows the message, not the kit
        try:
            with _one_thread() if self._rule.kind in ("distiller", "adapter") else nullcontext():
                self._rule.look(self._subject)
        except SkipTest as reason:
            raise SkipTest(f"{self}: {reason}") from None  # pytest's summary does not say which test it was
        except Violation as violation:
            raise ConformanceError([Failure(self, str(violation))]) from violation.__cause__
        except Exception as error:
            raise ConformanceError([Failure(self, f"it raised {cause(error)}")]) from error

    def __str__(self) -> str:
        return f"{self.subject_name}-{self.id}"

    def __repr__(self) -> str:
        return f"<Check {self}>"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from more, and lose a lot where several processes share the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed, and what was seen."""

    check: Check
    message: str

    def __str__(self) -> str:
        check = self.check
        mend = " ".join(check.mend.split())
        return (
            f"{check.subject_name} breaks the rule {check.id}: {self.message}\n"
            f"    the rule: {check.summary}\n"
            f"    to mend it: {mend}\n"
            f"    see {check.where}"
        )


class ConformanceError(AssertionError):
    """Rules are broken: which ones, what was seen, and where they are written.

    Attributes:
        failures: one for each check that failed.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__("\n\n".join(map(str, failures)))


def expected(check: Check, expected_failures: Mapping[str, str]) -> str | None:
    """The reason why a check is expected to fail, or None."""
    return expected_failures.get(str(check), expected_failures.get(check.id))


def check_expected(checks: Iterable[Check], expected_failures: Mapping[str, str]) -> None:
    """Refuse names that are no check's.

    Raises:
        UserError: with the nearest right name of each.
    """
    known = {name for check in checks for name in (check.id, str(check))}
    problems = [
        Problem(
            "expected_failures",
            "there is no check of this name",
            value=name,
            nearest=nearest(name, known),
            allowed=listed((check.id for check in checks), most=60),
        )
        for name in expected_failures
        if name not in known
    ]
    if problems:
        raise UserError(problems)


def run(checks: Sequence[Check], expected_failures: Mapping[str, str] | None) -> None:
    """Call all checks.

    Raises:
        ConformanceError: with every check that failed, and every one that was expected to fail and did not.
        UserError: `expected_failures` names a check that does not exist.
    """
    awaited = expected_failures or {}
    check_expected(checks, awaited)
    failures: list[Failure] = []
    for check in checks:
        reason = expected(check, awaited)
        try:
            check()
        except SkipTest:
            continue
        except ConformanceError as error:
            failures += error.failures if reason is None else ()
        else:
            if reason is not None:
                message = (
                    f"it is expected to fail ({reason}), and it passes: take it out of expected_failures"
                )
                failures.append(Failure(check, message))
    if failures:
        raise ConformanceError(failures)
