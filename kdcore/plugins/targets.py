"""Load the target of an entry: it is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError
from kdcore.plugins.importing import PluginError, import_named, reinstall
from kdcore.plugins.roles import role_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kdcore.plugins.records import PluginInfo, Provided


def load_target(provided: Provided[Any], where: str) -> Any:
    """The class or function that an entry declares.

    Raises:
        UserError: the import failed.
    """
    return _load(provided, provided.entry.target, "its code", where)


def load_options(provided: Provided[Any], where: str) -> type[BaseModel] | None:
    """The pydantic model of the options of a thing; None if it declares none.

    Raises:
        UserError: the import failed, or the object is something else, or breaks the rule of its role.
    """
    rule = role_of(provided.entry).options
    named = None if rule == "none" else provided.entry.options
    if named is None:
        return None
    model = _load_model(provided, named, where)
    if rule == "weighted" and "weight" not in model.model_fields:
        wrong = f"{named} has no field 'weight'; derive it from DistillerOptions"
        raise UserError(_problem(provided, wrong, where))
    if rule == "strict" and model.model_config.get("extra") != "forbid":
        wrong = f"{named} accepts unknown keys; derive it from kdcore.Options"
        raise UserError(_problem(provided, wrong, where))
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
        f"{role_of(provided.entry).name} '{provided.entry.name}' of plugin {plugin.label}: {what_is_wrong}",
        hint=_fix(plugin),
    )


def _fix(plugin: PluginInfo) -> str:
    return f"to fix the plugin: {reinstall(plugin.candidate)}"
