"""A spec's recipe, put below what the spec says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import DistillerEntry
from kdcore.errors import UserError
from kdcore.spec.place import Fault, Path, place
from kdcore.spec.recipes import find_recipe, layered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Plugins
    from kdcore.spec.recipes import Recipe
    from kdcore.spec.value_sources import Origins

KEY: Final = "recipe"
_OTHERS_ARGUMENTS: Final = ("optimizer",)  # sections whose options belong to the name next to them


def with_recipe(
    raw: dict[str, Any], plugins: Plugins, origins: Origins
) -> tuple[dict[str, Any], list[Fault]]:
    """The spec with the values of its recipe where it has none, and what is wrong with the recipe's name.

    What the spec says wins, key by key. Distillers take the options that the recipe has for them; a section that it
    has for a distiller counts where that is the only one. `origins` records what is from the recipe.
    """
    name = raw.get(KEY)
    if not isinstance(name, str):  # none, one that is applied already, or a mistake that its type shows
        return raw, []
    try:
        recipe = find_recipe(name, KEY)
    except UserError as error:
        return raw, [Fault((KEY,), problem) for problem in error.problems]
    given = raw.get("distiller")
    below = recipe.values(None if isinstance(given, list) else _qualified(given, plugins))
    if "student" not in raw:
        below.pop("student", None)  # which student is nothing that a recipe says
    for section in _OTHERS_ARGUMENTS:
        _without_foreign_options(below, raw, section)
    merged = layered(below, raw)
    merged[KEY] = {"applied": name}
    if given is not None:
        merged["distiller"] = _with_options(given, recipe, plugins)
    for path in _added({**raw, KEY: merged[KEY]}, merged):
        origins.note(place(path), f"from recipe {name}")
    return merged, []


def _with_options(given: Any, recipe: Recipe, plugins: Plugins) -> Any:
    if isinstance(given, list):
        return [_with_options(item, recipe, plugins) for item in given]
    part = recipe.distillers.get(_qualified(given, plugins) or "")
    if part is None or not part.options:
        return given
    return layered(part.options, {"name": given} if isinstance(given, str) else given)


def _qualified(item: Any, plugins: Plugins) -> str | None:
    """A distiller's `plugin/name`; None if it is not a distiller, which another check reports."""
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str):
        return None
    try:
        return plugins.find(DistillerEntry, name, "distiller").qualified
    except UserError:
        return None


def _without_foreign_options(below: dict[str, Any], raw: dict[str, Any], section: str) -> None:
    own = raw.get(section)
    if isinstance(own, dict) and own.get("name") not in (None, below.get(section, {}).get("name")):
        below.get(section, {}).pop("options", None)


def _added(before: Any, after: Any, path: Path = ()) -> Iterator[Path]:
    """The places that `after` has and `before` has not, as deep as they differ."""
    if isinstance(after, dict):
        if isinstance(before, str) and path[:1] == ("distiller",):
            before = {"name": before}  # written as its name
        inner = before if isinstance(before, dict) else {}
        for key, value in after.items():
            if key in inner or isinstance(value, dict):
                yield from _added(inner.get(key), value, (*path, key))
            else:
                yield (*path, key)
    elif isinstance(after, list) and isinstance(before, list):
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from _added(one, other, (*path, number))
