"""Recipes: how the papers train, as values that a spec can stand on. Data files, one for each; needs no torch."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUFFIX: Final = ".toml"


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


@dataclass(frozen=True, slots=True)
class Recipe:
    """Values that stand below those of a spec.

    Attributes:
        name: as a spec calls it.
        summary: one sentence.
        use: which images and students it is for.
        sources: where its values are from.
        spec: sections of a spec.
        distillers: by `plugin/name`, what holds for that distiller alone.
    """

    name: str
    summary: str
    use: str
    sources: tuple[RecipeSource, ...]
    spec: dict[str, Any]
    distillers: dict[str, DistillerPart]

    def values(self, distiller: str | None = None) -> dict[str, Any]:
        """The sections of a spec, with those for one distiller (`plugin/name`) above the others."""
        part = self.distillers.get(distiller or "")
        return layered(self.spec, {} if part is None else part.spec)


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name, sorted."""
    files = [item for item in resources.files(__name__).iterdir() if item.name.endswith(_SUFFIX)]
    found = [_read(file.name.removesuffix(_SUFFIX), file.read_text("utf-8")) for file in files]
    return {recipe.name: recipe for recipe in sorted(found, key=lambda recipe: recipe.name)}


def find_recipe(name: str, where: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: there is no such recipe; reported at `where`.
    """
    known = recipes()
    if name in known:
        return known[name]
    raise UserError(
        Problem(
            where,
            "there is no recipe of this name",
            value=name,
            allowed=listed(known, most=40),
            nearest=nearest(name, known),
            hint="kd list-recipes describes them",
        )
    )


def layered(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of both, in which what is above wins, key by key in objects."""
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = layered(under, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]  # `both`
    return merged


def _read(name: str, text: str) -> Recipe:
    data = tomllib.loads(text)
    return Recipe(
        name=name,
        summary=data["summary"],
        use=data["use"],
        sources=tuple(
            RecipeSource(item["title"], item["url"], tuple(item["files"])) for item in data["sources"]
        ),
        spec=data["spec"],
        distillers={
            key: DistillerPart(part["source"], part["options"], part.get("spec", {}))
            for key, part in data.get("distillers", {}).items()
        },
    )
