"""What does not go together in a prepared run, and what its user should know."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import torch

from kdcore.distill.model_images import stretched
from kdcore.errors import Problem, UserError
from kdcore.protocols import PreparesFromTeacher

if TYPE_CHECKING:
    from kdcore.distill.distillation import Distillation
    from kdcore.distill.models import RunModels
    from kdcore.distill.splits import Splits
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec


def check_trainable(models: RunModels) -> None:
    """Raises UserError if the student is a model for teachers alone."""
    student = models.student.built
    if student.description is not None and not student.description.trainable:
        message = "this model cannot be trained: it is for teachers"
        raise UserError(Problem("student.model", message, value=student.name))


def notes_of(splits: Splits) -> tuple[str, ...]:
    """Notes about the images; two splits may be the same one."""
    tested = () if splits.test is None else splits.test.notes
    return tuple(dict.fromkeys(splits.train.notes + splits.eval.notes + tested))


def warnings_of(loaded: LoadedSpec, models: RunModels) -> tuple[str, ...]:
    """Warnings about the models: weights, sizes and normalisation that may not be meant."""
    warnings = models.student.built.warnings + _unknown_normalisation(loaded.spec, models)
    for member in loaded.spec.members:
        if member.spec.of is not None:
            continue
        teacher = models.teachers[member.name].built
        warnings += teacher.warnings + stretched(models.input, teacher.input, member.where)
        if not member.spec.learns and teacher.random_weights and member.name not in loaded.teachers:
            warnings += (f"{member.where}: its weights are random: set 'pretrained', 'checkpoint' or 'run'",)
    return warnings


def _unknown_normalisation(spec: RunSpec, models: RunModels) -> tuple[str, ...]:
    """A warning for channels whose mean and deviation nobody said."""
    missing = [f"data.{name}" for name in ("mean", "std") if getattr(spec.data, name) is None]
    if models.student.channels in (1, 3) or not missing:
        return ()
    count = models.student.channels
    return (
        f"{' and '.join(missing)}: not given for images of {count} channels; each channel gets the average of the "
        "model's own. 'kd data SPEC --stats' measures them",
    )


def slow_precision(spec: RunSpec, device: torch.device) -> tuple[str, ...]:
    """A warning for 16-bit floats on an x86 CPU without AVX-512: torch emulates them there, many times slower."""
    places = {"train.precision": spec.train.precision}
    places |= {
        f"{member.where}.precision": member.spec.precision for member in spec.members if member.spec.precision
    }
    slow = {where: value for where, value in places.items() if value != "fp32"}
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64") or not slow:
        return ()
    if torch.backends.cpu.get_cpu_capability() not in ("NO AVX", "DEFAULT", "AVX2"):
        return ()
    return tuple(
        f"{where}: {value} is many times slower than fp32 on this CPU, which has no AVX-512"
        for where, value in slow.items()
    )


def unread_teachers(distillation: Distillation) -> tuple[str, ...]:
    """A warning for each of several teachers that no distiller reads."""
    teachers = distillation.teacher_passes
    if len(teachers) < 2:
        return ()
    return tuple(
        f"teacher '{name}': no distiller reads it" for name, one in teachers.items() if not one.is_read
    )


def check_measures(splits: Splits, spec: RunSpec) -> None:
    """Raises UserError if the data lack what `train.metric` or `task.top_k` needs."""
    metric = spec.train.metric
    if metric is not None and not splits.eval.labelled and metric not in ("agreement", "neighbour_agreement"):
        message = "it needs labels, and the evaluation images have none"
        raise UserError(Problem("train.metric", message, metric, "agreement, null"))
    classes = splits.num_classes
    for number, k in enumerate(spec.task.top_k):
        if k >= classes:
            message = f"with {classes} classes the top-{k} accuracy of every model is 100 %"
            allowed = f"a number from 1 to {classes - 1}"
            raise UserError(Problem(f"task.top_k[{number}]", message, k, allowed))


def check_needs(distillation: Distillation, splits: Splits, spec: RunSpec) -> None:
    """Raises UserError if the training images lack what a distiller needs."""
    requires = distillation.requires
    if requires.partner is not None:
        who = distillation.who(lambda one: one.partner is not None)
        if splits.train.stream:
            message = f"{who} another image of the class, but the samples of a stream are not known"
            raise UserError(Problem("distiller", message, hint="use a dataset that is not a stream"))
        if spec.data.mixup > 0 or spec.data.cutmix > 0:
            mixed = "mixup" if spec.data.mixup > 0 else "cutmix"
            message = f"{who} another image of the class, and a mixed image has several classes"
            raise UserError(Problem(f"data.{mixed}", message, value=getattr(spec.data, mixed), allowed="0"))
    for name, distiller in zip(distillation.names, distillation.distillers, strict=True):
        if splits.train.stream and isinstance(distiller, PreparesFromTeacher):
            message = (
                f"distiller '{name}' looks at the teacher's outputs for all samples before the first step"
            )
            hint = "use a dataset that is not a stream, or another distiller"
            raise UserError(
                Problem("distiller", f"{message}; the samples of a stream are not known", hint=hint)
            )
    if requires.target and not splits.train.labelled:
        who = distillation.who(lambda one: one.target)
        raise UserError(
            Problem("distiller", f"{who} the ground truth, but the training images have no labels")
        )
    if requires.sample_index and splits.train.stream:
        who = distillation.who(lambda one: one.sample_index)
        raise UserError(
            Problem(
                "distiller",
                f"{who} each sample's position in the training set, but a stream has no positions",
                hint="use a dataset that is not a stream, or another distiller",
            )
        )
