"""`Check`: one rule for one subject, as a callable; its errors explain how the rule is broken."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeVar
from unittest import SkipTest

from kdcore import Problem, UserError
from kdcore.plugin import cause, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Kind = Literal[
    "distiller",
    "adapter",
    "dataset",
    "transform",
    "command",
    "recipe",
    "exporter",
    "metric",
    "report section",
    "launcher",
    "run hook",
    "plugin",
]
_ONE_THREAD: Final = ("distiller", "adapter", "transform", "exporter", "report section", "run hook")
SubjectT = TypeVar("SubjectT")
PAGE: Final = "docs/conformance.md"


class Violation(Exception):
    """A rule is broken; the message says what the check found."""


def skip(reason: str) -> NoReturn:
    """End a check that does not apply; pytest and unittest treat the exception as a skip."""
    raise SkipTest(reason)


@dataclass(frozen=True, slots=True)
class Rule(Generic[SubjectT]):
    """A rule for every subject of a kind, and the function that checks it.

    Attributes:
        kind: the kind of its subjects.
        id: its name in test ids and in `expected_failures`.
        summary: the rule in one sentence.
        why: the consequence of breaking it.
        fix: how to fix it.
        look: raises `Violation` if the rule is broken.
    """

    kind: Kind
    id: str
    summary: str
    why: str
    fix: str
    look: Callable[[SubjectT], None]

    @property
    def heading(self) -> str:
        """The rule's heading in the docs."""
        return self.id if self.kind == "distiller" else f"{self.id} ({self.kind})"

    @property
    def where(self) -> str:
        """The rule's page and anchor in the docs."""
        return f"{PAGE}#{self.heading.replace('(', '').replace(')', '').replace(' ', '-')}"


def rule(
    kind: Kind, *, summary: str, why: str, fix: str
) -> Callable[[Callable[[SubjectT], None]], Rule[SubjectT]]:
    """Make a rule of a function; its name becomes the id."""

    def make(look: Callable[[SubjectT], None]) -> Rule[SubjectT]:
        return Rule(kind, look.__name__, summary, why, fix, look)

    return make


class Check:
    """A rule for one subject. Calling it does nothing if the subject follows the rule.

    Raises:
        ConformanceError: on a call, if the rule is broken.
        unittest.SkipTest: on a call, if the rule does not apply; the message says why.
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
        """The consequence of breaking the rule."""
        return self._rule.why

    @property
    def fix(self) -> str:
        """How to fix it."""
        return self._rule.fix

    @property
    def where(self) -> str:
        """The rule's page and anchor in the docs."""
        return self._rule.where

    def __call__(self) -> None:
        """Check the rule."""
        __tracebackhide__ = True  # pytest shows the message, not the code of the kit
        try:
            with _one_thread() if self._rule.kind in _ONE_THREAD else nullcontext():
                self._rule.look(self._subject)
        except SkipTest as reason:
            raise SkipTest(f"{self}: {reason}") from None  # pytest's summary does not name the test
        except Violation as violation:
            raise ConformanceError([Failure(self, str(violation))]) from violation.__cause__
        except (Exception, SystemExit) as error:  # a plugin must not end the process that checks it
            raise ConformanceError([Failure(self, f"it raised {cause(error)}")]) from error

    def __str__(self) -> str:
        return f"{self.subject_name}-{self.id}"

    def __repr__(self) -> str:
        return f"<Check {self}>"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: tiny models gain nothing from more, and lose time if processes share the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed check, and what it found."""

    check: Check
    message: str

    def __str__(self) -> str:
        check = self.check
        fix = " ".join(check.fix.split())
        return (
            f"{check.subject_name} breaks the rule {check.id}: {self.message}\n"
            f"    the rule: {check.summary}\n"
            f"    to fix it: {fix}\n"
            f"    see {check.where}"
        )


class ConformanceError(AssertionError):
    """Broken rules: which ones, what the checks found, and where the rules are documented.

    Attributes:
        failures: one for each check that failed.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__("\n\n".join(map(str, failures)))


def expected(check: Check, expected_failures: Mapping[str, str]) -> str | None:
    """The reason why a check is expected to fail, or None if it is not."""
    return expected_failures.get(str(check), expected_failures.get(check.id))


def check_expected(checks: Iterable[Check], expected_failures: Mapping[str, str]) -> None:
    """Refuse names of checks that do not exist.

    Raises:
        UserError: with the most similar check for each name.
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
        ConformanceError: lists every check that failed, and every one that was expected to fail but passed.
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
                message = f"it is expected to fail ({reason}), but passes: remove it from expected_failures"
                failures.append(Failure(check, message))
    if failures:
        raise ConformanceError(failures)
