"""From names and options to declarations and checked options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from kdcore.entries import DistillerEntry
from kdcore.errors import Problem, UserError
from kdcore.options import Schedule
from kdcore.plugins.roles import role_of
from kdcore.spec.loaded import ResolvedDistiller
from kdcore.spec.problems import faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.entries import DatasetEntry, ExporterEntry, LauncherEntry, ModelEntry, TransformEntry
    from kdcore.plugins import Plugins, Provided

SCHEDULE: Final = "schedule"
TEACHER: Final = "teacher"
AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


def resolve_distiller(
    name: str, options: Mapping[str, Any], plugins: Plugins, where: str, *, name_where: str | None = None
) -> ResolvedDistiller:
    """The distiller that `name`, or `plugin/name`, means, with these options and the defaults of the others.

    `schedule` and `teacher` among the options are kd's own, for every distiller.

    Problems with the name are reported at `name_where`, which is `where` unless it is given; problems with an option
    at `where.option`.

    Raises:
        UserError: with all problems.
    """
    provided = plugins.find(DistillerEntry, name, name_where or where)
    model = plugins.load_options(provided, where)
    given = dict(options)
    scheduled = given.pop(SCHEDULE, None)
    teacher = given.pop(TEACHER, None)
    problems: list[Problem] = []
    if teacher is not None and not (isinstance(teacher, str) and teacher):
        allowed = "the name of a teacher, 'mean', or null"
        problems.append(Problem(f"{where}.{TEACHER}", "this is not a teacher's name", teacher, allowed))
    schedule = None
    try:
        if scheduled is not None:
            schedule = _schedule(scheduled, f"{where}.{SCHEDULE}")
    except UserError as error:
        problems += error.problems
    try:
        found = _validated(model, given, provided, where)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError(problems)
    return ResolvedDistiller(provided, found, name, schedule, teacher)


def _schedule(value: Any, where: str) -> Schedule:
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, Mapping):
        allowed = "an object such as {'warmup_epochs': 5}, or null"
        raise UserError(Problem(where, "this is not a schedule", value, allowed))
    return validated(Schedule, value, "a schedule", where)


def resolve_options(
    provided: Provided[ModelEntry]
    | Provided[DatasetEntry]
    | Provided[LauncherEntry]
    | Provided[TransformEntry]
    | Provided[ExporterEntry],
    options: Mapping[str, Any],
    plugins: Plugins,
    where: str,
) -> BaseModel | None:
    """The options of a plugin's model, dataset, launcher, transform or exporter, with the defaults of the others.

    None if it declares no pydantic model. Problems with an option are reported at `where.option`.

    Raises:
        UserError: with all problems.
    """
    model = plugins.load_options(provided, where)
    return None if model is None else _validated(model, options, provided, where)


def validated(model: type[AnyOptions], values: Mapping[str, Any], owner: str, where: str = "") -> AnyOptions:
    """A pydantic model made from values; `owner` names it in messages about unknown keys, such as `a comparison`.

    Raises:
        UserError: with all problems, each at `where.key`.
    """
    try:
        return _validate(model, dict(values))
    except ValidationError as error:
        found = faults(error, dict(values), _schema(model), (), owner=owner)
        raise UserError(_at(where, fault.problem) for fault in found) from error


def default_arguments(
    provided: Provided[ModelEntry] | Provided[DatasetEntry], plugins: Plugins, where: str
) -> dict[str, Any]:
    """The keyword arguments of a plugin's model or dataset where a spec gives no option.

    Raises:
        UserError: an option has no default.
    """
    options = resolve_options(provided, {}, plugins, where)
    return {} if options is None else arguments(options)


def resolve_task_weight(
    weight: float | None, own: Sequence[float], *, classifier: bool = True, labels: bool = True
) -> float:
    """The factor of the task loss; if none is given, that of the only distiller.

    Args:
        weight: `task.weight` of the spec.
        own: the task weight of each distiller.
        classifier: whether the student has a classifier; without one there is no task loss, and the weight is 0.
        labels: whether labels are read; if not, there is no task loss either.

    Raises:
        UserError: none is given, and there are several distillers; or there is no task loss, and it is above 0.
    """
    if not labels:
        if weight:
            message = "with task.kind 'none' no label is read, so there is no task loss"
            raise UserError(Problem("task.weight", message, weight, "0", hint="leave it out"))
        return 0.0
    if not classifier:
        if weight:
            message = "the student has no classifier, so there is no task loss"
            hint = "leave it out, or set student.classifier to true"
            raise UserError(Problem("task.weight", message, weight, "0", hint=hint))
        return 0.0
    if weight is None and len(own) > 1:
        message = "with several distillers the spec has to give the weight of the task loss"
        raise UserError(Problem("task.weight", message, allowed="a number, 0 or more", hint="1.0 is usual"))
    return float(own[0] if weight is None else weight)


def arguments(options: BaseModel) -> dict[str, Any]:
    """The options as keyword arguments: by the names of the fields, their values as they are."""
    return {name: getattr(options, name) for name in type(options).model_fields}


def _validated(
    model: type[AnyOptions], options: Mapping[str, Any], provided: Provided[Any], where: str
) -> AnyOptions:
    plugin = provided.plugin
    try:
        return validated(model, options, f"{role_of(provided.entry).name} '{provided.entry.name}'", where)
    except UserError:
        raise
    except Exception as error:
        message = (
            f"the options of {provided.qualified} {plugin.version} failed: {type(error).__name__}: {error}"
        )
        raise UserError(Problem(where, message, hint="this is a mistake in the plugin")) from error


def _validate(model: type[AnyOptions], options: dict[str, Any]) -> AnyOptions:
    try:
        text = json.dumps(options)
    except (TypeError, ValueError):
        return model.model_validate(options)  # given in Python, where a value may be any object
    # as JSON, since a list is a tuple there, and strict, so that true and "1" are not taken for numbers
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError:
        # a validator that runs before pydantic's own returns a list, which strict validation does not take for a tuple
        lax = _validate_lax(model, options)
        if lax is None:
            raise
        return lax


def _validate_lax(model: type[AnyOptions], options: Mapping[str, Any]) -> AnyOptions | None:
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
    except (
        Exception
    ):  # it has a type that JSON Schema cannot express; the problem is reported with fewer words
        return {}


def _at(where: str, problem: Problem) -> Problem:
    inner = problem.where
    joined = f"{where}{inner}" if not (where and inner) or inner.startswith("[") else f"{where}.{inner}"
    return dataclasses.replace(problem, where=joined)
