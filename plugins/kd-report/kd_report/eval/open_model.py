"""A model by its name or from a checkpoint, opened with the images of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kd_report.eval.named_teacher import StudentSide, named_teacher
from kd_report.eval.opened import (
    Opened,
    OpenedImages,
    Setting,
    check_classes,
    check_predicts,
    checked_top_k,
    with_flags,
)
from kd_report.eval.problem_places import reported_at_flags
from kdcore import FoundTeacher, OpenedModel, Problem, UserError
from kdcore.inspect import (
    DataSpec,
    ModelSource,
    build_eval_data,
    build_model,
    evaluation_images,
    find_adapter,
    load_config,
    open_split,
    pretrained_names,
    resolve_input,
)

if TYPE_CHECKING:
    import torch

    from kd_report.eval.request import EvalRequest
    from kdcore.inspect import BuiltModel, Source
    from kdcore.plugin import Plugins

_BATCH = 64


def open_model(request: EvalRequest, name: str | None, device: torch.device, plugins: Plugins) -> Opened:
    """The model `name` (None: as the checkpoint says), the images and the teacher of a request.

    Raises:
        UserError: one of them is not available, or they do not fit each other.
    """
    data = named_data(request, "Only a run knows its own images")
    with reported_at_flags(request):
        source = open_split(data, data.eval_split or "", plugins=plugins, where="data.eval_split")
    num_classes, built = _build(request, name, source, data, plugins)
    check_predicts(num_classes, built.name)
    names = built.class_names
    if built.pretrained_tag is not None:
        names = names or pretrained_names(getattr(built.model, "pretrained_cfg", {}), source.classes)
    check_classes(source, num_classes, names, request.images)
    student = OpenedModel(
        name=built.name,
        model=built.model.to(device).eval(),
        adapter=find_adapter(built.model, None, plugins, "model.adapter"),
        input=resolve_input(data, built.input),
    )
    warnings = source.notes + built.warnings
    if built.random_weights:
        warnings += ("its weights are random: add --pretrained or --checkpoint",)
    return on_data(request, student, data, source, (num_classes, names), warnings, device, plugins)


def named_data(request: EvalRequest, why: str) -> DataSpec:
    """The dataset of `--data`; `why` it is needed is said where it is missing."""
    images = request.images
    if images.dataset is None:
        hint = "give a registered name, a folder, a tar file, or a dataset of timm such as 'torch/...'"
        raise UserError(Problem("--data", f"which images? {why}", hint=hint))
    data = DataSpec(
        dataset=images.dataset,
        root=images.root,
        eval_split=images.split or "test",
        image_size=request.model.image_size,
    )
    return with_flags(data, replace(images, split=None))


def on_data(
    request: EvalRequest,
    student: OpenedModel,
    data: DataSpec,
    source: Source,
    known: tuple[int, tuple[str, ...] | None],
    warnings: tuple[str, ...],
    device: torch.device,
    plugins: Plugins,
) -> Opened:
    """A model with the images of a dataset, and the teacher that the request names.

    Args:
        request: images and teacher.
        student: the model, on the device.
        data: the dataset.
        source: its split.
        known: the number of the model's classes, and their names if these are known.
        warnings: those about the model and the data.
        device: where models run.
        plugins: where the teacher is looked for.

    Raises:
        UserError: there is no such teacher, it has other classes, or the k of a top-k accuracy do not fit.
    """
    num_classes, names = known
    top_k = checked_top_k(request.top_k, num_classes, several=source.label_sets is not None)
    classes, teacher = names or source.classes, FoundTeacher()
    if isinstance(request.teacher, str):
        side = StudentSide(
            input=student.input, channels=data.channels, num_classes=num_classes, classes=classes
        )
        found, more = named_teacher(request.teacher, side, device, plugins)
        teacher, warnings = FoundTeacher(model=found), warnings + more
    chosen = evaluation_images(source, data, request.images.samples)
    batches = build_eval_data(
        chosen, data, student.input, batch_size=_BATCH, num_classes=num_classes, device=device
    )
    return Opened(
        student=student,
        teacher=teacher,
        images=OpenedImages(
            batches=batches, dataset=data.dataset, split=source.split, channels=data.channels
        ),
        setting=Setting(device=device),
        weights=None,
        warnings=warnings,
        top_k=top_k,
        classes=classes,
    )


def _build(
    request: EvalRequest, name: str | None, source: Source, data: DataSpec, plugins: Plugins
) -> tuple[int, BuiltModel]:
    spec = ModelSource(
        model=name,
        pretrained=request.model.pretrained,
        checkpoint=request.model.checkpoint,
        small_input=request.model.small_input,
        options=dict(request.model.options),
    )
    num_classes = _num_classes(source, spec)
    with reported_at_flags(request):
        built = build_model(
            spec,
            num_classes=num_classes,
            in_chans=data.channels,
            image_size=data.image_size,
            plugins=plugins,
            where="model",
            keep_classifier=True,
        )
    return num_classes, built


def _num_classes(source: Source, spec: ModelSource) -> int:
    config = None if spec.checkpoint is None else load_config(Path(spec.checkpoint))
    if config is not None:
        return config.num_classes
    if source.labelled and source.num_classes is not None:
        return source.num_classes
    if spec.pretrained:
        import timm

        known = timm.models.get_pretrained_cfg(str(spec.model))
        if known is not None and known.num_classes:
            return int(known.num_classes)
    message = "the number of classes is not known: neither the data nor the weights have it"
    raise UserError(Problem("--data", message, hint="use labelled images, in a folder for each class"))
