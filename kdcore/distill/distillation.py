"""`Distillation`: student, teacher and distillers as the one module that is trained."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from kdcore.distill.adapted_model import AdaptedModel, completed, gives_logits
from kdcore.distill.build import BuiltDistillers, DistillerLike, build_distillers
from kdcore.distill.compiled_step import CompiledStep, keeps_tensors
from kdcore.distill.loss_terms import DistillerTerms, task_term
from kdcore.distill.passes import Extract, pass_of_views, turned, with_partner, without_logits
from kdcore.distill.seeds import derive
from kdcore.distill.some_labels import Labelled
from kdcore.distill.step_check import StepCheck
from kdcore.distill.student_pass import StudentPass
from kdcore.distill.suitable import has_head_of_student
from kdcore.distill.targets import TargetCheck
from kdcore.distill.teachers import Teachers, logits_by_name
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.features import Extractor, set_distilled_training
from kdcore.plugins import get_plugins
from kdcore.plugins.owner import owned
from kdcore.protocols import Batch, Distiller, ModelOutput, Progress, Requires, Setup
from kdcore.spec.members import ONLY
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kdcore.distill.teacher_passes import TeacherPasses
    from kdcore.tasks import TaskLoss


class DistillationOutput(NamedTuple):
    """What one step gave.

    Attributes:
        loss: the task loss plus all terms, a scalar to call `backward` on.
        task_loss: the weighted loss against the ground truth, a scalar.
        terms: the distillers' loss terms by name, weighted scalars.
        logits: the student's `[B, K]`; None for a student without a classifier.
        teacher_logits: the teacher's `[B, K]`; None if there is not exactly one, or if no distiller reads them.
        logits_of_teachers: the logits of each teacher that gave them, by name.
    """

    loss: Tensor
    task_loss: Tensor
    terms: dict[str, Tensor]
    logits: Tensor | None
    teacher_logits: Tensor | None
    logits_of_teachers: dict[str, Tensor]


class Distillation(nn.Module):
    """A student that learns from teachers, for any training loop; the engine trains this same module.

    Its parameters are the student's and those of the distillers' heads. Teachers move with it between devices and stay
    in eval mode. They are not trained, and are not part of its state, except for those that learn.

    Args:
        student: the model to train; an `AdaptedModel` also gives its feature adapter. An encoder, built with
            `num_classes=0`, has no classifier: it learns its embedding from distillers that read no logits of it.
        teacher: the model to learn from, several by name, or None for distillers that need none; an `AdaptedModel` also
            gives its feature adapter and its own images.
        distillers: a distiller's name, an instance, or a list of them. Names are looked up among the installed
            plugins; options of a single name are given as keyword arguments, in a list as
            `{"name": ..., "alpha": ...}`. With several teachers, `"teacher"` names the one that a distiller reads, or
            is `"mean"`; an instance is then given as `{"distiller": instance, "teacher": ...}`.
        num_classes: K; for a student without a classifier None if nothing has classes.
        image_size: side of the images in pixels, or (height, width).
        train_size: samples in the training set, for distillers with a memory bank.
        train_labels: class index of every training sample `[N]`, -1 for one without a label, for distillers that need
            it.
        some_labels: only some of the samples have a label; the target of the others is -1, or a row of -1. They are
            left out of the task loss. Distillers that read the target are refused unless they allow it, see `Requires`.
        partly_labelled: with several labels an image, of some images only some are known: -1 for the others. Of the
            distillers that read the target only those with `Requires.unlabelled="given"` work. Implies `some_labels`.
        batch_size: samples of a batch, of all processes, for distillers whose layers depend on it.
        task: `classes`: an image has one class; `labels`: any number of labels, and targets are 0 and 1, `[B, K]`;
            `none`: a target is not read, and there is no task loss. Distillers that read logits or targets work with
            `labels` only if they say so, see `Requires.tasks`; those that read targets do not work with `none`.
        task_weight: factor of the task loss; None: the distiller's own. Required for several names.
        label_smoothing: of the task loss.
        task_loss: the loss against the ground truth, in place of cross-entropy with that smoothing, or with several
            labels of binary cross-entropy.
        task_views: the mean or the sum of the task losses of several views.
        in_chans: channels of the images; a model that takes others is an `AdaptedModel` with `images` and `channels`.
        seed: of the random numbers that distillers draw while they are built.
        options: of a distiller given by name.

    Raises:
        UserError: a name or an option is wrong, or a model lacks what a distiller needs.
    """

    def __init__(
        self,
        student: nn.Module | AdaptedModel,
        teacher: nn.Module | AdaptedModel | Mapping[str, nn.Module | AdaptedModel] | None,
        distillers: DistillerLike | Sequence[DistillerLike],
        *,
        num_classes: int | None = None,
        image_size: int | tuple[int, int],
        train_size: int = 0,
        train_labels: Tensor | None = None,
        some_labels: bool = False,
        partly_labelled: bool = False,
        batch_size: int | None = None,
        task: Literal["classes", "labels", "none"] = "classes",
        task_weight: float | None = None,
        label_smoothing: float = 0.0,
        task_loss: TaskLoss | None = None,
        task_views: Literal["mean", "sum"] = "mean",
        in_chans: int = 3,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        plugins = get_plugins()
        learner = completed(student, size, plugins, "student")
        self.student, self._classifier = learner.model, gives_logits(learner)
        classes = _classes(num_classes, self._classifier)
        learner = replace(learner, classifier=self._classifier)
        given = teacher if isinstance(teacher, Mapping) else {} if teacher is None else {ONLY: teacher}
        self._teachers = Teachers(
            {name: completed(one, size, plugins, "teacher") for name, one in given.items()}, in_chans
        )
        # those that learn are trained, saved and distributed with the student
        self.learners = nn.ModuleList(one.model for one in self.teacher_passes.values() if one.learns)
        self.student_info = learner.info(in_chans)
        setup = Setup(
            student=self.student_info,
            teacher=None,
            teachers=self._teachers.infos,
            num_classes=classes,
            train_size=train_size,
            train_labels=train_labels,
            generator=torch.Generator().manual_seed(derive(seed, "distiller")),
            batch_size=batch_size,
            task=task,
        )
        if task == NO_LABELS:
            if task_weight:
                raise ValueError(f"task_weight is {task_weight}; with the task 'none' there is no task loss")
            task_weight = 0.0
        if partly_labelled and task != "labels":
            raise ValueError(f"partly_labelled is for several labels an image, and the task is '{task}'")
        some_labels = some_labels or partly_labelled
        built = build_distillers(
            distillers,
            options,
            setup,
            plugins,
            task_weight,
            seed,
            some_labels=some_labels,
            partly_labelled=partly_labelled,
        )
        needs = self._add_distillers(built, learner)
        self._check = StepCheck(
            needs,
            self.requires,
            TargetCheck(
                classes, some_labels=some_labels, labels=task == "labels", partly_labelled=partly_labelled
            ),
            num_classes=classes if self._classifier else None,
            reads_target=built.task_weight != 0,
            train_size=train_size,
        )
        self.task = task
        self.some_labels, self.partly_labelled = some_labels, partly_labelled
        self.num_classes = classes
        self._task = task_term(
            built.task_weight, task_loss, task_views, task=task, label_smoothing=label_smoothing
        )
        self._terms = DistillerTerms(self._teachers, built.schedules)

    def _add_distillers(self, built: BuiltDistillers, learner: AdaptedModel) -> dict[str, Requires]:
        """Keep the distillers, and prepare the passes of all models for what they read; returns that by name."""
        assert learner.adapter is not None
        self.distillers = nn.ModuleList(built.modules.values()).to(next(learner.model.parameters()).device)
        self._names = tuple(built.modules)
        self._shipped: tuple[nn.Module] | None = None  # in a tuple: it is not a part of this module
        self._step: CompiledStep | None = None
        self._apart: frozenset[str] = frozenset()  # teachers whose passes are not part of the compiled step
        needs = {name: cast("Distiller", module).requires for name, module in built.modules.items()}
        together = [requires.of_member(None) for requires in needs.values()]
        try:
            self.requires = reduce(Requires.union, together, Requires(teacher=False, student_logits=False))
        except ValueError as error:
            hint = "use one of the distillers, or give the views' augmentation with a number of views"
            raise UserError(Problem("distiller", str(error), hint=hint)) from error
        if self.requires.distillation_logits:
            set_distilled_training(learner.model)
        self._student_pass = None
        if self.requires.student_pass:
            self._student_pass = StudentPass(learner.model, learner.adapter, self.requires, learner.images)
            self.average = self._student_pass.average  # part of the state, and not trained
        self._extract_student: Extract = Extractor(
            learner.model, learner.adapter, self.requires.student_stages, self.requires.student_embedding
        )
        self._student_images = learner.images
        self._teachers.read(needs, built.teachers)
        return needs

    @property
    def task_weight(self) -> float:
        """Factor of the task loss."""
        return self._task.weight

    @property
    def names(self) -> tuple[str, ...]:
        """The distillers' names, which all differ; with several distillers, terms are called `name.term`."""
        return self._names

    @property
    def changes_student(self) -> int | None:
        """The number of the distiller whose head belongs to the student, in their order; None: there is none."""
        found = (number for number, one in enumerate(self.distillers) if has_head_of_student(one))
        return next(found, None)

    @property
    def shipped(self) -> nn.Module:
        """What is evaluated, saved and exported: the student, with the head of a distiller if that belongs to it."""
        if self._shipped is None:
            self._shipped = (self._with_head(self.student),)
        return self._shipped[0]

    def shipped_copy(self, student: nn.Module) -> nn.Module:
        """The same for a copy of the student, with a copy of the head."""
        return self._with_head(student, copied=True)

    def _with_head(self, student: nn.Module, copied: bool = False) -> nn.Module:
        number = self.changes_student
        if number is None:
            return student
        distiller: Any = self.distillers[number]
        found = (copy.deepcopy(distiller) if copied else distiller).student(student)
        if not isinstance(found, nn.Module):
            message = f"its method 'student' returned {type(found).__name__}, not an nn.Module"
            raise RunFailed(f"{owned('distiller', distiller)}: {message}")
        return found

    @property
    def teacher(self) -> nn.Module | None:
        """The only teacher, or None if there is none.

        Raises:
            ValueError: there are several; `teachers` has them.
        """
        found = self.teachers
        if len(found) > 1:
            raise ValueError(f"there are several teachers, in `teachers`: {', '.join(found)}")
        return next(iter(found.values()), None)

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """All teachers by name; the only one is called `teacher`."""
        return {name: teacher.model for name, teacher in self.teacher_passes.items()}

    @property
    def teacher_passes(self) -> dict[str, TeacherPasses]:
        """The teachers by name, with what distillers read of each of them and how it is computed."""
        return self._teachers.passes

    def compile_student(self) -> None:
        """Compile the student's forward pass with `torch.compile`; names in the state stay."""
        self._extract_student = torch.compile(self._extract_student)

    def step_problems(self) -> Iterator[Problem]:
        """Reasons why the whole step cannot be compiled."""
        for name, distiller in zip(self._names, self.distillers, strict=True):
            kept = keeps_tensors(distiller, cast("Distiller", distiller).requires)
            if kept is not None:
                message = (
                    f"distiller '{name}' keeps {kept} from step to step, and a compiled backward pass may read it "
                    "after it was changed"
                )
                hint = "true compiles student and teacher, and leaves the distillers as they are"
                yield Problem("train.compile", message, "step", "true or false", hint=hint)

    def compile_step(
        self, warn: Callable[[str], None] = warnings.warn, *, apart: Collection[str] = ()
    ) -> None:
        """Compile everything from a batch to its loss as one function; then only the loss has a gradient.

        Args:
            warn: gets a line about each part that cannot be compiled and runs as usual.
            apart: the teachers whose passes stay outside.

        Raises:
            UserError: a distiller keeps tensors from step to step.
        """
        if problems := list(self.step_problems()):
            raise UserError(problems)
        self._apart = frozenset(apart)
        self._step = CompiledStep(self._losses, warn)

    def forward_teachers(self, images: Tensor, *, whole: bool = False) -> dict[str, ModelOutput]:
        """What the distillers read of each teacher, for images as the student sees them."""
        return self._teachers.compute(images, whole=whole)

    def seen_by(
        self, distiller: str, outputs: Mapping[str, ModelOutput]
    ) -> ModelOutput | dict[str, ModelOutput] | None:
        """What the distiller of this name gets of the outputs of all teachers."""
        module = self.distillers[self._names.index(distiller)]
        return self._teachers.seen(distiller, cast("Distiller", module).requires, outputs)

    def forward(
        self,
        images: Tensor,
        target: Tensor | None = None,
        *,
        index: Tensor | None = None,
        progress: Progress | None = None,
        teacher_output: ModelOutput | Mapping[str, ModelOutput] | None = None,
        partner: Tensor | None = None,
    ) -> DistillationOutput:
        """One step's losses.

        Args:
            images: `[B, C, H, W]`, or `[B, V, C, H, W]` for distillers that see V views.
            target: class indices `[B]`, probabilities `[B, K]`, with several labels 0 and 1 `[B, K]`, or None if no
                loss reads them; with `some_labels` -1 for a sample without a label, or in `[B, K]` for a label that is
                not known.
            index: positions in the training set `[B]`, for distillers that need them.
            progress: how far the run is, for losses that change; None: the beginning of the run, with a warning if a
                distiller reads it.
            teacher_output: the teacher's output for these images if it is known already, or each teacher's by name.
            partner: for each image another one of its class, `[B, C, H, W]`, for distillers that require partners.

        Raises:
            ValueError: something that a distiller needs is missing, or the target is neither class indices nor
                probabilities.
            RunFailed: a distiller returned something other than named scalars.
        """
        target = self._check.arguments(images, None if self.task == NO_LABELS else target, index)
        if progress is not None and not isinstance(progress, Progress):
            raise ValueError(f"progress is {type(progress).__name__}; it must be a kdcore.Progress")
        self._check.partner(images, partner)
        if self._apart and teacher_output is None:
            teacher_output = {
                name: teacher.compute(images)
                for name, teacher in self.teacher_passes.items()
                if name in self._apart and teacher.is_read
            }
        losses = self._losses if self._step is None else self._step
        output: DistillationOutput = losses(images, target, index, progress, teacher_output, partner)
        return output

    def _losses(
        self,
        images: Tensor,
        target: Tensor | None,
        index: Tensor | None,
        progress: Progress | None,
        teacher_output: ModelOutput | Mapping[str, ModelOutput] | None,
        partner: Tensor | None,
    ) -> DistillationOutput:
        """One step's losses, from arguments that were checked."""
        # before the student, whose activations stay in memory: the teachers' are free again by then
        taught = self._taught(images, teacher_output)
        student = pass_of_views(self._extract_student, turned(images, self._student_images))
        of_partner = None if partner is None else turned(partner, self._student_images)
        student = with_partner(student, self._extract_student, of_partner)
        if self._student_pass is not None:
            if self.training and torch.is_grad_enabled():
                # a step of several batches moves it once, because the student changes once
                self._student_pass.follow(None if progress is None else progress.step)
            student = replace(student, student_pass=self._student_pass)
        logits: Tensor | None = self._check.outputs(student, taught, len(images))
        labelled = Labelled.of(target) if self.some_labels and target is not None else None
        task_loss = self._task(student, target, labelled)
        of_teachers = {
            f"{name}.task": self._task(taught[name], target, labelled)
            for name, teacher in self.teacher_passes.items()
            if teacher.learns
        }
        if not self._classifier:
            student, logits = without_logits(student), None
        mask = None if labelled is None else labelled.mask
        batch = Batch(images if images.dim() == 4 else images[:, 0], target, index, mask)
        distillers = list(zip(self._names, self.distillers, strict=True))
        found, idle = self._terms(distillers, student, taught, batch, progress, labelled)
        terms = {
            f"{name}.{term}" if len(distillers) > 1 else term: value
            for name, given in found.items()
            for term, value in given.items()
        }
        terms |= of_teachers
        loss = task_loss
        for term in (*terms.values(), *idle):
            loss = loss + term
        taught_logits = logits_by_name(taught)
        only = next(iter(taught_logits.values()), None) if len(self.teacher_passes) == 1 else None
        return DistillationOutput(loss, task_loss, terms, logits, only, taught_logits)

    def _taught(
        self, images: Tensor, known: ModelOutput | Mapping[str, ModelOutput] | None
    ) -> Mapping[str, ModelOutput]:
        """The outputs of the teachers: those that are known, or computed."""
        if known is None:
            return self.forward_teachers(images)
        names = list(self.teacher_passes)
        if isinstance(known, ModelOutput):
            if len(names) > 1:
                raise ValueError(f"teacher_output must have an output for each teacher: {', '.join(names)}")
            return dict.fromkeys(names, known)
        missing = [
            name for name, teacher in self.teacher_passes.items() if teacher.is_read and name not in known
        ]
        if missing and not self._apart:
            raise ValueError(f"teacher_output has no output of {', '.join(missing)}")
        if missing:
            return {
                name: self.teacher_passes[name].compute(images) if name in missing else known[name]
                for name in names
                if name in missing or name in known
            }
        return known

    def who(self, needs: Callable[[Requires], bool]) -> str:
        """The distillers whose requirements fulfil `needs`, as the start of a sentence: "distiller 'mine' needs"."""
        return self._check.who(needs)

    def trust_targets(self) -> None:
        """No longer check the targets' values: the caller has checked them."""
        self._check.trust_targets()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distillation:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for teacher in self.teacher_passes.values():
            if not teacher.learns:
                teacher.model._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _classes(num_classes: int | None, classifier: bool) -> int:
    if num_classes is None and classifier:
        raise UserError(
            Problem(
                "num_classes",
                "it is missing, and the student has a classifier",
                allowed="the number of classes",
            )
        )
    return num_classes or 0
