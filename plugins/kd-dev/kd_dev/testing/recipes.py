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
_ALONE: Final = "vanilla"
_USUAL: Final = frozenset({"teacher", "features", "embeddings", "whole-batch"})
_WITH_CLASSES: Final = _USUAL | {"logits", "classifier", "labels"}


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
    summary="A spec that starts from it is valid, with a distiller that it is for: `vanilla`, or one that learns "
    "without the task loss if the recipe leaves this out.",
    why="Its values go into the spec of a user, who cannot correct them.",
    fix="Write fields of the run spec only, with values that `kd validate` accepts.",
)
def spec_is_valid(subject: RecipeSubject) -> None:
    name = _distiller_for(subject.recipe())
    problems = subject.problems(name, teacher=name != _ALONE)
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


def _distiller_for(recipe: Recipe) -> str:
    """A distiller with which something is left to learn from.

    Raises:
        unittest.SkipTest: the recipe is for other distillers than those that are installed.
    """
    encoder = _value(recipe, "student", "classifier") is False
    if not encoder and _value(recipe, "task", "weight") != 0:
        return _ALONE
    usable = _USUAL if encoder else _WITH_CLASSES
    found = {
        item.qualified
        for item in get_plugins().all(DistillerEntry)
        if item.entry.kind != "baseline"
        and item.entry.needs is not None
        and usable.issuperset(item.entry.needs)
    }
    if not found:
        skip(f"it leaves out the task loss, and no installed distiller needs only {listed(sorted(usable))}")
    return min(found & recipe.distillers.keys() or found)  # it is made for those that it names


def _value(recipe: Recipe, section: str, name: str) -> object:
    values = recipe.spec.get(section)
    return values.get(name) if isinstance(values, dict) else None


RULES: Final[tuple[Rule[RecipeSubject], ...]] = (file, spec_is_valid, distillers)
