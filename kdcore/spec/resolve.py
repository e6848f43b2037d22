"""From a distiller's name and options to its declaration and its checked options."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from kdcore.errors import Problem, UserError
from kdcore.spec.loaded import ResolvedDistiller
from kdcore.spec.problems import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.entries import DistillerEntry
    from kdcore.options import DistillerOptions
    from kdcore.plugins import Plugins, Provided


def resolve_distiller(
    name: str, options: Mapping[str, Any], plugins: Plugins, where: str, *, name_where: str | None = None
) -> ResolvedDistiller:
    """The distiller that `name`, or `plugin/name`, means, with these options and the defaults of the others.

    Problems with the name are told at `name_where`, which is `where` unless it is given; problems with an option
    at `where.option`.

    Raises:
        UserError: with all problems.
    """
    provided = plugins.distiller(name, name_where or where)
    model = plugins.load_options(provided, where)
    return ResolvedDistiller(provided, _validated(model, options, provided, where), name)


def _validated(
    model: type[DistillerOptions], options: Mapping[str, Any], provided: Provided[DistillerEntry], where: str
) -> DistillerOptions:
    plugin = provided.plugin
    try:
        return _validate(model, dict(options))
    except ValidationError as error:
        owner = f"distiller '{provided.entry.name}'"
        found = faults(error, dict(options), _schema(model), (), owner=owner)
        raise UserError(_at(where, fault.problem) for fault in found) from error
    except Exception as error:
        message = (
            f"the options of {provided.qualified} {plugin.version} failed: {type(error).__name__}: {error}"
        )
        raise UserError(Problem(where, message, hint="this is a mistake in the plugin")) from error


def _validate(model: type[DistillerOptions], options: dict[str, Any]) -> DistillerOptions:
    try:
        text = json.dumps(options)
    except (TypeError, ValueError):
        return model.model_validate(options)  # given in Python, where a value may be any object
    # as JSON, since a list is a tuple there, and strict, so that true and "1" are no numbers
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError:
        # a validator that runs before pydantic's own hands on a list, which is no tuple to strictness
        lax = _validate_lax(model, options)
        if lax is None:
            raise
        return lax


def _validate_lax(model: type[DistillerOptions], options: Mapping[str, Any]) -> DistillerOptions | None:
    """The options if they are right without strictness, and none of them became a number that was none."""
    try:
        validated = model.model_validate(options)
    except ValidationError:
        return None
    turned = any(
        _turned(options[name], getattr(validated, name)) for name in model.model_fields if name in options
    )
    return None if turned else validated


def _turned(given: Any, found: Any) -> bool:
    """Whether a number or a boolean was made of something else, a whole number given for a float apart."""
    if not isinstance(found, int | float) or type(given) is type(found):
        return False
    return isinstance(given, bool | str) or isinstance(found, bool)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except Exception:  # it has a type that JSON Schema cannot express; the problem is told with fewer words
        return {}


def _at(where: str, problem: Problem) -> Problem:
    inner = problem.where
    joined = where if not inner else f"{where}{inner}" if inner.startswith("[") else f"{where}.{inner}"
    return dataclasses.replace(problem, where=joined)
