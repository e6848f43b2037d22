"""A model from its section of the spec: built, and its weights loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from kdcore.errors import Problem, UserError
from kdcore.models.architecture import TimmArchitecture, check_options, find_architecture
from kdcore.models.channels import check_channels, surgery, with_channels
from kdcore.models.checkpoints import read_checkpoint
from kdcore.models.class_names import names_in
from kdcore.models.construct import Constructed, Frame, construct
from kdcore.models.containers import FoundWeights
from kdcore.models.parameters import count_parameters
from kdcore.models.student_config import TRANSFORMED, StudentConfig, config_of, untransformed
from kdcore.models.trained_size import size_note
from kdcore.models.weights import fit_weights
from kdcore.spec.image_size import sides
from kdcore.spec.models import ModelSource, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.data.inputs import InputConfig
    from kdcore.description import ModelDescription
    from kdcore.plugins import Plugins


@dataclass(frozen=True)
class BuiltModel:
    """A model, and what is known about it after building.

    Attributes:
        model: the model, in training mode as constructors leave it.
        input: the input size, and the model's own normalisation.
        name: the model's name in the spec.
        pretrained_tag: the tag of timm's weights that it has, or None.
        random_weights: whether all its weights are initial values.
        warnings: one line each for the user.
        options: the constructor's options, those of a run directory and those of the spec.
        small_input: whether it is the small-input variant.
        parameters: the number of its parameters; folding a teacher's batch norms does not change it.
        class_names: the classes that its weights know, in their order, or None.
        description: what a plugin's model says about itself, or None.
        new_classifier: whether its weights are those of an encoder, to which a classifier was added.
        channels: which channels of the run's images it takes; None: all.
        transforms: what changed it after it was built: `name`, `options` and `record` of each transform.
        notes: one line each for the user, about its transforms.
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
    description: ModelDescription | None = None
    new_classifier: bool = False
    channels: Literal["grey"] | tuple[int, ...] | None = None
    transforms: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def input_beside(self, images: InputConfig) -> InputConfig:
        """What it takes as a teacher, where the data gives these images: random weights have no normalisation."""
        if not self.random_weights:
            return self.input
        return replace(images.of_channels(self.channels), image_size=self.input.image_size)


def build_model(
    spec: ModelSource,
    *,
    num_classes: int,
    in_chans: int,
    image_size: int | tuple[int, int] | None,
    plugins: Plugins,
    where: str,
    device: str | torch.device = "cpu",
    load_weights: bool = True,
    fallback_size: int | tuple[int, int] | None = None,
    keep_classifier: bool = False,
) -> BuiltModel:
    """Build a model and load its weights.

    If `checkpoint` is a run directory, or the file of weights in one, it also gives the options, the small-input
    variant, the normalisation and, if `image_size` is None, the input size. In another file the shapes of the
    weights give the size, if they depend on it.

    Args:
        spec: the section of the spec.
        num_classes: K; 0: an encoder, whose constructor is called with `num_classes=0`.
        in_chans: channels of the images.
        image_size: side or (height, width) of the input; None: the model's own.
        plugins: where models of plugins are found.
        where: the section's place in the spec, for messages.
        device: 'cpu', or 'meta' for shapes only: nothing is downloaded, and a checkpoint's keys and shapes
            are checked without reading its values.
        load_weights: False: neither pretrained weights nor a checkpoint are opened.
        fallback_size: the input size if nothing gives one; None: the model's default.
        keep_classifier: True: weights for another number of classes are an error, as for a teacher; False: the
            classifier then starts from its initial values.

    Raises:
        UserError: the spec names something that does not exist or does not fit.
        RunFailed: pretrained weights cannot be downloaded.
    """
    config = config_of(spec.checkpoint, spec.model)
    given = None if image_size is None else sides(image_size)
    check_channels(config, in_chans, teacher=keep_classifier, where=where)
    size = given or (None if config is None else config.input.image_size)
    fallback = None if fallback_size is None else sides(fallback_size)
    frame = Frame(
        num_classes, in_chans, size, fallback, torch.device(device), load_weights, keep_classifier, where
    )
    complete = _complete(spec, config, where)
    check_options(complete.options, where)
    architecture = find_architecture(complete.model, plugins, where)
    found = _read_weights(complete, config, frame)
    made = construct(architecture, complete, found, frame)
    grown = config is not None and config.num_classes == 0 and num_classes > 0 and not keep_classifier
    warnings = made.warnings
    if found.tensors:
        adapted, more = with_channels(made.model, found.tensors, in_chans, where)
        found = dataclasses.replace(found, tensors=dict(adapted))
        warnings += more + _load_weights(made, found, frame, grown)
    elif complete.pretrained:
        warnings += surgery(made.model, in_chans, where)
    tag = None
    if complete.pretrained and isinstance(architecture, TimmArchitecture):
        tag = architecture.config.tag
    return BuiltModel(
        made.model,
        _normalised(made.input, config, in_chans),
        complete.model,
        tag,
        not complete.pretrained
        and complete.checkpoint is None
        and not (made.description is not None and made.description.has_weights),
        warnings,
        dict(complete.options),
        complete.small_input,
        count_parameters(made.model),
        _class_names(made, found, config, num_classes),
        made.description,
        grown,
    )


def _complete(spec: ModelSource, config: StudentConfig | None, where: str) -> ModelSpec:
    """The spec with what the run directory says about its model."""
    fields = {name: getattr(spec, name) for name in ModelSource.model_fields}
    if config is None:
        if spec.model is None:
            hint = "only a run directory as 'checkpoint' knows its model"
            raise UserError(Problem(f"{where}.model", "is missing", hint=hint))
        return ModelSpec(**fields)
    if spec.model not in (None, *config.names):
        raise UserError(
            Problem(
                f"{where}.model",
                f"the run directory {where}.checkpoint holds another model",
                value=spec.model,
                allowed=f"{' or '.join(map(repr, config.names))}, or leave it out in a teacher",
            )
        )
    fields["model"] = config.spec.model
    if config.spec.model == TRANSFORMED:
        if spec.model != TRANSFORMED:
            _check_as_before(spec, config, where)
        return ModelSpec(**{**fields, "small_input": False, "options": dict(config.spec.options)})
    fields["small_input"] = config.spec.small_input or spec.small_input
    fields["options"] = {**config.spec.options, **spec.options}
    return ModelSpec(**fields)


def _check_as_before(spec: ModelSource, config: StudentConfig, where: str) -> None:
    """Raises UserError for options that a student with transforms did not have: they are fixed."""
    own = untransformed(config.spec).options
    problems = [
        Problem(f"{where}.options.{name}", "the student in the run directory was built without it", value)
        if name not in own
        else Problem(
            f"{where}.options.{name}", "the student in the run directory has another", value, str(own[name])
        )
        for name, value in spec.options.items()
        if name not in own or own[name] != value
    ]
    if problems:
        raise UserError(problems)


def _read_weights(spec: ModelSpec, config: StudentConfig | None, frame: Frame) -> FoundWeights:
    if spec.checkpoint is None or not frame.load_weights:
        return FoundWeights({})
    file = Path(spec.checkpoint) if config is None else config.weights
    return read_checkpoint(file, f"{frame.where}.checkpoint", shapes_only=frame.device.type == "meta")


def _load_weights(
    made: Constructed, found: FoundWeights, frame: Frame, known_encoder: bool
) -> tuple[str, ...]:
    """Load the checkpoint into the model; the warnings about it."""
    warnings = found.warnings + fit_weights(
        made.model,
        found.tensors,
        num_classes=frame.num_classes,
        keep_classifier=frame.keep_classifier,
        where=f"{frame.where}.checkpoint",
        known_encoder=known_encoder,
    )
    if made.size is not None:
        warnings += size_note(found.tensors, made.model, made.size, made.trained, frame.where)
    return warnings


def _normalised(taken: InputConfig, config: StudentConfig | None, in_chans: int) -> InputConfig:
    """The input of a model with the normalisation of the run directory that it comes from."""
    if config is None or config.in_chans != in_chans:
        return taken
    return dataclasses.replace(config.input, image_size=taken.image_size)


def _class_names(
    made: Constructed, found: FoundWeights, config: StudentConfig | None, num_classes: int
) -> tuple[str, ...] | None:
    """The names of the classes, from the run directory, the file of weights or the model."""
    names = None if config is None else config.class_names
    if found.tensors:
        names = names or names_in(found.beside, num_classes)
    if made.description is not None:
        return names or made.description.class_names
    return names or names_in({"class_names": getattr(made.model, "class_names", None)}, num_classes)
