"""What papers say about one distiller: its options per recipe, and for known pairs of models."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kdcore.spec.recipes.parts import DistillerPart, read_part
from kdcore.spec.recipes.toml_file import TomlFile

if TYPE_CHECKING:
    from kdcore.entries import DistillerEntry
    from kdcore.plugins import Provided
    from kdcore.spec.recipes.toml_file import Table


@dataclass(frozen=True, slots=True)
class KnownPair:
    """Options that a paper uses for a teacher and a student. They are suggested, never set by default.

    Attributes:
        teachers: patterns of model names, as `resnet*`.
        students: likewise.
        source: repository and file.
        options: of the distiller.
        recipe: for this recipe alone; None: for any.
    """

    teachers: tuple[str, ...]
    students: tuple[str, ...]
    source: str
    options: dict[str, Any]
    recipe: str | None = None

    def matches(self, teacher: str, student: str, *recipe: str) -> bool:
        """Whether it is for these models; `recipe` has the names of the recipe, none without one."""
        right = self.recipe is None or self.recipe in recipe
        return right and _any(self.teachers, teacher) and _any(self.students, student)


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """The content of a distiller's `settings`.

    Attributes:
        recipes: what holds with a recipe, by the recipe's name or `plugin/name`.
        pairs: what holds for a teacher and a student.
    """

    recipes: dict[str, DistillerPart]
    pairs: tuple[KnownPair, ...]


def paper_settings(provided: Provided[DistillerEntry], where: str) -> PaperSettings:
    """What papers say about a distiller; nothing if its entry names no file.

    Raises:
        UserError: the file is missing or wrong; reported at `where`.
    """
    entry = provided.entry
    if entry.settings is None:
        return PaperSettings({}, ())
    table = TomlFile(entry.settings, f"distiller '{entry.name}'", provided.plugin, where).read()
    table.allow("recipes", "pairs")
    return PaperSettings(
        {name: read_part(part) for name, part in table.children("recipes").items()},
        tuple(_pair(item) for item in table.tables("pairs")),
    )


def _pair(table: Table) -> KnownPair:
    table.allow("teachers", "students", "source", "options", "recipe")
    return KnownPair(
        table.texts("teachers"),
        table.texts("students"),
        table.text("source"),
        table.values("options"),
        table.optional_text("recipe"),
    )


def _any(patterns: tuple[str, ...], model: str) -> bool:
    names = {model, model.rpartition("/")[2], model.rpartition("/")[2].partition(".")[0]}
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
