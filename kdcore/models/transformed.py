"""A student that transforms changed: applied once, and rebuilt from their records as a model with a name."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kdcore.description import ModelDescription
from kdcore.entries import TransformEntry
from kdcore.errors import Problem, UserError
from kdcore.models.build import BuiltModel, build_model
from kdcore.models.parameters import count_parameters
from kdcore.models.student_config import TRANSFORMED, spec_before
from kdcore.plugins import get_plugins
from kdcore.plugins.calling import MISTAKE
from kdcore.protocols.transform import ChecksTraining, Transform, Transformed, TransformSetup
from kdcore.spec.resolve import resolve_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kdcore.plugins import Plugins, Provided
    from kdcore.spec.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What a built model is called in its folder.

    Attributes:
        name: of the model, as a spec would name it.
        options: of the model.
        small_input: whether it is the small-input variant.
    """

    name: str
    options: dict[str, Any]
    small_input: bool


def named_model(built: BuiltModel) -> NamedModel:
    """The name and the options from which a model is built again, its transforms included."""
    if not built.transforms:
        return NamedModel(built.name, dict(built.options), built.small_input)
    base = {
        "model": built.name,
        "small_input": built.small_input,
        "options": dict(built.options),
        "input": {
            "image_size": list(built.input.image_size),
            "mean": list(built.input.mean),
            "std": list(built.input.std),
            "interpolation": built.input.interpolation,
            "crop_pct": built.input.crop_pct,
        },
    }
    return NamedModel(
        TRANSFORMED, {"model": base, "transforms": [dict(one) for one in built.transforms]}, False
    )


def apply_transforms(
    built: BuiltModel, spec: ModelSpec, setup: TransformSetup, seed: int, plugins: Plugins
) -> BuiltModel:
    """Change a built student as its section of the spec says.

    Args:
        built: the student on the CPU, with its weights.
        spec: the section.
        setup: for all transforms; each gets its own place and generator.
        seed: of the random numbers of each transform.
        plugins: where transforms are looked up.

    Raises:
        UserError: a transform cannot change this student.
    """
    for where, one in spec.transforms:
        provided = plugins.find(TransformEntry, one.name, f"{where}.name")
        transform = _made(provided, one.options, plugins, where)
        own = replace(setup, where=where, generator=torch.Generator().manual_seed(seed))
        _check_training(transform, own, provided)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            done = _applied(transform, built.model, own, provided)
        record = {
            "name": provided.qualified,
            "options": one.options,
            "record": dict(done.record),
            "classifier": setup.num_classes > 0,
        }
        built = replace(
            built,
            model=done.model,
            parameters=count_parameters(done.model),
            transforms=(*built.transforms, record),
            notes=built.notes + done.notes,
            warnings=built.warnings + tuple(f"{where}: {line}" for line in done.warnings),
        )
    return built


def rebuild_transforms(
    built: BuiltModel, transforms: Sequence[Mapping[str, Any]], plugins: Plugins, where: str
) -> BuiltModel:
    """Change a built model as records say; on the meta device too.

    Raises:
        UserError: the plugin of a transform is missing, or a record does not fit the model.
    """
    model = built.model
    for one in transforms:
        transform, provided = _of_record(one, plugins, where)
        try:
            made: object = transform.rebuild(model, one["record"])
        except UserError:
            raise
        except Exception as error:
            message = f"the record of {_who(provided)} does not fit the model '{built.name}'"
            raise UserError(Problem(where, f"{message}: {type(error).__name__}: {error}")) from error
        if not isinstance(made, nn.Module):
            found = f"rebuild() returned {type(made).__name__}, not an nn.Module"
            raise UserError(_wrong(provided, found, where))
        model = made
    return replace(built, model=model, parameters=count_parameters(model), transforms=tuple(transforms))


def check_rebuilt(applied: BuiltModel, rebuilt: BuiltModel, plugins: Plugins, where: str) -> None:
    """Check that the student of the records is the one of `apply`, before hours of training depend on it.

    Raises:
        UserError: their weights have other names or shapes.
    """
    first, then = _shapes(applied.model), _shapes(rebuilt.model)
    differing = sorted(name for name in first.keys() | then.keys() if first.get(name) != then.get(name))
    if not differing:
        return
    who = " and ".join(_who(plugins.find(TransformEntry, one["name"], where)) for one in applied.transforms)
    name = differing[0]
    was, now = (shapes.get(name, "not there") for shapes in (first, then))
    message = (
        f"{who}: from its record rebuild() makes another student than apply(): {name} is {was} after apply(), and "
        f"{now} after rebuild()"
    )
    raise UserError(Problem(where, message, hint=MISTAKE))


def _shapes(model: nn.Module) -> dict[str, list[int]]:
    return {
        name: list(value.shape)
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor)
    }


def all_transforms(built: BuiltModel) -> tuple[Mapping[str, Any], ...]:
    """The records of a model's transforms: those of the run that it comes from, then its own."""
    earlier = built.options.get("transforms", ()) if built.name == TRANSFORMED else ()
    return (*earlier, *built.transforms)


def check_training(transforms: Sequence[Mapping[str, Any]], setup: TransformSetup, plugins: Plugins) -> None:
    """Check that a student with transforms can be trained as this run does.

    Args:
        transforms: their records.
        setup: for all of them.
        plugins: where transforms are looked up.

    Raises:
        UserError: a transform excludes a setting of the run, or its plugin is missing.
    """
    for one in transforms:
        transform, provided = _of_record(one, plugins, setup.where)
        _check_training(transform, setup, provided)


def transformed(
    num_classes: int,
    in_chans: int,
    *,
    model: Mapping[str, Any] | None = None,
    transforms: Sequence[Mapping[str, Any]] | None = None,
) -> nn.Module:
    """A student with its transforms and initial weights: those of its folder replace all of them.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        model: `model`, `small_input`, `options` and `input` of the student before its transforms.
        transforms: `name`, `options` and `record` of each transform, and whether the student had a classifier.

    Raises:
        UserError: an argument or the plugin of a transform is missing, a record does not fit, or the student had a
            classifier and gets none, or the other way round.
    """
    if model is None or transforms is None:
        missing = "model" if model is None else "transforms"
        message = "this model is built from the options that a run writes, and one is missing"
        hint = "name the run directory or the folder of a finished student as the checkpoint of this model"
        raise UserError(Problem(f"options.{missing}", message, hint=hint))
    _check_classifier(transforms, num_classes > 0)
    plugins, taken = get_plugins(), model["input"]
    height, width = taken["image_size"]
    built = build_model(
        spec_before(model),
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=(height, width),
        plugins=plugins,
        where="model",
        device=torch.get_default_device(),
        load_weights=False,
    )
    found = rebuild_transforms(built, transforms, plugins, "model").model
    found.kd_description = ModelDescription(  # type: ignore[assignment]  # no tensor
        image_size=(height, width),
        fixed_size=_has_fixed_size(found),
        mean=tuple(taken["mean"]),
        std=tuple(taken["std"]),
        interpolation=taken["interpolation"],
        crop_pct=taken["crop_pct"],
    )
    return found


def _who(provided: Provided[TransformEntry]) -> str:
    return f"transform '{provided.entry.name}' of plugin {provided.plugin.label}"


def _check_classifier(transforms: Sequence[Mapping[str, Any]], classifier: bool) -> None:
    """Check that the student has a classifier if it had one when it was changed, and none otherwise."""
    for one in transforms:
        if one.get("classifier", classifier) != classifier:
            had, wanted = ("without", "with") if classifier else ("with", "without")
            message = (
                f"transform '{one['name']}' changed this student {had} a classifier; "
                f"it cannot be built {wanted} one"
            )
            hint = f"begin with a student {wanted} a classifier, and transform that"
            raise UserError(Problem("classifier", message, hint=hint))


def _place(inner: str, where: str) -> str:
    """The place of a transform's problem in the spec: the transform knows only the places within its options."""
    if inner == where or inner.startswith(f"{where}."):
        return inner
    return f"{where}.{inner}" if inner else where


def _has_fixed_size(model: nn.Module) -> bool:
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    return bool(config.get("fixed_input_size", False))


def _made(
    provided: Provided[TransformEntry], options: Mapping[str, Any], plugins: Plugins, where: str
) -> Transform:
    checked = resolve_options(provided, options, plugins, where)
    try:
        transform: object = plugins.load(provided, where)(checked)
    except UserError:
        raise
    except Exception as error:
        message = f"{_who(provided)} failed: {type(error).__name__}: {error}"
        raise UserError(Problem(where, message, hint=MISTAKE)) from error
    if not isinstance(transform, Transform):
        message = f"{_who(provided)} does not have the methods 'apply' and 'rebuild'"
        raise UserError(Problem(where, message))
    return transform


def _of_record(
    record: Mapping[str, Any], plugins: Plugins, where: str
) -> tuple[Transform, Provided[TransformEntry]]:
    """The transform that wrote a record."""
    provided = plugins.find(TransformEntry, record["name"], where)
    try:
        transform = _made(provided, record["options"], plugins, where)
    except UserError:  # options of an earlier version of the plugin; the record says everything
        transform = _made(provided, {}, plugins, where)
    return transform, provided


def _check_training(transform: Transform, setup: TransformSetup, provided: Provided[TransformEntry]) -> None:
    if isinstance(transform, ChecksTraining):
        with _explained(setup, provided):
            transform.check_training(setup)


@contextmanager
def _explained(setup: TransformSetup, provided: Provided[TransformEntry]) -> Iterator[None]:
    """Errors of a transform: with their places in the spec, or as a mistake in the plugin."""
    try:
        yield
    except UserError as error:
        problems = [replace(one, where=_place(one.where, setup.where)) for one in error.problems]
        raise UserError(problems) from (error.__cause__ or error)
    except Exception as error:
        message = f"{_who(provided)} failed: {type(error).__name__}: {error}"
        raise UserError(Problem(setup.where, message, hint=MISTAKE)) from error


def _applied(
    transform: Transform, model: nn.Module, setup: TransformSetup, provided: Provided[TransformEntry]
) -> Transformed:
    who = _who(provided)
    with _explained(setup, provided):
        done: object = transform.apply(model, setup)
    if not isinstance(done, Transformed):
        message = f"{who} returned {type(done).__name__}; it must return a kdcore.Transformed"
        raise UserError(Problem(setup.where, message))
    made: object = done.model
    if not isinstance(made, nn.Module):
        found = f"Transformed(model=...) is {type(made).__name__}, not an nn.Module"
        raise UserError(_wrong(provided, found, setup.where))
    if not any(parameter.requires_grad for parameter in made.parameters()):
        raise UserError(_wrong(provided, "it leaves no parameter that is trained", setup.where))
    try:
        record = json.loads(json.dumps(dict(done.record), allow_nan=False))
    except (TypeError, ValueError) as error:
        message = f"the record of {who} is not JSON: {error}"
        raise UserError(Problem(setup.where, message)) from error
    return replace(done, record=record)  # as everything that opens the student later reads it


def _wrong(provided: Provided[TransformEntry], found: str, where: str) -> Problem:
    return Problem(where, f"{_who(provided)}: {found}", hint=MISTAKE)
