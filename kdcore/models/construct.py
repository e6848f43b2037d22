"""From an architecture to a model with initial or pretrained weights: the constructor is called, the result checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from kdcore.description import description_of
from kdcore.errors import Problem, UserError
from kdcore.models.architecture import TimmArchitecture, default_size
from kdcore.models.budget import bounded, check_numbers
from kdcore.models.classifiers import limit_classifier
from kdcore.models.described import check_described
from kdcore.models.input import input_of
from kdcore.models.option_types import check_types
from kdcore.models.other_classes import OTHER_CLASSES, OtherClasses
from kdcore.models.size_warnings import size_warnings
from kdcore.models.trained_size import TrainedSize

if TYPE_CHECKING:
    from kdcore.data.inputs import InputConfig
    from kdcore.description import ModelDescription
    from kdcore.models.architecture import PluginArchitecture
    from kdcore.models.containers import FoundWeights
    from kdcore.spec.models import ModelSpec

_PLAIN: Final = {"input_size": (3, 224, 224)}  # timm's defaults (ImageNet) for models that say nothing


@dataclass(frozen=True)
class Frame:
    """What a model is built for.

    Attributes:
        num_classes: K; 0 for an encoder.
        in_chans: channels of the images.
        size: (height, width) of the input that the spec or a run directory gives, or None.
        fallback: (height, width) to use if nothing gives a size; None: the model's default.
        device: where the model is built; on 'meta' it has shapes only.
        load_weights: whether pretrained weights and checkpoints are opened.
        keep_classifier: whether weights for another number of classes are an error.
        where: the section's place in the spec.
    """

    num_classes: int
    in_chans: int
    size: tuple[int, int] | None
    fallback: tuple[int, int] | None
    device: torch.device
    load_weights: bool
    keep_classifier: bool
    where: str


@dataclass(frozen=True)
class Constructed:
    """A model before the weights of a checkpoint are loaded.

    Attributes:
        model: the model.
        input: the input size and the normalisation of its images.
        size: (height, width) that it was built for; None for a plugin's model without a given size.
        trained: the size that the checkpoint was trained with, if its shapes show another one.
        warnings: one line each for the user.
        description: what a plugin's model says about itself, or None.
    """

    model: nn.Module
    input: InputConfig
    size: tuple[int, int] | None
    trained: tuple[int, int] | None
    warnings: tuple[str, ...]
    description: ModelDescription | None = None


def construct(
    architecture: TimmArchitecture | PluginArchitecture, spec: ModelSpec, found: FoundWeights, frame: Frame
) -> Constructed:
    """Call the constructor with the spec's options, and check what it made.

    Raises:
        UserError: an option is wrong, or the model cannot be built like this.
        RunFailed: pretrained weights cannot be downloaded.
    """
    if isinstance(architecture, TimmArchitecture):
        return _construct_timm(architecture, spec, found, frame)
    return _construct_plugin(architecture, spec, frame)


def _construct_timm(
    architecture: TimmArchitecture, spec: ModelSpec, found: FoundWeights, frame: Frame
) -> Constructed:
    where = frame.where
    default = default_size(architecture, spec.small_input)
    trained = _trained_size(architecture, spec, found, frame, default) if found.tensors else None
    size = frame.size or trained or frame.fallback or default
    warnings = _check_pretrained(architecture, frame) if spec.pretrained else ()
    check_numbers(spec.options, where)
    pretrained = spec.pretrained and frame.load_weights and frame.device.type != "meta"
    with frame.device, bounded(spec.model, spec.options, where):
        model = architecture.create(
            frame.num_classes, frame.in_chans, size, spec.options, spec.small_input, pretrained, where
        )
    check_types(model, spec.options, where)
    if pretrained and warnings:
        limit_classifier(model)
    warnings += _check_built(model, architecture, size, spec, frame)
    taken = input_of(model.pretrained_cfg, size, frame.in_chans)  # type: ignore[arg-type]
    return Constructed(model, taken, size, trained, warnings)


def _construct_plugin(architecture: PluginArchitecture, spec: ModelSpec, frame: Frame) -> Constructed:
    where = frame.where
    if spec.pretrained:
        message = f"{architecture.name} is not a model of timm, and only those have pretrained weights"
        raise UserError(Problem(f"{where}.pretrained", message, hint="give its weights as 'checkpoint'"))
    with frame.device, bounded(spec.model, spec.options, where):
        model = architecture.create(frame.num_classes, frame.in_chans, spec.options, spec.small_input, where)
    description = description_of(model)
    if description is not None:
        # with a checkpoint, the classifier is that of its weights
        known = description if spec.checkpoint is None else replace(description, num_classes=None)
        taken, warnings = check_described(
            known,
            num_classes=frame.num_classes,
            in_chans=frame.in_chans,
            size=frame.size,
            fallback=frame.fallback,
            keep_classifier=frame.keep_classifier,
            where=where,
        )
        return Constructed(model, taken, frame.size, None, warnings, description)
    taken = input_of(getattr(model, "pretrained_cfg", None) or _PLAIN, frame.size, frame.in_chans)
    return Constructed(model, taken, frame.size, None, ())


def _trained_size(
    architecture: TimmArchitecture,
    spec: ModelSpec,
    found: FoundWeights,
    frame: Frame,
    default: tuple[int, int],
) -> tuple[int, int] | None:
    """The input size of a checkpoint's weights, if their shapes show that it is not the given one."""
    if not architecture.config.fixed_input_size:
        return None  # no shape depends on it

    def build(size: tuple[int, int]) -> nn.Module:
        with torch.device("meta"):
            return architecture.create(
                frame.num_classes, frame.in_chans, size, spec.options, spec.small_input, False, frame.where
            )

    given = frame.size or frame.fallback
    return TrainedSize(found.tensors, build, f"{frame.where}.checkpoint").find(given, default)


def _check_pretrained(architecture: TimmArchitecture, frame: Frame) -> tuple[str, ...]:
    config, num_classes = architecture.config, frame.num_classes
    where = f"{frame.where}.pretrained"
    if not config.has_weights:
        raise UserError(Problem(where, f"timm has no pretrained weights of {architecture.tagged}"))
    if num_classes in (config.num_classes, 0):
        return ()
    known = (
        f"the weights know {config.num_classes} classes" if config.num_classes else "they have no classifier"
    )
    if frame.keep_classifier:
        message = f"{architecture.tagged}: {known}, the data has {num_classes}"
        raise OtherClasses(Problem(where, message, hint=OTHER_CLASSES), config.num_classes)
    return (f"{where}: {known}, the data has {num_classes}: the classifier starts from its initial values",)


def _check_built(
    model: nn.Module, architecture: TimmArchitecture, size: tuple[int, int], spec: ModelSpec, frame: Frame
) -> tuple[str, ...]:
    where = frame.where
    if frame.num_classes != 0 and not hasattr(model, "get_classifier"):
        message = "this is an encoder without a classifier"
        hint = "as a teacher of features or embeddings, set teacher.classifier to false"
        raise UserError(Problem(f"{where}.model", message, value=architecture.tagged, hint=hint))
    made_of = (frame.num_classes, frame.in_chans, repr(sorted(spec.options.items())))
    try:
        return size_warnings(
            model, architecture.name, architecture.module, size, spec.small_input, where, made_of
        )
    except UserError as error:
        problems = [Problem(f"{where}.model", p.message, hint=p.hint) for p in error.problems]
        raise UserError(problems) from error
