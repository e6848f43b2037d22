"""What a recipe consists of, beside the sections of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kdcore.spec.recipes.toml_file import Table

# a test holds these to the fields of a spec; a recipe sets no model, no distiller and no folder
SECTIONS: Final = (
    "checkpoint",
    "data",
    "optimizer",
    "scheduler",
    "student",
    "task",
    "teacher_cache",
    "train",
)


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """Where the values of a recipe are from: a paper, and the files of its authors' repository."""

    title: str
    url: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DistillerPart:
    """What a recipe says for one distiller alone.

    Attributes:
        source: repository and file.
        options: of the distiller.
        spec: sections of a spec, above those of the recipe.
    """

    source: str
    options: dict[str, Any]
    spec: dict[str, Any]


def read_part(table: Table) -> DistillerPart:
    """A part from a table of a TOML file.

    Raises:
        UserError: the table is wrong.
    """
    table.allow("source", "options", "spec")
    return DistillerPart(table.text("source"), table.values("options"), read_sections(table, default={}))


def read_sections(table: Table, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The sections of a spec in `spec`; `default` if there are none and it is given.

    Raises:
        UserError: they are missing, one of them is not a section, or one is not a table.
    """
    if default is not None and "spec" not in table.content:
        return default
    spec = table.table("spec")
    spec.allow(*SECTIONS)
    return {name: spec.values(name) for name in spec.content}
