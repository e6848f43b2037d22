"""Constraints: what a student must keep, such as a number of parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, UserError
from kdcore.plugin import flat, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE: Final = "--constraint"
_FORM: Final = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A limit of a number in a run's `summary.json`, named by its place.

    Attributes:
        path: the place, such as `student.parameters`.
        most: whether the limit is the most that is allowed, or the least.
        limit: the limit, which is allowed.
    """

    path: str
    most: bool
    limit: float

    def violation(self, summary: Mapping[str, Any]) -> float:
        """How far a run is beyond the limit; 0 or less: it is within.

        Raises:
            UserError: the summary does not have the number.
        """
        numbers = {
            path: value
            for path, value in flat(summary).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        if self.path not in numbers:
            hint = nearest(self.path, numbers)
            raise UserError(
                Problem(WHERE, "summary.json has no such number", self.path, ", ".join(sorted(numbers)), hint)
            )
        over = numbers[self.path] - self.limit
        return float(over if self.most else -over)

    def __str__(self) -> str:
        return f"{self.path}{'<=' if self.most else '>='}{self.limit:g}"


def parse_constraint(text: str) -> Constraint:
    """A constraint from `path<=limit` or `path>=limit`.

    Raises:
        UserError: it has another form.
    """
    found = _FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return Constraint(found[1], found[2] == "<=", float(found[3]))
    except ValueError:
        allowed = (
            "PATH<=NUMBER or PATH>=NUMBER, with a place in summary.json, such as student.parameters<=1e6"
        )
        raise UserError(Problem(WHERE, "this is not a constraint", text, allowed)) from None
