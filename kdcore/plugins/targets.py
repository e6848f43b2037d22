"""Load the target of an entry: it is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError
from kdcore.plugins.importing import PluginError, import_named, reinstall
from kdcore.plugins.records import ENTRY_TYPES, PluginInfo, Provided

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kdcore.entries import AnyEntry, DatasetEntry, DistillerEntry, ModelEntry
    from kdcore.options import DistillerOptions


def load_target(provided: Provided[Any], where: str) -> Any:
    """The class or function that an entry declares.

    Raises:
        UserError: the import failed.
    """
    return _load(provided, provided.entry.target, "its code", where)


def load_options(provided: Provided[DistillerEntry], where: str) -> type[DistillerOptions]:
    """The pydantic model of a distiller's options.

    Raises:
        UserError: the import failed, or the object is something else.
    """
    named = provided.entry.options
    model = _load_model(provided, named, where)
    if "weight" not in model.model_fields:
        raise UserError(
            _problem(provided, f"{named} has no field 'weight'; derive it from DistillerOptions", where)
        )
    return model  # type: ignore[return-value]  # any model with a weight will do


def load_arguments(
    provided: Provided[ModelEntry] | Provided[DatasetEntry], where: str
) -> type[BaseModel] | None:
    """The pydantic model of the options of a model or dataset; None if it declares none.

    Raises:
        UserError: the import failed, or the object is something else, or it accepts unknown keys.
    """
    named = provided.entry.options
    if named is None:
        return None
    model = _load_model(provided, named, where)
    if model.model_config.get("extra") != "forbid":
        raise UserError(
            _problem(provided, f"{named} accepts unknown keys; derive it from kdcore.Options", where)
        )
    return model


def _load_model(provided: Provided[Any], named: str, where: str) -> type[BaseModel]:
    from pydantic import BaseModel

    model = _load(provided, named, "its options", where)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise UserError(_problem(provided, f"{named} is not a pydantic model", where))
    return model


def _load(provided: Provided[Any], named: str, what: str, where: str) -> Any:
    try:
        return import_named(named)[1]
    except PluginError as broken:
        raise UserError(
            _problem(provided, f"{what}, {named}, cannot be loaded: {broken.error}", where)
        ) from broken


def _problem(provided: Provided[Any], what_is_wrong: str, where: str) -> Problem:
    plugin = provided.plugin
    return Problem(
        where,
        f"{role_of(provided.entry)} '{provided.entry.name}' of plugin {plugin.label}: {what_is_wrong}",
        hint=_fix(plugin),
    )


def role_of(entry: AnyEntry) -> str:
    """The role of an entry."""
    return next(role for role, kind in ENTRY_TYPES.items() if isinstance(entry, kind))


def _fix(plugin: PluginInfo) -> str:
    return f"to fix the plugin: {reinstall(plugin.candidate)}"
