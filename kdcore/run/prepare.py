"""From a loaded spec to everything that a run needs, in stages. On the meta device this check needs no memory.

splits -> models -> (averaged student) -> distillation -> training and evaluation data -> Prepared
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn

from kdcore.data import build_eval_data, build_train_data
from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.evaluate import WithoutLabels, eval_batch_size
from kdcore.data.special_targets import has_label
from kdcore.data.training_set import TrainingSet, training_set
from kdcore.data.transforms import train_transform
from kdcore.distill.adapted_model import AdaptedModel
from kdcore.distill.classes import check_classes
from kdcore.distill.distillation import Distillation
from kdcore.distill.models import RunModels, build_models, teacher_channels_last, with_average
from kdcore.distill.recompute import checkpoint_blocks
from kdcore.distill.sync_norm import synchronised
from kdcore.distill.teacher_classes import DataClasses
from kdcore.models.by_sample import AnswersBySample
from kdcore.run.prepare_checks import (
    check_measures,
    check_needs,
    check_trainable,
    notes_of,
    slow_precision,
    unread_teachers,
    warnings_of,
)
from kdcore.run.shipped import averaged_with_head, check_shipped
from kdcore.run.some_labels import check_mixing
from kdcore.run.table_teacher import TableRows, check_tables, find_rows
from kdcore.run.task import task_loss
from kdcore.run.views import view_recipes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.data import EvalData, Source, TrainData
    from kdcore.distill.splits import Splits
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import DataSpec, RunSpec


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Process:
    """The number of this process, the number of all processes, and the device."""

    device: torch.device
    rank: int = 0
    world: int = 1


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that a run trains, and the data.

    Attributes:
        models: student and teacher as built.
        distillation: the module that is trained.
        train: the training images of this process.
        eval: the evaluation images of this process.
        gallery: for a student without a classifier, the labelled training images of this process, prepared as for
            evaluation; None if there are none, or the evaluation images have no labels.
        ema: the averaged student, or None.
        teacher_averages: with an averaged student, the averages of the teachers that learn, by name.
        warnings: one line each, for the user.
        train_split: the training split's name on disk.
        eval_split: the evaluation split's name on disk; None if there is none.
        test: the images of this process for the test of the finished student, or None.
        test_split: the name of their split on disk, or None.
        tables: the rows of each teacher that is a table of outputs, by the teacher's name.
    """

    models: RunModels
    distillation: Distillation
    train: TrainData
    eval: EvalData
    gallery: EvalData | None
    ema: ModelEmaV3 | None
    teacher_averages: Mapping[str, ModelEmaV3]
    warnings: tuple[str, ...]
    train_split: str
    eval_split: str | None
    test: EvalData | None
    test_split: str | None
    tables: Mapping[str, TableRows]


def prepare(loaded: LoadedSpec, splits: Splits, plugins: Plugins, process: Process) -> Prepared:
    """Build models, distillers and data; on the meta device only shapes, without reading weights.

    Raises:
        UserError: a model cannot be built or loaded, the classes differ, or a distiller does not support the pair.
    """
    spec = loaded.spec
    models = build_models(loaded, DataClasses(splits.num_classes, splits.classes), plugins, process.device)
    check_trainable(models)
    class_warnings = check_classes(loaded, models, splits.classes)
    ema = _averaged(models.student.module, spec, process)
    averages = {
        name: one
        for name, placed in models.teachers.items()
        if placed.learns and (one := _averaged(placed.module, spec, process)) is not None
    }
    if any(teacher.of_student for teacher in models.teachers.values()):
        average = copy.deepcopy(models.student.module) if ema is None else ema.module
        models = with_average(models, average)
    student = _student(models, spec, process)
    chosen = training_set(splits.train, spec.data, seed=spec.seed, num_classes=splits.num_classes)
    distillation = _distillation(loaded, models, student, chosen, splits)
    _set_teachers(distillation, spec, process)
    if _norms_are_shared(spec, process):
        heads = synchronised(distillation.distillers, process.device)
        distillation.distillers = cast("nn.ModuleList", heads)
        for learner in distillation.learners:
            synchronised(learner, process.device)
    if process.device.type == "meta":  # the check before each run
        check_shipped(distillation, models, spec)
    ema = averaged_with_head(distillation, ema, spec)
    if process.device.type not in ("cpu", "meta"):
        distillation.trust_targets()  # labels were compared with the classes when they were read
    check_needs(distillation, splits, spec)
    if distillation.some_labels:
        check_mixing(distillation, spec.data)
    check_measures(splits, spec)
    tables = _tables(spec, splits, models, chosen, distillation)
    table_notes = [note for table in tables.values() for note in table.notes]
    return Prepared(
        models=models,
        distillation=distillation,
        train=_train_data(spec, splits, models, chosen, distillation, process),
        eval=_eval_data(spec, splits, models, process),
        gallery=_gallery(spec, splits, models, chosen, process),
        ema=ema,
        teacher_averages=averages,
        warnings=(
            *notes_of(splits),
            *class_warnings,
            *warnings_of(loaded, models),
            *slow_precision(spec, process.device),
            *unread_teachers(distillation),
            *table_notes,
        ),
        train_split=splits.train.split,
        eval_split=None if spec.data.eval_split is None else splits.eval.split,
        test=_test_data(spec, splits, models, process),
        test_split=None if splits.test is None else splits.test.split,
        tables=tables,
    )


def _averaged(model: nn.Module, spec: RunSpec, process: Process) -> ModelEmaV3 | None:
    """A copy of a model that averages its weights, made before any hook is set."""
    if spec.train.ema is None or process.device.type == "meta":
        return None
    return ModelEmaV3(model, decay=spec.train.ema)


def _student(models: RunModels, spec: RunSpec, process: Process) -> nn.Module:
    """The student for training: with recomputed activations and norms over the whole batch, if set."""
    student = models.student.module
    if spec.train.grad_checkpointing:
        checkpoint_blocks(student, models.student.built.name)
    return synchronised(student, process.device) if _norms_are_shared(spec, process) else student


def _norms_are_shared(spec: RunSpec, process: Process) -> bool:
    return spec.train.sync_bn and process.world > 1


def _distillation(
    loaded: LoadedSpec,
    models: RunModels,
    student: nn.Module,
    chosen: TrainingSet,
    splits: Splits,
) -> Distillation:
    spec, num_classes = loaded.spec, splits.num_classes
    return Distillation(
        AdaptedModel(
            model=student,
            adapter=models.student.adapter,
            images=models.student.images,
            channels=models.student.channels,
            classifier=models.student.classifier,
        ),
        {name: teacher.adapted for name, teacher in models.teachers.items()},
        loaded.distillers,
        num_classes=num_classes,
        image_size=models.input.image_size,
        train_size=chosen.size,
        train_labels=chosen.labels if splits.train.label_sets is None else None,
        some_labels=chosen.some_labels,
        partly_labelled=splits.train.label_sets is not None and splits.train.label_sets.partial,
        batch_size=spec.train.batch_size,
        task=spec.task.kind,
        task_weight=spec.task.weight,
        task_loss=task_loss(spec, chosen, splits),
        task_views=spec.task.views,
        in_chans=spec.data.channels,
        seed=spec.seed,
    )


def _set_teachers(distillation: Distillation, spec: RunSpec, process: Process) -> None:
    """Set each teacher's precision and memory layout, and fold its norms."""
    for member in spec.members:
        teacher, given = distillation.teacher_passes[member.name], member.spec
        dtype = None if given.precision is None else _DTYPES[given.precision]
        teacher.set(precision=dtype, channels_last=teacher_channels_last(spec, given))
        if given.learns or given.of is not None or process.device.type == "meta":
            continue
        if given.fold:
            teacher.fold()
        half = (given.precision or spec.train.precision) != "fp32"
        if half and given.channels_last is None and not spec.train.channels_last:
            teacher.use_channels_last()


def _train_data(
    spec: RunSpec,
    splits: Splits,
    models: RunModels,
    chosen: TrainingSet,
    distillation: Distillation,
    process: Process,
) -> TrainData:
    return build_train_data(
        splits.train,
        spec.data,
        models.input,
        batch_size=spec.train.batch_size,
        seed=spec.seed,
        num_classes=splits.num_classes,
        rank=process.rank,
        world=process.world,
        views=view_recipes(spec.data, distillation),
        partner=distillation.requires.partner is not None,
        augmentations=None if spec.teacher_cache is None else spec.teacher_cache.augmentations,
        device=process.device,
        chosen=chosen,
        labels_read=distillation.task_weight != 0 or distillation.requires.reads_labels,
    )


def _eval_data(spec: RunSpec, splits: Splits, models: RunModels, process: Process) -> EvalData:
    evaluation = _for_evaluation(spec, splits.eval, spec.data, splits, models, process)
    return WithoutLabels(evaluation) if spec.data.eval_split is None else evaluation


def _test_data(spec: RunSpec, splits: Splits, models: RunModels, process: Process) -> EvalData | None:
    """All images of the test split, which are read once."""
    if splits.test is None:
        return None
    data = spec.data.model_copy(update={"eval_samples": None, "in_memory": False})
    return _for_evaluation(spec, splits.test, data, splits, models, process)


def _gallery(
    spec: RunSpec, splits: Splits, models: RunModels, chosen: TrainingSet, process: Process
) -> EvalData | None:
    """The training images that answer for those of the evaluation, if both have labels."""
    train, labelled = splits.train, splits.train.labelled and splits.eval.labelled
    if spec.student.classifier or spec.data.eval_split is None or not labelled or train.stream:
        return None
    source = train if chosen.positions is None else ChosenSource(train, chosen.positions)
    if chosen.some_labels and source.labels is not None:
        source = ChosenSource(source, np.flatnonzero(has_label(source.labels).numpy()))
    data = spec.data.model_copy(update={"eval_samples": None})
    return _for_evaluation(spec, at_most(source, spec.data.gallery_samples), data, splits, models, process)


def _for_evaluation(
    spec: RunSpec, source: Source, data: DataSpec, splits: Splits, models: RunModels, process: Process
) -> EvalData:
    return build_eval_data(
        source,
        data,
        models.input,
        batch_size=eval_batch_size(spec.train.batch_size),
        rank=process.rank,
        world=process.world,
        num_classes=splits.num_classes,
        device=process.device,
    )


def _tables(
    spec: RunSpec, splits: Splits, models: RunModels, chosen: TrainingSet, distillation: Distillation
) -> dict[str, TableRows]:
    """The rows of the teachers that are tables of outputs."""
    members = [
        member for member in spec.members if isinstance(models.teachers[member.name].module, AnswersBySample)
    ]
    if not members:
        return {}
    places = {member.name: f"{member.where}.options.path" for member in members}
    check_tables(spec, distillation.requires, list(places.values()), stream=splits.train.stream)
    found = {}
    changed = bool(train_transform(spec.data, models.input).draws)
    for name, where in places.items():
        table = cast("AnswersBySample", models.teachers[name].module)
        rows = find_rows(table, splits, chosen.positions, spec.data, where)
        told = (
            f"{where}: the table has one row for each file: the augmented images get the outputs of the whole one",
        )
        found[name] = replace(rows, notes=rows.notes + (told if changed else ()))
    return found
