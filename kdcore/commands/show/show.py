"""All about one name: what it is, whose it is, its options, and how a spec says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore.commands.show.find import WHERE, find
from kdcore.commands.show.options import options_of
from kdcore.entries import DistillerEntry, RecipeEntry
from kdcore.errors import UserError
from kdcore.plugins import get_plugins
from kdcore.plugins.manager import warn_on_stderr
from kdcore.spec.recipes import paper_settings, read_recipe, with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.commands.show.options import OptionInfo
    from kdcore.entries import AnyEntry
    from kdcore.plugins import PluginInfo, Plugins, Provided
    from kdcore.plugins.roles import Role
    from kdcore.spec.recipes import PaperSettings, Recipe


@dataclass(frozen=True, slots=True)
class Description:
    """What a name means in one role.

    Attributes:
        role: what it is, such as `distiller` or `report section`.
        name: as a spec says it: `plugin/name` where two plugins have the name.
        entry: what its plugin declares; of a recipe, the recipe itself.
        plugin: the plugin that has it.
        options: what a spec can set; None: it has no options, as an adapter.
        example: a spec with it, whole for a distiller, otherwise the part that names it; or a command line.
        settings: what papers say about a distiller; None for another role, or if the file is wrong.
    """

    role: str
    name: str
    entry: AnyEntry | Recipe
    plugin: PluginInfo
    options: tuple[OptionInfo, ...] | None
    example: dict[str, Any] | str
    settings: PaperSettings | None = None


def show(name: str) -> tuple[Description, ...]:
    """What a name, or `plugin/name`, means, for `kd show`: a description for each role that has it.

    Raises:
        UserError: nothing has this name, two plugins have it, or its options cannot be imported.
    """
    plugins = get_plugins()
    return tuple(_describe(role, provided, plugins) for role, provided in find(name, plugins))


def example(entry: DistillerEntry, options: dict[str, Any], name: str) -> dict[str, Any]:
    """A whole spec with this distiller, to copy: its models are of the kind that it needs."""
    needs = {"teacher"} if entry.needs is None and entry.kind != "baseline" else set(entry.needs or ())
    student, teacher, size = "resnet10t", "resnet34", 32
    if entry.kind == "heterogeneous":
        teacher = "convnext_atto"
    if needs & {"tokens", "attention"}:
        student, teacher, size = "deit_tiny_patch16_224", "deit_small_patch16_224", 224
    if "distilled-student" in needs:
        student, size = "deit_tiny_distilled_patch16_224", 224
    spec: dict[str, Any] = {"data": {"dataset": "digits", "image_size": size}}
    if "several-teachers" in needs:
        spec["teacher"] = [{"name": "large", "model": teacher}, {"name": "small", "model": "resnet18"}]
    elif "learning-teacher" in needs:
        spec["teacher"] = {"model": student, "learns": True}
    elif "teacher" in needs:
        spec["teacher"] = {"model": teacher}
    return spec | {"student": {"model": student}, "distiller": {"name": name, **options}}


def _describe(role: Role, provided: Provided[Any], plugins: Plugins) -> Description:
    entry: Any = provided.entry
    ambiguous = sum(item.entry.name == entry.name for item in plugins.all(role.entry)) > 1
    name = provided.qualified if ambiguous else entry.name
    model = plugins.load_options(provided, WHERE)
    options = None if model is None else options_of(model)
    settings = None
    if isinstance(entry, RecipeEntry):
        (entry,) = with_settings([read_recipe(provided, WHERE)], plugins, warn_on_stderr)
    elif isinstance(entry, DistillerEntry):
        settings = _settings(provided)
    shown = _example(role, entry, options or (), name)
    return Description(role.name, name, entry, provided.plugin, options, shown, settings)


def _settings(provided: Provided[DistillerEntry]) -> PaperSettings | None:
    try:
        return paper_settings(provided, WHERE)
    except UserError as error:
        warn_on_stderr(error.problems[0].message)
        return None


def _example(role: Role, entry: Any, options: Sequence[OptionInfo], name: str) -> dict[str, Any] | str:
    if isinstance(entry, DistillerEntry):
        return example(entry, {item.name: item.default for item in options if not item.required}, name)
    return role.usage(name)
