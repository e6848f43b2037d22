"""The target of `kd eval`, opened: a run, a checkpoint, an export or a model by its name, with images and a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kd_report.eval.named_teacher import StudentSide, named_teacher
from kd_report.eval.open_exported import open_exported
from kd_report.eval.open_model import open_model
from kd_report.eval.opened import (
    Opened,
    OpenedImages,
    Setting,
    check_classes,
    check_no_model_flags,
    check_predicts,
    checked_top_k,
    with_flags,
)
from kd_report.eval.problem_places import reported_at_flags
from kdcore import FoundTeacher, ModelEntry, Problem, UserError, open_run
from kdcore.inspect import find_run, is_export, load_config, read_checkpoint, read_spec
from kdcore.plugin import nearest

if TYPE_CHECKING:
    import torch

    from kd_report.eval.request import EvalRequest
    from kdcore.plugin import Plugins


def open_target(request: EvalRequest, device: torch.device, plugins: Plugins) -> Opened:
    """Find and build everything that a request names.

    Raises:
        UserError: the target, the data or the teacher is not available, or they do not fit each other.
    """
    target, model = request.target, request.model
    path = Path(target)
    named = model.name is not None or model.pretrained or model.checkpoint is not None
    if path.is_dir() and load_config(path) is not None and not (path / "spec.json").is_file():
        check_no_model_flags(request, "a student's folder, which knows its model", shaped=True)
        _check_one_student(request)
        return open_model(_with_checkpoint(request), None, device, plugins)
    if is_export(path):
        return open_exported(request, device, plugins, _open_run)
    if path.is_dir() or (not path.is_file() and not named and _is_path(target, plugins)):
        check_no_model_flags(request, "a run, which knows its model")
        return _open_run(request, device, plugins)
    _check_one_student(request)
    if path.is_file():
        if model.checkpoint is not None:
            hint = "give one checkpoint: as TARGET with --model, or with --checkpoint and a model's name as TARGET"
            raise UserError(Problem("--checkpoint", "TARGET is a checkpoint, too", target, hint=hint))
        if model.name is None:
            read_checkpoint(path, "TARGET", shapes_only=True)  # fails if it is not a checkpoint
            hint = "add --model NAME, or give a run directory, which knows its model"
            raise UserError(
                Problem("--model", "a checkpoint does not contain the name of its model", hint=hint)
            )
        return open_model(_with_checkpoint(request), model.name, device, plugins)
    if model.name not in (None, target):
        message = "there is no such checkpoint file; --model names the model of one"
        raise UserError(
            Problem("TARGET", message, target, hint="leave --model out if TARGET is a model's name")
        )
    return open_model(request, target, device, plugins)


def _check_one_student(request: EvalRequest) -> None:
    """Raises UserError for --ema or --best with a target that is not a run."""
    if request.weights != "last":
        message = "only a run has more than one set of weights"
        raise UserError(Problem(f"--{request.weights}", message, hint="leave it out"))


def _with_checkpoint(request: EvalRequest) -> EvalRequest:
    return replace(request, model=replace(request.model, checkpoint=request.target))


def _is_path(target: str, plugins: Plugins) -> bool:
    """Whether a target that does not exist was meant as a run, not as a model's name."""
    import timm

    plain = target.removeprefix("timm/").partition(".")[0]
    names = {item.entry.name for item in plugins.all(ModelEntry)} | {
        item.qualified for item in plugins.all(ModelEntry)
    }
    if timm.is_model(plain) or target in names:
        return False
    if "/" in target or target.startswith("."):
        return True
    return nearest(plain, [*timm.list_models(), *names]) is None


def _open_run(request: EvalRequest, device: torch.device, plugins: Plugins) -> Opened:
    directory = find_run(request.target)
    data = with_flags(read_spec(directory).data, request.images)
    with reported_at_flags(request):
        run = open_run(
            directory.path,
            student=request.weights,
            teacher=request.teacher is True,
            data=data,
            most=request.images.samples,
            device=device,
            plugins=plugins,
        )
    student, source, teacher = run.student, run.images.chosen, run.teacher
    check_predicts(student.num_classes, student.name)
    check_classes(source, student.num_classes, student.classes, request.images)
    several = student.thresholds is not None or source.label_sets is not None
    of_run = run.spec.task.top_k
    top_k = checked_top_k(request.top_k, student.num_classes, several=several, of_run=of_run)
    warnings = source.notes
    if isinstance(request.teacher, str):
        side = StudentSide(
            input=student.images,
            channels=data.channels,
            num_classes=student.num_classes,
            classes=student.classes,
        )
        found, more = named_teacher(request.teacher, side, device, plugins)
        teacher, warnings = FoundTeacher(model=found), warnings + more
    train = run.spec.train
    return Opened(
        student=student,
        teacher=teacher,
        images=OpenedImages(
            batches=run.images.batches, dataset=data.dataset, split=source.split, channels=data.channels
        ),
        setting=Setting(device=device, precision=train.precision, channels_last=train.channels_last),
        weights=request.weights,
        warnings=warnings,
        metrics=None if run.spec.metrics is None else tuple(run.spec.metrics),
        top_k=top_k,
        classes=student.classes,
        thresholds=student.thresholds,
    )
