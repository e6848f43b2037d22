"""The models of a run: student and teacher built, with their images' sizes and their feature adapters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from kdcore.data.inputs import InputConfig, resolve_input, student_input
from kdcore.distill.adapted_model import AdaptedModel
from kdcore.distill.finetuning import with_finetuning_spec
from kdcore.distill.model_images import ModelImages
from kdcore.distill.seeds import derive
from kdcore.distill.teacher_classes import DataClasses, with_classes_of_data
from kdcore.distill.transforms import with_transforms
from kdcore.features import find_adapter
from kdcore.models import BuiltModel, build_model
from kdcore.models.digest import weights_digest
from kdcore.models.other_classes import OtherClasses
from kdcore.spec.channels import count_of

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.protocols import FeatureAdapter
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.members import Member
    from kdcore.spec.models import DataSpec, ModelSource, RunSpec, TeacherSpec


@dataclass(frozen=True, kw_only=True)
class PlacedModel:
    """A model on its device.

    Attributes:
        built: the model, and what building it found out.
        module: the same model on the device, in the memory order of the spec.
        adapter: its feature adapter.
        classifier: whether it gives logits; an encoder does not.
        images: turns the images that the data gives into those of the model; None if they are the same.
        channels: the number of channels that it takes.
    """

    built: BuiltModel
    module: nn.Module
    adapter: FeatureAdapter
    images: ModelImages | None
    channels: int
    classifier: bool = True


@dataclass(frozen=True, kw_only=True)
class PlacedTeacher(PlacedModel):
    """A teacher on its device.

    Attributes:
        weights: digest of its weights as they were loaded, before they are folded; None on the meta device.
        learns: whether it is trained together with the student.
        of_student: it is the student's own average.
    """

    weights: str | None
    learns: bool = False
    of_student: bool = False

    @property
    def adapted(self) -> AdaptedModel:
        """The teacher as `Distillation` takes it."""
        size = self.built.input.image_size
        return AdaptedModel(
            model=self.module,
            adapter=self.adapter,
            images=self.images,
            channels=self.channels,
            image_size=size,
            classifier=self.classifier,
            learns=self.learns,
        )


@dataclass(frozen=True)
class RunModels:
    """Student and teachers of a run.

    Attributes:
        student: the student.
        teachers: the teachers by name.
        input: size and normalisation of the images that the data gives.
        taken: the same of those that the student takes: of all their channels, or of those that it chooses.
    """

    student: PlacedModel
    teachers: dict[str, PlacedTeacher]
    input: InputConfig
    taken: InputConfig


@dataclass(frozen=True)
class TeacherPlan:
    """The teacher as a model to build.

    Attributes:
        model: its section of the spec.
        size: side or (height, width) of its input; None: the size that its weights record.
        fallback: the same, if they record none.
        classifier: whether it has a classifier for the classes of the data.
        channels: the channels of the images that it takes; None: all.
        trained: whether its weights are there. Those of a `run` that has not ended are not: the weights that a
            model of a plugin brings with it are only where that run starts.
        run: the spec of a `run` that has not ended and whose student has transforms; otherwise None.
    """

    model: ModelSource
    size: int | tuple[int, int] | None
    fallback: tuple[int, int] | None = None
    classifier: bool = True
    channels: Literal["grey"] | tuple[int, ...] | None = None
    trained: bool = True
    run: LoadedSpec | None = None


def build_models(
    loaded: LoadedSpec, classes: DataClasses, plugins: Plugins, device: torch.device
) -> RunModels:
    """Build student and teachers and put them on the device; on the meta device no weights are read.

    Raises:
        UserError: a model cannot be built or loaded, or an adapter is missing.
    """
    spec = loaded.spec
    builder = Builder(spec, classes, plugins, meta=device.type == "meta")
    classifier = spec.student.classifier
    channels = spec.student.channels
    student = builder.with_transforms_of(loaded, builder.student_of(loaded))
    given, taken = resolve_input(spec.data, student.input), student_input(spec, student.input)
    images = ModelImages(given, taken, channels)
    module = place(student.model, device, channels_last=spec.train.channels_last)
    adapter = find_adapter(module, spec.student.adapter, plugins, "student.adapter")
    learner = PlacedModel(
        built=student,
        module=module,
        adapter=adapter,
        images=None if images.identity else images.to(device),
        channels=count_of(channels, spec.data.channels),
        classifier=classifier,
    )
    teachers = {}
    for member in spec.members:
        if member.spec.of is None:
            plan = plan_teacher(member, loaded.teachers.get(member.name), given, spec.data)
            teachers[member.name] = _placed_teacher(builder, member, plan, given, device)
        else:  # the run puts the average in the place of the student, see `with_average`
            teachers[member.name] = PlacedTeacher(
                built=student,
                module=module,
                adapter=adapter,
                images=learner.images,
                channels=learner.channels,
                weights=None,
                classifier=classifier,
                of_student=True,
            )
    return RunModels(learner, teachers, given, taken)


def with_average(models: RunModels, average: nn.Module | None) -> RunModels:
    """The models with the student's average as those teachers that are it; None: as they are."""
    if average is None:
        return models
    teachers = {
        name: replace(one, module=average) if one.of_student else one for name, one in models.teachers.items()
    }
    return replace(models, teachers=teachers)


def _placed_teacher(
    builder: Builder, member: Member, plan: TeacherPlan, images: InputConfig, device: torch.device
) -> PlacedTeacher:
    built = builder.build_teacher(member, plan)
    # before the weights are folded, which rounds them
    weights = None if builder.meta else weights_digest(built.model)
    module = place(built.model, device, channels_last=teacher_channels_last(builder.spec, member.spec))
    return PlacedTeacher(
        built=built,
        module=module,
        adapter=find_adapter(module, member.spec.adapter, builder.plugins, f"{member.where}.adapter"),
        images=teacher_view(images, built, device),
        channels=count_of(plan.channels, builder.spec.data.channels),
        weights=weights,
        classifier=plan.classifier,
        learns=member.spec.learns,
    )


def plan_teacher(
    member: Member, below: LoadedSpec | None, images: InputConfig, data: DataSpec
) -> TeacherPlan:
    """Choose the model to build for a teacher: the spec's, or the student of its `run`, with its weights if finished.

    Args:
        member: the teacher.
        below: the spec of the teacher's own run, or None.
        images: what the data gives.
        data: the section of the run's spec.
    """
    teacher, channels = member.spec, member.spec.channels
    if below is None:
        # Pretrained weights and run directories record their size, and so do files whose shapes depend on it.
        # Other teachers get the student's images.
        fallback = None if teacher.pretrained else images.image_size
        return TeacherPlan(teacher, teacher.image_size, fallback, teacher.classifier, channels)
    trained, directory = below.spec, below.directory
    if (trained.data.channels, trained.data.bands) == (data.channels, data.bands):
        channels = channels or trained.student.channels
    known_of_it = {
        "run": None,
        "model": trained.student.model,
        "small_input": trained.student.small_input,
        "options": {**trained.student.options, **teacher.options},
        "checkpoint": None,
    }
    if directory.finished:  # its folder says what it is, also with the head of a distiller
        known_of_it = {"run": None, "model": None, "checkpoint": str(directory.path)}
    size = teacher.image_size or (None if directory.finished else trained.data.image_size)
    return TeacherPlan(
        teacher.model_copy(update=known_of_it),
        size,
        classifier=teacher.classifier,
        channels=channels,
        trained=directory.finished,
        run=below if trained.student.transforms and not directory.finished else None,
    )


def teacher_view(images: InputConfig, teacher: BuiltModel, device: torch.device) -> ModelImages | None:
    """The module that turns the images of the data into the teacher's; None if they are the same."""
    converter = ModelImages(images, teacher.input_beside(images), teacher.channels)
    return None if converter.identity else converter.to(device)


def teacher_channels_last(spec: RunSpec, teacher: TeacherSpec) -> bool:
    """Whether a teacher works in channels-last order: its own setting, or by default that of the student."""
    return spec.train.channels_last if teacher.channels_last is None else teacher.channels_last


def place(model: nn.Module, device: torch.device, *, channels_last: bool) -> nn.Module:
    """Move a model to the device, in the memory order of the spec."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if channels_last else model


@dataclass(frozen=True)
class Builder:
    """Builds the models of one run.

    Attributes:
        spec: the run's.
        classes: the classes of the data.
        plugins: where models are looked up.
        meta: build without memory: shapes only.
    """

    spec: RunSpec
    classes: DataClasses
    plugins: Plugins
    meta: bool = False

    def build(
        self,
        model: ModelSource,
        role: str,
        size: int | tuple[int, int] | None,
        fallback: tuple[int, int] | None = None,
        *,
        num_classes: int | None = None,
        teacher: bool = False,
        draw: str | None = None,
        channels: Literal["grey"] | tuple[int, ...] | None = None,
    ) -> BuiltModel:
        """Build one model; its initial weights are a function of the seed and of `draw`, by default its role."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(self.spec.seed, draw or role))
            built = build_model(
                model,
                num_classes=self.classes.count if num_classes is None else num_classes,
                in_chans=count_of(channels, self.spec.data.channels),
                image_size=size,
                plugins=self.plugins,
                where=role,
                device="meta" if self.meta else "cpu",
                fallback_size=fallback,
                keep_classifier=teacher,
            )
        return replace(built, channels=channels)

    def student_of(self, run: LoadedSpec) -> BuiltModel:
        """The student of this run, or of another one with the same classes, before its transforms."""
        student, size = run.spec.student, run.spec.data.image_size
        classes = self.classes.count if student.classifier else 0
        own = replace(self, spec=run.spec)
        return own.build(student, "student", size, num_classes=classes, channels=student.channels)

    def with_transforms_of(self, run: LoadedSpec, built: BuiltModel) -> BuiltModel:
        """A model after the transforms of the student of a run."""
        return with_transforms(
            built,
            run,
            lambda: replace(self, meta=False).student_of(run),
            num_classes=self.classes.count if run.spec.student.classifier else 0,
            plugins=self.plugins,
            meta=self.meta,
        )

    def build_teacher(self, member: Member, plan: TeacherPlan) -> BuiltModel:
        """Build a teacher, with the classes of the data if its spec maps them.

        The only teacher has the same initial weights whatever its name.
        """
        draw = "teacher" if len(self.spec.members) == 1 else f"teacher {member.name}"

        def build(num_classes: int, meta: bool) -> BuiltModel:
            builder = replace(self, meta=self.meta or meta)
            classes = num_classes if plan.classifier else 0
            built = builder.build(
                plan.model,
                member.where,
                plan.size,
                plan.fallback,
                num_classes=classes,
                teacher=plan.trained,
                draw=draw,
                channels=plan.channels,
            )
            if plan.run is not None:
                built = builder.with_transforms_of(plan.run, built)
            return built if plan.trained else replace(built, warnings=())  # the teacher's own run shows them

        in_chans = count_of(plan.channels, self.spec.data.channels)
        try:
            return with_classes_of_data(
                member.spec, build, self.classes, in_chans, self.plugins, member.where
            )
        except OtherClasses as error:
            raise with_finetuning_spec(error, self.spec, plan.model, member.name) from error
