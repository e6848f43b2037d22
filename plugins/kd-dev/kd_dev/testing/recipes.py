"""The checks of recipes."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.tiny_run import pictures
from kdcore import DistillerEntry, RecipeEntry, UserError
from kdcore.inspect import find_recipe, load_spec
from kdcore.plugin import get_plugins, listed, write_json

if TYPE_CHECKING:
    from kd_dev.testing.check import Rule
    from kdcore import Recipe

_STUDENT: Final = "resnet18"


class RecipeSubject(DeclaredSubject[RecipeEntry]):
    """A recipe, read from its file."""

    @cached_property
    def read(self) -> Recipe | UserError:
        """The recipe, or the error of reading its file."""
        try:
            return find_recipe(self.provided.qualified, "recipe", get_plugins())
        except UserError as error:
            return error

    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            unittest.SkipTest: the check `file` fails.
        """
        if isinstance(self.read, UserError):
            skip("it cannot be read: see the check 'file'")
        return self.read

    def problems(self, distiller: Any, teacher: bool = False) -> list[str]:
        """What is wrong with a small spec that starts from the recipe."""
        with tempfile.TemporaryDirectory() as folder:
            spec: dict[str, Any] = {
                "recipe": self.provided.qualified,
                "data": {"dataset": str(pictures(Path(folder) / "pictures"))},
                "student": {"model": _STUDENT},
                "distiller": distiller,
            }
            if teacher:
                spec["teacher"] = {"model": _STUDENT}
            write_json(Path(folder) / "spec.json", spec)
            try:
                load_spec(Path(folder) / "spec.json")
            except UserError as error:
                return [str(problem) for problem in error.problems]
        return []


@rule(
    "recipe",
    summary="Its file is in the package, is TOML, and has the sections and keys of a recipe.",
    why="The file is read when a spec names the recipe, and for `kd list-recipes`.",
    fix="Correct `path` in the `RecipeEntry`, `package.module:folder/file.toml`, or the file; the message says where. "
    "Check that the wheel contains the file.",
)
def file(subject: RecipeSubject) -> None:
    if isinstance(subject.read, UserError):
        raise Violation(str(subject.read))


@rule(
    "recipe",
    summary="A spec that starts from it is valid.",
    why="Its values go into the spec of a user, who cannot correct them.",
    fix="Write fields of the run spec only, with values that `kd validate` accepts.",
)
def spec_is_valid(subject: RecipeSubject) -> None:
    subject.recipe()
    problems = subject.problems("vanilla")
    if problems:
        raise Violation("; ".join(problems))


@rule(
    "recipe",
    summary="What it says for single distillers is valid, for those that are installed.",
    why="A spec with this recipe and this distiller starts from these options.",
    fix='Name the distiller `"plugin/name"`, and give options that it has: `kd show NAME` lists them.',
)
def distillers(subject: RecipeSubject) -> None:
    parts = subject.recipe().distillers
    installed = {item.qualified for item in get_plugins().all(DistillerEntry)}
    known = sorted(parts.keys() & installed)
    if not known:
        skip(
            f"of {listed(parts)} it says something, and none of them is installed"
            if parts
            else "it says nothing for single distillers"
        )
    faults = [f"{name}: {problem}" for name in known for problem in subject.problems(name, teacher=True)]
    if faults:
        raise Violation("; ".join(faults))


RULES: Final[tuple[Rule[RecipeSubject], ...]] = (file, spec_is_valid, distillers)
