"""Find a distiller's options model, and check the options."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import BaseModel, ValidationError

from kdcore import DistillerEntry, Problem, SpecFile, UserError
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore import DistillerOptions


def annotated_options(factory: Any) -> Any:
    """The annotation of a constructor's first parameter: a class, a name that cannot be resolved, or None."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return None
    if not parameters or parameters[0].annotation is inspect.Parameter.empty:
        return None
    annotation = parameters[0].annotation
    if not isinstance(annotation, str):
        return annotation
    found: Any = sys.modules.get(getattr(factory, "__module__", ""))
    for part in annotation.split("."):
        found = getattr(found, part, None)
    return annotation if found is None else found


def options_of_class(cls: type, options: Mapping[str, Any] | BaseModel | None) -> DistillerOptions:
    """The given options, checked with the options model in the annotation of the class's constructor.

    Raises:
        UserError: there is no options model, or the options are wrong.
    """
    if isinstance(options, BaseModel):
        return cast("DistillerOptions", options)
    model = annotated_options(cls)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        model = _declared_options(cls) or model
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        found = (
            "is not annotated"
            if model is None
            else f"is annotated with {model!r}, which is not an options model here"
        )
        raise UserError(
            Problem(
                "options",
                f"the first parameter of {cls.__name__}'s constructor {found}",
                hint=f"give options=MyOptions(...), or the registered name instead of the class {cls.__name__}",
            )
        )
    return cast("DistillerOptions", validated(model, options or {}))


def validated(model: type[BaseModel], options: Mapping[str, Any]) -> BaseModel:
    """The options as an instance of their model.

    Raises:
        UserError: the options are wrong.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise UserError(
            Problem(".".join(["options", *map(str, fault["loc"])]), fault["msg"], value=fault["input"])
            for fault in error.errors()
        ) from error


def _declared_options(cls: type) -> type[BaseModel] | None:
    """The options model in an installed plugin's declaration of this class, if the annotation is for typing only."""
    plugins = get_plugins()
    for provided in plugins.all(DistillerEntry):
        if provided.entry.target == f"{cls.__module__}:{cls.__qualname__}":
            return plugins.load_options(provided, "options")
    return None


def field_faults(model: type[BaseModel]) -> Iterator[str]:
    """Fields of an options model without a description, or without a default if they are not paths."""
    path = type(get_args(SpecFile)[1])  # what marks an option as a path
    for name, field in model.model_fields.items():
        if field.is_required() and not any(isinstance(one, path) for one in field.metadata):
            yield f"option {name!r} has no default"
        if not (field.description or "").strip():
            yield f"option {name!r} has no description"
