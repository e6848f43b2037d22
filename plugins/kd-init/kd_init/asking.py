"""A spec for a pair of models, from Python; arguments that are not given get the suggested values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kd_init.files import write_specs
from kd_init.interview import Interview
from kd_init.suggest import SMALL
from kdcore import Problem, UserError
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kd_init.files import InitResult
    from kd_init.interview import Ask
    from kd_init.suggest import Suggestion

_ONLY_FOR: Final = {
    "teacher_model": "a teacher's file of weights",
    "teacher_weights": "a teacher that is a model or a file of weights",
    "small_input": f"images of at most {SMALL} px and models that have a variant for them",
}


def init(
    file: str | Path = "spec.toml",
    *,
    dataset: str | Path | None = None,
    student: str | None = None,
    teacher: str | Path | None = None,
    teacher_weights: str | None = None,
    teacher_model: str | None = None,
    distiller: str | None = None,
    recipe: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    small_input: bool | None = None,
    epochs: int | None = None,
    models: bool = True,
) -> InitResult:
    """Write a spec for a teacher and a student, and one that trains the teacher, as `kd init --yes` does.

    An argument that is None gets the suggested value; `teacher="none"` and `recipe="none"` leave them out. Paths are
    relative to the current folder. `models=False` checks the spec alone, without finding the data and building models.

    Raises:
        UserError: an argument is wrong, or a file already exists; then nothing is written.
    """
    if epochs is not None and epochs < 1:
        raise UserError(Problem("epochs", "not a number of epochs", epochs, "whole numbers from 1"))
    given = {
        "dataset": dataset,
        "student": student,
        "teacher": teacher,
        "teacher_weights": teacher_weights,
        "teacher_model": teacher_model,
        "distiller": distiller,
        "recipe": recipe,
        "image_size": "x".join(map(str, image_size)) if isinstance(image_size, tuple | list) else image_size,
        "small_input": None if small_input is None else ("yes" if small_input else "no"),
    }
    answers = {name: str(value) for name, value in given.items() if value is not None}
    return init_asking(file, _asker(answers), epochs, models=models, given=answers)


def init_asking(
    file: str | Path, ask: Ask, epochs: int | None, *, models: bool, given: Mapping[str, str | None]
) -> InitResult:
    """Write a spec as `init` does, with the answers of `ask`; `given` are those that nobody has to be asked for."""
    file = Path(file)
    recorded = _Recorded(ask, given)
    interview = Interview(file.absolute().parent, get_plugins(), recorded)
    return write_specs(file, interview, epochs, models=models, check=recorded.check)


class _Recorded:
    """Asks, and notes which answers were read."""

    def __init__(self, ask: Ask, given: Mapping[str, str | None]) -> None:
        self._ask, self._given = ask, given
        self._read: set[str] = set()

    def __call__(self, flag: str, question: str, default: Suggestion, check: Callable[[str], object]) -> str:
        self._read.add(_argument(flag))
        return self._ask(flag, question, default, check)

    def check(self) -> None:
        """Raises UserError for each answer that was given and not read."""
        problems = [
            Problem(where, f"this is for {_ONLY_FOR[name]}", value, hint="leave it out")
            for where, value in self._given.items()
            if (name := _argument(where)) in _ONLY_FOR
            and name not in self._read
            and value not in (None, "no")
        ]
        if problems:
            raise UserError(problems)


def _asker(answers: Mapping[str, str]) -> Ask:
    def answer(flag: str, question: str, default: Suggestion, check: Callable[[str], object]) -> str:
        name = _argument(flag)
        if name not in answers:
            return default.value
        return checked(answers[name], check, name)

    return answer


def _argument(flag: str) -> str:
    """The argument of `init` that a flag is, or the argument itself."""
    return flag.removeprefix("--").replace("-", "_")


def checked(answer: str, check: Callable[[str], object], where: str) -> str:
    """An answer that `check` accepts.

    Raises:
        UserError: it does not accept it; `where` says which answer this is.
    """
    try:
        check(answer)
    except UserError as error:
        raise UserError(replace(problem, where=where) for problem in error.problems) from error
    return answer
