"""From a loaded spec to everything a run needs: data, models, distillers. On the meta device it is a check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from timm.utils import ModelEmaV3
from torch import nn

from kdcore.data import build_eval_data, build_train_data, check_same_classes, open_split
from kdcore.data.evaluate import WithoutLabels
from kdcore.data.inputs import InputConfig, resolve_input
from kdcore.distill.distillation import Distillation
from kdcore.distill.recompute import checkpoint_blocks
from kdcore.distill.seeds import derive
from kdcore.distill.sync_norm import synchronised
from kdcore.distill.teacher_images import TeacherImages
from kdcore.errors import Problem, UserError
from kdcore.features import find_adapter
from kdcore.models import BuiltModel, build_model, load_config
from kdcore.models.class_names import check_class_names, difference, pretrained_names
from kdcore.models.digest import weights_digest

if TYPE_CHECKING:
    from kdcore.data import EvalData, Source, TrainData
    from kdcore.plugins import Plugins
    from kdcore.protocols import FeatureAdapter
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import ModelSpec, RunSpec


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Splits:
    """The images to train on and those to evaluate on; K, and the classes' names where they are known."""

    train: Source
    eval: Source
    num_classes: int
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Prepared:
    """What is trained, on what, and what it learns from.

    `teacher_weights` is the digest of the teacher's weights as they were loaded, None on the meta device; `adapters`
    are those of student and teacher. The splits are called what they are called on disk.
    """

    distillation: Distillation
    train: TrainData
    eval: EvalData
    student: BuiltModel
    teacher: BuiltModel | None
    teacher_weights: str | None
    adapters: tuple[FeatureAdapter | None, ...]
    ema: ModelEmaV3 | None
    input: InputConfig
    teacher_images: TeacherImages | None
    warnings: tuple[str, ...]
    train_split: str
    eval_split: str | None


def open_splits(loaded: LoadedSpec, plugins: Plugins, teacher_classes: int | None = None) -> Splits:
    """Open both splits and settle the number of classes: the data's, the spec's, or at last the teacher's.

    Raises:
        UserError: a split is missing, the splits' classes differ, or K is not to be had.
    """
    spec, data = loaded.spec, loaded.spec.data
    train = open_split(data, data.train_split, plugins=plugins, where="data.train_split")
    evaluation = train
    if data.eval_split is not None:
        evaluation = open_split(data, data.eval_split, plugins=plugins, where="data.eval_split")
        check_same_classes(train, evaluation, where="data.eval_split")
    labelled = train if train.labelled else evaluation
    found = labelled.num_classes if labelled.labelled else None
    if found is not None and data.num_classes not in (None, found):
        raise UserError(
            Problem("data.num_classes", f"{data.dataset} has {found} classes", value=data.num_classes)
        )
    num_classes = found or data.num_classes or teacher_classes or _recorded_classes(loaded)
    if num_classes is None:
        raise UserError(
            Problem(
                "data.num_classes", f"{data.dataset} does not tell how many classes there are: say it here"
            )
        )
    if num_classes < 2:
        raise UserError(Problem("data.dataset", f"{data.dataset} has one class only; classifying needs two"))
    if not train.labelled and spec.task.weight != 0:
        which = f"the images of split '{train.split}'" if train.split else "the training images"
        raise UserError(
            Problem(
                "task.weight",
                f"{which} have no labels, which the task loss reads",
                value=spec.task.weight,
                hint="set it to 0, or give the images in a folder per class",
            )
        )
    return Splits(train, evaluation, num_classes, labelled.classes)


def _recorded_classes(loaded: LoadedSpec) -> int | None:
    """K of the teacher, from its run directory."""
    directory = loaded.teacher.directory.path if loaded.teacher is not None else None
    if directory is None and loaded.spec.teacher is not None and loaded.spec.teacher.checkpoint is not None:
        directory = Path(loaded.spec.teacher.checkpoint)
    config = None if directory is None else load_config(directory)
    return None if config is None else config.num_classes


@dataclass(frozen=True)
class TeacherPlan:
    """The teacher as a model to build.

    `size` is the side of its input, None where what its weights know holds; `fallback` where they know none either.
    """

    model: ModelSpec
    size: int | None
    fallback: int | None = None


def plan_teacher(loaded: LoadedSpec, student: InputConfig) -> TeacherPlan | None:
    """Which teacher to build: the spec's, or the student of `teacher.run`, from its run directory once finished."""
    teacher = loaded.spec.teacher
    if teacher is None:
        return None
    if loaded.teacher is None:
        # pretrained weights and run directories know their size, and so do files whose shapes depend on it;
        # others see what the student sees
        fallback = None if teacher.pretrained else student.image_size[0]
        return TeacherPlan(teacher, teacher.image_size, fallback)
    trained = loaded.teacher.spec
    directory = loaded.teacher.directory
    known_of_it = {
        "run": None,
        "model": trained.student.model,
        "small_input": trained.student.small_input,
        "options": {**trained.student.options, **teacher.options},
        "checkpoint": str(directory.path) if directory.finished else None,
    }
    size = teacher.image_size or (None if directory.finished else trained.data.image_size)
    return TeacherPlan(teacher.model_copy(update=known_of_it), size)


def prepare(
    loaded: LoadedSpec,
    splits: Splits,
    plugins: Plugins,
    *,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
) -> Prepared:
    """Build data, student, teacher and distillers; on the meta device shapes only, and no weights are read.

    Raises:
        UserError: a model cannot be built or loaded, the classes differ, or a distiller cannot work with the pair.
    """
    spec = loaded.spec
    builder = Builder(spec, splits.num_classes, plugins, meta=device.type == "meta")
    student = builder.model(spec.student, "student", spec.data.image_size)
    input_config = resolve_input(spec.data, student.input)
    plan = plan_teacher(loaded, input_config)
    teacher = None if plan is None else builder.model(plan.model, "teacher", plan.size, plan.fallback)
    class_warnings = _check_class_names(loaded, splits.classes, student, teacher)
    # before they are folded, which rounds them
    teacher_weights = None if teacher is None or builder.meta else weights_digest(teacher.model)
    teacher_images = None if teacher is None else teacher_view(input_config, teacher, device)
    channels_last = _channels_last(spec)
    models = [
        None if one is None else builder.place(one.model, device, ordered)
        for one, ordered in zip((student, teacher), channels_last, strict=True)
    ]
    assert models[0] is not None
    adapters = [
        None
        if model is None or named is None
        else find_adapter(model, named.adapter, plugins, f"{role}.adapter")
        for role, model, named in (("student", models[0], spec.student), ("teacher", models[1], spec.teacher))
    ]
    ema = None
    if spec.train.ema is not None and device.type != "meta":
        ema = ModelEmaV3(models[0], decay=spec.train.ema)  # a copy from before any hook is set
    if spec.train.grad_checkpointing:
        checkpoint_blocks(models[0], student.name)
    together = spec.train.sync_bn and world > 1
    if together:
        models[0] = synchronised(models[0], device)
    views_unknown = partial(
        build_train_data,
        splits.train,
        spec.data,
        input_config,
        batch_size=spec.train.batch_size,
        seed=spec.seed,
        num_classes=splits.num_classes,
        rank=rank,
        world=world,
        augmentations=None if spec.teacher_cache is None else spec.teacher_cache.augmentations,
        device=device,
    )
    train = views_unknown()
    distillation = Distillation(
        models[0],
        models[1],
        loaded.distillers,
        num_classes=splits.num_classes,
        image_size=input_config.image_size,
        train_size=train.size or 0,
        train_labels=train.labels,
        task_weight=spec.task.weight,
        label_smoothing=spec.task.label_smoothing,
        student_adapter=adapters[0],
        teacher_adapter=adapters[1],
        teacher_images=teacher_images,
        teacher_image_size=None if teacher is None else teacher.input.image_size,
        in_chans=spec.data.channels,
        seed=spec.seed,
    )
    if spec.teacher is not None:
        dtype = None if spec.teacher.precision is None else _DTYPES[spec.teacher.precision]
        distillation.set_teacher(precision=dtype, channels_last=channels_last[1])
        if spec.teacher.fold and device.type != "meta":
            distillation.fold_teacher()
    if together:
        distillation.distillers = cast("nn.ModuleList", synchronised(distillation.distillers, device))
    if device.type not in ("cpu", "meta"):
        distillation.trust_targets()  # labels were compared with the classes when they were read
    _check_needs(distillation, splits)
    if distillation.requires.views > 1:
        train = views_unknown(views=distillation.requires.views)
    evaluation = build_eval_data(
        splits.eval,
        spec.data,
        input_config,
        batch_size=eval_batch(spec.train.batch_size),
        rank=rank,
        world=world,
        num_classes=splits.num_classes,
        device=device,
    )
    if spec.data.eval_split is None:
        evaluation = WithoutLabels(evaluation)
    notes = dict.fromkeys(splits.train.notes + splits.eval.notes)  # both may be one split
    warnings = (
        tuple(notes) + class_warnings + student.warnings + (() if teacher is None else teacher.warnings)
    )
    if teacher is not None and teacher.random_weights and loaded.teacher is None:
        warnings += ("teacher: its weights are random: say 'pretrained', 'checkpoint' or 'run'",)
    return Prepared(
        distillation,
        train,
        evaluation,
        student,
        teacher,
        teacher_weights,
        tuple(adapters),
        ema,
        input_config,
        teacher_images,
        warnings,
        train_split=splits.train.split,
        eval_split=None if spec.data.eval_split is None else splits.eval.split,
    )


def _check_class_names(
    loaded: LoadedSpec, classes: tuple[str, ...] | None, student: BuiltModel, teacher: BuiltModel | None
) -> tuple[str, ...]:
    """The teacher's classes are the data's; a student that starts from other ones is worth a warning.

    Raises:
        UserError: the teacher's are not.
    """
    spec = loaded.spec
    if teacher is not None and spec.teacher is not None:
        source = "run" if spec.teacher.run is not None else "checkpoint"
        value = spec.teacher.run or spec.teacher.checkpoint
        known = teacher.class_names
        if teacher.pretrained_tag is not None:
            source, value = "pretrained", None
            known = known or pretrained_names(getattr(teacher.model, "pretrained_cfg", {}), classes)
        check_class_names(known, classes, f"teacher.{source}", value=value)
    told = difference(student.class_names, classes, "student's checkpoint")
    if told is None or student.random_weights or len(student.class_names or ()) != len(classes or ()):
        return ()
    return (f"student.checkpoint: {told}: the classifier starts with its weights for other classes",)


def _channels_last(spec: RunSpec) -> tuple[bool, bool]:
    """Of the student, and of the teacher."""
    own = None if spec.teacher is None else spec.teacher.channels_last
    return spec.train.channels_last, spec.train.channels_last if own is None else own


def eval_batch(batch_size: int) -> int:
    """Without gradients a larger batch fits, and a small one would waste time."""
    return max(batch_size, min(4 * batch_size, 256))


def teacher_view(student: InputConfig, teacher: BuiltModel, device: torch.device) -> TeacherImages | None:
    """What turns the student's images into the teacher's; None where they are the same."""
    # where nothing was learnt, there is no normalisation of the teacher's own
    own = replace(student, image_size=teacher.input.image_size) if teacher.random_weights else teacher.input
    converter = TeacherImages(student, own)
    return None if converter.identity else converter.to(device)


@dataclass(frozen=True)
class Builder:
    """Builds the models of one run."""

    spec: RunSpec
    num_classes: int
    plugins: Plugins
    meta: bool = False

    def model(self, model: ModelSpec, role: str, size: int | None, fallback: int | None = None) -> BuiltModel:
        """Build one model; its initial weights are a function of the seed and its role."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(self.spec.seed, role))
            return build_model(
                model,
                num_classes=self.num_classes,
                in_chans=self.spec.data.channels,
                image_size=None if size is None else (size, size),
                plugins=self.plugins,
                where=role,
                device="meta" if self.meta else "cpu",
                fallback_size=fallback,
            )

    def place(self, model: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
        """Move a model to the device, in the memory order that the spec says."""
        model = model.to(device)
        return model.to(memory_format=torch.channels_last) if channels_last else model


def _check_needs(distillation: Distillation, splits: Splits) -> None:
    requires = distillation.requires
    if requires.target and not splits.train.labelled:
        who = distillation.who(lambda one: one.target)
        raise UserError(
            Problem("distiller", f"{who} the ground truth, and the training images have no labels")
        )
    if requires.sample_index and splits.train.stream:
        who = distillation.who(lambda one: one.sample_index)
        raise UserError(
            Problem(
                "distiller",
                f"{who} each sample's position in the training set, which a stream of images does not have",
                hint="use a dataset that is not a stream, or another distiller",
            )
        )
