"""A spec's recipe, put below what the spec says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kdcore.entries import DistillerEntry
from kdcore.errors import UserError
from kdcore.spec.place import Fault, Path, place
from kdcore.spec.recipes import distiller_part, find_recipe, layered
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Plugins
    from kdcore.spec.recipes import DistillerPart, Recipe
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
        recipe = find_recipe(name, KEY, plugins)
    except UserError as error:
        return raw, [Fault((KEY,), problem) for problem in error.problems]
    given = raw.get("distiller")
    items = given if isinstance(given, list) else [given]
    parts: list[DistillerPart | None] = []
    faults: list[Fault] = []
    for item in items:
        try:
            parts.append(_part(item, recipe, plugins))
        except UserError as error:
            parts.append(None)
            faults += [Fault(("distiller",), problem) for problem in error.problems]
    alone = None if isinstance(given, list) else parts[0]
    below = layered(recipe.spec, {} if alone is None else alone.spec)
    if "student" not in raw:
        below.pop("student", None)  # which student is nothing that a recipe says
    for section in _OTHERS_ARGUMENTS:
        _without_foreign_options(below, raw, section)
    _without_task_loss(below, raw)
    several = raw.get("teacher")
    if isinstance(several, list) and isinstance(below.get("teacher"), dict):
        mine = below.pop("teacher")  # what a recipe says of the teacher holds for each of them
        raw = {
            **raw,
            "teacher": [layered(mine, one) if isinstance(one, dict) else one for one in several],
        }
    merged = layered(below, raw)
    merged[KEY] = {"applied": name}
    if given is not None:
        filled = [_with_options(item, part) for item, part in zip(items, parts, strict=True)]
        merged["distiller"] = filled if isinstance(given, list) else filled[0]
    for path in _added({**raw, KEY: merged[KEY]}, merged):
        origins.note(place(path), f"from recipe {name}")
    return merged, faults


def _part(item: Any, recipe: Recipe, plugins: Plugins) -> DistillerPart | None:
    """What the recipe has for a distiller; None too if it is not a distiller, which another check reports.

    Raises:
        UserError: the file that has it is missing or wrong.
    """
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str):
        return None
    try:
        provided = plugins.find(DistillerEntry, name, "distiller")
    except UserError:
        return None
    return distiller_part(recipe, provided, "distiller")


def _with_options(given: Any, part: DistillerPart | None) -> Any:
    if part is None or not part.options:
        return given
    return layered(part.options, {"name": given} if isinstance(given, str) else given)


def _without_foreign_options(below: dict[str, Any], raw: dict[str, Any], section: str) -> None:
    own = raw.get(section)
    if isinstance(own, dict) and own.get("name") not in (None, below.get(section, {}).get("name")):
        below.get(section, {}).pop("options", None)


def _without_task_loss(below: dict[str, Any], raw: dict[str, Any]) -> None:
    """What a recipe says of the task loss is nothing for a spec without labels."""
    task = raw.get("task")
    if isinstance(task, dict) and task.get("kind") == NO_LABELS:
        below.pop("task", None)


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
