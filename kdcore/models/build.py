"""A model from its section of the spec: built, and its weights loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from kdcore.data.inputs import InputConfig
from kdcore.errors import Problem, UserError
from kdcore.models.architecture import (
    PluginArchitecture,
    TimmArchitecture,
    check_options,
    default_size,
    find_architecture,
)
from kdcore.models.budget import bounded, check_numbers
from kdcore.models.checkpoints import read_checkpoint
from kdcore.models.class_names import names_in
from kdcore.models.containers import FoundWeights
from kdcore.models.input import input_of
from kdcore.models.option_types import check_types
from kdcore.models.size_warnings import size_warnings
from kdcore.models.student_config import StudentConfig, config_of
from kdcore.models.trained_size import TrainedSize, size_note
from kdcore.models.weights import fit_weights
from kdcore.spec.models import ModelSpec, TeacherSpec

if TYPE_CHECKING:
    from kdcore.plugins import Plugins


@dataclass(frozen=True)
class BuiltModel:
    """A model and what was found out on the way.

    Attributes:
        model: the model, in training mode as constructors leave it.
        input: what it takes; its own mean and deviation.
        name: the model's name in the spec.
        pretrained_tag: which of timm's weights it has, or None.
        random_weights: nothing was loaded into it.
        warnings: one line each for the user.
        options: the constructor's options in the end (a run directory's and the spec's).
        small_input: whether it is the small-input variant.
        parameters: how many it has; a folded teacher has fewer tensors, and is the same model.
        class_names: the classes that its weights know, in their order, or None.
    """

    model: nn.Module
    input: InputConfig
    name: str
    pretrained_tag: str | None
    random_weights: bool
    warnings: tuple[str, ...]
    options: dict[str, Any]
    small_input: bool
    parameters: int
    class_names: tuple[str, ...] | None = None


def build_model(
    spec: ModelSpec,
    *,
    num_classes: int,
    in_chans: int,
    image_size: int | tuple[int, int] | None,
    plugins: Plugins,
    where: str,
    device: str | torch.device = "cpu",
    load_weights: bool = True,
    fallback_size: int | tuple[int, int] | None = None,
) -> BuiltModel:
    """Build a model and load its weights.

    A run directory as `checkpoint`, or the file of weights in one, also says the options, the small-input variant, the
    normalisation and, where `image_size` is None, the input size. In another file the shapes say the size, where they
    depend on it.

    Args:
        spec: the section of the spec; a `TeacherSpec` has to know the data's classes already.
        num_classes: K.
        in_chans: channels of the images.
        image_size: side or (height, width) of the input; None: the model's own.
        plugins: where models of plugins are found.
        where: the section's place in the spec, for messages.
        device: 'cpu', or 'meta' for shapes only: nothing is downloaded, and a checkpoint's keys and shapes
            are checked without reading its values.
        load_weights: False: neither pretrained weights nor a checkpoint are opened.
        fallback_size: the input size where nothing says one; None: the model's default.

    Raises:
        UserError: the spec names what does not exist or does not fit.
        RunFailed: pretrained weights cannot be downloaded.
    """
    device = torch.device(device)
    teacher = isinstance(spec, TeacherSpec)
    config = config_of(spec.checkpoint, spec.model)
    spec = _with_config(spec, config, where)
    check_options(spec.options, where)
    architecture = find_architecture(spec.model, plugins, where)
    size = _pair(image_size) or (None if config is None else config.input.image_size)
    weights = load_weights and device.type != "meta"
    found = FoundWeights({})
    if spec.checkpoint is not None and load_weights:
        file = Path(spec.checkpoint) if config is None else config.weights
        found = read_checkpoint(file, f"{where}.checkpoint", shapes_only=device.type == "meta")
    trained = None
    if isinstance(architecture, TimmArchitecture):
        default = default_size(architecture, spec.small_input)
        fallback = _pair(fallback_size)
        if found.tensors:
            trained = _trained_size(
                architecture, spec, found, num_classes, in_chans, size or fallback, default, where
            )
        size = size or trained or fallback or default
        warnings = _check_pretrained(architecture, num_classes, teacher, where) if spec.pretrained else ()
        check_numbers(spec.options, where)
        with device, bounded(spec.model, spec.options, where):
            model = architecture.create(
                num_classes,
                in_chans,
                size,
                spec.options,
                spec.small_input,
                spec.pretrained and weights,
                where,
            )
        check_types(model, spec.options, where)
        warnings += _check_built(model, architecture, size, spec.small_input, where)
        own_input = input_of(model.pretrained_cfg, size, in_chans)  # type: ignore[arg-type]
    else:
        _refuse_pretrained(spec, architecture, where)
        warnings = ()
        with device, bounded(spec.model, spec.options, where):
            model = architecture.create(num_classes, in_chans, spec.options, spec.small_input, where)
        own_input = input_of(getattr(model, "pretrained_cfg", None) or _PLAIN, size, in_chans)
    if config is not None and config.in_chans == in_chans:
        own_input = InputConfig(
            own_input.size,
            config.input.mean,
            config.input.std,
            config.input.interpolation,
            config.input.crop_pct,
        )
    names = None if config is None else config.class_names
    if found.tensors:
        warnings += found.warnings
        warnings += fit_weights(
            model, found.tensors, num_classes=num_classes, teacher=teacher, where=f"{where}.checkpoint"
        )
        if size is not None:
            warnings += size_note(found.tensors, model, size, trained, where)
        names = names or names_in(found.beside, num_classes)
    names = names or names_in({"class_names": getattr(model, "class_names", None)}, num_classes)
    return BuiltModel(
        model,
        own_input,
        spec.model,
        architecture.config.tag if spec.pretrained and isinstance(architecture, TimmArchitecture) else None,
        not spec.pretrained and spec.checkpoint is None,
        warnings,
        dict(spec.options),
        spec.small_input,
        sum(parameter.numel() for parameter in model.parameters()),
        names,
    )


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _trained_size(
    architecture: TimmArchitecture,
    spec: ModelSpec,
    found: FoundWeights,
    num_classes: int,
    in_chans: int,
    asked: tuple[int, int] | None,
    default: tuple[int, int],
    where: str,
) -> tuple[int, int] | None:
    """The input size that the weights of a file are for, where their shapes say that it is not `asked`."""
    if not architecture.config.fixed_input_size:
        return None  # no shape depends on it

    def build(size: tuple[int, int]) -> nn.Module:
        with torch.device("meta"):
            return architecture.create(
                num_classes, in_chans, size, spec.options, spec.small_input, False, where
            )

    return TrainedSize(found.tensors, build, f"{where}.checkpoint").find(asked, default)


_PLAIN = {"input_size": (3, 224, 224)}  # timm's defaults (ImageNet) for models that say nothing


def _with_config(spec: ModelSpec, config: StudentConfig | None, where: str) -> ModelSpec:
    """The spec completed by what a run directory says of the model."""
    if config is None:
        if cast("str | None", spec.model) is None:  # in a TeacherSpec
            hint = "only a run directory as 'checkpoint' knows its model"
            raise UserError(Problem(f"{where}.model", "is missing", hint=hint))
        return spec
    if spec.model not in (None, config.spec.model):
        raise UserError(
            Problem(
                f"{where}.model",
                f"the run directory {where}.checkpoint holds another model",
                value=spec.model,
                allowed=f"{config.spec.model!r}, or leave it out in a teacher",
            )
        )
    return spec.model_copy(
        update={
            "model": config.spec.model,
            "small_input": config.spec.small_input or spec.small_input,
            "options": {**config.spec.options, **spec.options},
        }
    )


def _check_pretrained(
    architecture: TimmArchitecture, num_classes: int, teacher: bool, where: str
) -> tuple[str, ...]:
    config = architecture.config
    where = f"{where}.pretrained"
    if not config.has_weights:
        raise UserError(Problem(where, f"timm has no pretrained weights of {architecture.tagged}"))
    if config.num_classes == num_classes:
        return ()
    known = (
        f"the weights know {config.num_classes} classes" if config.num_classes else "they have no classifier"
    )
    if teacher:
        raise UserError(
            Problem(
                where,
                f"{architecture.tagged}: {known}, the data has {num_classes}",
                hint="train the teacher on the data first: give its spec as 'run', with 'pretrained' there",
            )
        )
    return (f"{where}: {known}, the data has {num_classes}: the classifier starts from its initial values",)


def _check_built(
    model: nn.Module, architecture: TimmArchitecture, size: tuple[int, int], small_input: bool, where: str
) -> tuple[str, ...]:
    if not hasattr(model, "get_classifier"):
        raise UserError(
            Problem(
                f"{where}.model",
                "this is an encoder without a classifier; kd distills classifiers",
                value=architecture.tagged,
            )
        )
    try:
        return size_warnings(model, architecture.name, architecture.module, size, small_input, where)
    except UserError as error:
        problems = [Problem(f"{where}.model", p.message, hint=p.hint) for p in error.problems]
        raise UserError(problems) from error


def _refuse_pretrained(spec: ModelSpec, architecture: PluginArchitecture, where: str) -> None:
    if spec.pretrained:
        hint = "give its weights as 'checkpoint'"
        raise UserError(
            Problem(
                f"{where}.pretrained", f"{architecture.name} is not timm's, which has the weights", hint=hint
            )
        )
