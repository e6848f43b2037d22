"""What a constructor raises, as a message for the user."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.spec.problems import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_UNEXPECTED = re.compile(
    r"(?:([\w.]+)\.__init__|(\w+))\(\) got (?:an )?unexpected keyword argument(?:\(s\):)? \[?'(\w+)'"
)
_TWICE = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")


class explained:  # noqa: N801  # read as a statement: with explained(...)
    """A context in which what a constructor raises becomes a UserError at the option that is to blame."""

    def __init__(
        self, name: str, options: Mapping[str, Any], where: str, accepted: Callable[[str], Iterable[str]]
    ) -> None:
        self.name = name
        self.options = options
        self.where = where
        self.accepted = accepted

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Explain."""
        if error is None or isinstance(error, UserError) or not isinstance(error, Exception):
            return
        found = self._refused(error) if isinstance(error, ValidationError) else [self._problem(error)]
        raise UserError(found) from error

    def _refused(self, error: ValidationError) -> Iterator[Problem]:
        """What pydantic says of a constructor's arguments, each at its option."""
        items = {item["loc"]: item for item in error.errors(include_url=False)}
        for fault in faults(error, dict(self.options), {}):
            item = items.get(fault.path)
            if item is not None and item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                yield self._unknown(str(fault.path[0]), self._names(""))
            else:
                choices = None if item is None else item.get("ctx", {}).get("expected")
                place = f"{self.where}.options.{fault.problem.where}".rstrip(".")
                yield replace(fault.problem, where=place, allowed=choices)

    def _unknown(self, option: str, names: Iterable[str]) -> Problem:
        known = set(names)
        return Problem(
            f"{self.where}.options.{option}",
            f"{self.name} has no such option",
            value=self.options[option],
            nearest=nearest(option, known),
            allowed=listed(known, 40) if known else None,
        )

    def _problem(self, error: Exception) -> Problem:
        text = str(error)
        unexpected, twice = _UNEXPECTED.search(text), _TWICE.search(text)
        if isinstance(error, TypeError) and unexpected and unexpected[3] in self.options:
            refusing = (unexpected[1] or unexpected[2]).split(".")[-1]
            return self._unknown(unexpected[3], self._names(refusing))
        if isinstance(error, TypeError) and twice and twice[1] in self.options:
            option = twice[1]
            return Problem(
                f"{self.where}.options.{option}",
                f"{self.name} fixes this itself",
                value=self.options[option],
                hint="choose another variant of the architecture",
            )
        lines = text.strip().splitlines()
        cause = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        place = "options" if self.options else "model"
        return Problem(f"{self.where}.{place}", f"{self.name} cannot be built so: {cause}")

    def _names(self, refusing: str) -> Iterable[str]:
        try:
            return self.accepted(refusing)
        except (TypeError, ValueError):  # some signatures cannot be read
            return ()


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """Names of a function's or class's own parameters; those behind * and ** are not known."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters
    return [name for name, parameter in parameters.items() if parameter.kind not in kinds]
