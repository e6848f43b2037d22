"""What a spec's types do not check: names, files, and values that do not go together. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kdcore.entries import AdapterEntry, ModelEntry
from kdcore.errors import Problem, UserError
from kdcore.spec.augment import auto_augment_problem
from kdcore.spec.best_epoch import best_epoch_problems
from kdcore.spec.channel_checks import channel_problems
from kdcore.spec.datasets import check_dataset, check_unlabelled, dataset_options
from kdcore.spec.labels_task import task_problems
from kdcore.spec.limits import too_large
from kdcore.spec.members import teacher_problems
from kdcore.spec.metrics import metric_problems
from kdcore.spec.model_options import RESERVED_OPTIONS
from kdcore.spec.models import (
    DistillerSpec,
    ModelSource,
    RunSpec,
    TeacherCacheSpec,
    TeacherSpec,
)
from kdcore.spec.names import DOT, check_model, check_optimizer, check_scheduler
from kdcore.spec.option_paths import located
from kdcore.spec.paths import absolute, file_in_the_way, kind_of, missing
from kdcore.spec.resolve import SCHEDULE, TEACHER, resolve_distiller, resolve_options, resolve_task_weight
from kdcore.spec.schedule import distiller_schedule_problems, schedule_problems
from kdcore.spec.together import together_problems
from kdcore.spec.trackers import check_trackers
from kdcore.spec.train_spec import scaled_optimizer
from kdcore.spec.transforms import checked_transforms
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kdcore.plugins import Plugins
    from kdcore.spec.loaded import ResolvedDistiller
    from kdcore.spec.members import Member

AnyModel = TypeVar("AnyModel", bound=ModelSource)


class Checker:
    """Checks one spec, and collects what is wrong.

    Attributes:
        given: the spec as it was given.
        spec: after `check` the same with absolute paths and all options of the distillers.
        distillers: those that are right.
        problems: what is wrong.
        wrong: whether a place is already reported as wrong.
    """

    def __init__(
        self, spec: RunSpec, base: Path, plugins: Plugins, wrong: Callable[[str], bool], written: Any
    ) -> None:
        self.given = self.spec = spec
        self.distillers: list[ResolvedDistiller] = []
        self._places: list[str] = []  # of their names in the spec
        self.problems: list[Problem] = []
        self._base = base
        self._plugins = plugins
        self.wrong = wrong
        self._written = written  # the distiller as the spec writes it: a name, an object, or a list

    def check(self) -> None:
        """Check everything but the teacher's own spec."""
        spec = self.spec
        student, problems = checked_transforms(
            self._model(spec.student, "student"), self._base, self._plugins, self.wrong
        )
        self._add(problems)
        checked = tuple(self._teacher(member) for member in spec.members)
        teachers = checked[0] if isinstance(spec.teacher, TeacherSpec) else checked or None
        dataset, problems = check_dataset(spec.data, self._base, self._plugins)
        self._add(problems)
        root = None if spec.data.root is None else absolute(spec.data.root, self._base)
        options, problems = dataset_options(spec.data, self._base, self._plugins)
        self._add(problems)
        unlabelled, problems = check_unlabelled(spec.data, self._base)
        self._add(problems)
        data = spec.data.model_copy(
            update={"dataset": dataset, "root": root, "options": options, "unlabelled": unlabelled}
        )
        distillers = tuple(self._distiller(item, number) for number, item in enumerate(spec.distiller))
        output = absolute(spec.output, self._base)
        changes = {
            "student": student,
            "teacher": teachers,
            "data": data,
            "distiller": distillers,
            "output": output,
            "teacher_cache": self._teacher_cache(),
        }
        self.spec = spec.model_copy(update=changes)
        self._add(check_optimizer(spec.optimizer.name, "optimizer.name"))
        if spec.optimizer.delta is not None and spec.optimizer.name.lower() != DOT:
            message = f"'{spec.optimizer.name}' has one momentum; 'delta' is for 'dot'"
            hint = "remove it; an optimizer of timm with an option 'delta' takes it in optimizer.options"
            self._add([Problem("optimizer.delta", message, spec.optimizer.delta, hint=hint)])
        self._add(check_scheduler(spec.scheduler.name, "scheduler.name"))
        self._add(check_trackers(spec.trackers))
        self._add(metric_problems(spec.metrics or (), self._plugins, task=spec.task.kind))
        self._add(best_epoch_problems(spec, self._plugins))
        for where, augment in spec.data.recipes.items():
            if augment.auto_augment is not None:
                problem = auto_augment_problem(augment.auto_augment)
                self._add([] if problem is None else [replace(problem, where=f"{where}.auto_augment")])
        self._add(channel_problems(spec))
        self._add(too_large(spec))
        self._add(self._together())
        self._add(self._directory())
        self._weigh_task()

    def _add(self, problems: Any) -> None:
        self.problems += [problem for problem in problems if not self.wrong(problem.where)]

    def _model(self, model: AnyModel, role: str) -> AnyModel:
        changes: dict[str, Any] = {}
        if model.model is not None:
            self._add(check_model(model.model, f"{role}.model", self._plugins))
        if model.adapter is not None:
            try:
                self._plugins.find(AdapterEntry, model.adapter, f"{role}.adapter")
            except UserError as error:
                self._add(error.problems)
        if model.checkpoint is not None:
            path = changes["checkpoint"] = absolute(model.checkpoint, self._base)
            if kind_of(path) is None:
                self._add([missing(f"{role}.checkpoint", model.checkpoint, path, "file or run directory")])
        for key in [key for key in model.options if key in RESERVED_OPTIONS]:
            where = f"{role}.options.{key}"
            self._add(
                [Problem(where, "this is not an option", model.options[key], hint=RESERVED_OPTIONS[key])]
            )
        from_run = isinstance(model, TeacherSpec) and model.run is not None
        if not from_run and kind_of(changes.get("checkpoint", "")) != "folder":
            changes["options"] = self._model_options(model, role)
        return model.model_copy(update=changes)

    def _model_options(self, model: ModelSource, role: str) -> dict[str, Any]:
        """The options of a plugin's model, with the defaults of those that are left out; others as they are."""
        if model.model is None or self.wrong(f"{role}.model"):
            return model.options
        try:
            provided = self._plugins.find(ModelEntry, model.model, f"{role}.model")
        except UserError:  # timm's, or none
            return model.options
        given = {key: value for key, value in model.options.items() if key not in RESERVED_OPTIONS}
        try:
            options = resolve_options(provided, given, self._plugins, f"{role}.options")
        except UserError as error:
            self._add(error.problems)
            return model.options
        if options is None:
            return model.options
        paths, problems = located(options, self._base, f"{role}.options")
        self._add(problems)
        return {**options.model_dump(mode="json", by_alias=True, round_trip=True), **paths}

    def _teacher(self, member: Member) -> TeacherSpec:
        teacher = member.spec
        checked = self._model(teacher, member.where)
        known = checked.checkpoint
        if teacher.model is None and known is not None and kind_of(known) == "file":
            message = "this is missing, and a file of weights as 'checkpoint' does not name its model"
            self._add([Problem(f"{member.where}.model", message, allowed="a model's name")])
        if teacher.run is not None:
            return checked.model_copy(update={"run": absolute(teacher.run, self._base)})
        return checked

    def _distiller(self, item: DistillerSpec, number: int) -> DistillerSpec:
        several = isinstance(self._written, list | tuple)
        where = f"distiller[{number}]" if several else "distiller"
        if self.wrong(where) or self.wrong(f"{where}.name"):
            return item
        written = self._written[number] if several else self._written
        name_where = f"{where}.name" if isinstance(written, dict) else where
        try:
            resolved = resolve_distiller(item.name, item.options, self._plugins, where, name_where=name_where)
        except UserError as error:
            self._add(error.problems)
            return item
        paths, problems = located(resolved.options, self._base, where)
        self._add(problems)
        if paths:
            given = {**resolved.options.model_dump(by_alias=True, round_trip=True), **paths}
            resolved = replace(resolved, options=type(resolved.options).model_validate(given))
        self._add(distiller_schedule_problems(resolved, where, self.spec.train.epochs))
        self._add(teacher_problems(resolved.teacher, where, self.spec.members))
        self.distillers.append(resolved)
        self._places.append(name_where)
        options = resolved.options.model_dump(mode="json", by_alias=True, round_trip=True)
        if resolved.schedule is not None:
            options[SCHEDULE] = resolved.schedule.model_dump(mode="json")
        if resolved.teacher is not None:
            options[TEACHER] = resolved.teacher
        return DistillerSpec(name=item.name, **options)

    def _teacher_cache(self) -> TeacherCacheSpec | None:
        cache = self.spec.teacher_cache
        if cache is None or cache.folder is None:
            return cache
        folder = absolute(cache.folder, self._base)
        if (file := file_in_the_way(folder)) is not None:
            self._add(
                [Problem("teacher_cache.folder", f"{file} is a file; a folder is wanted", cache.folder)]
            )
        return cache.model_copy(update={"folder": folder})

    def _together(self) -> Iterator[Problem]:
        spec = self.spec
        yield from together_problems(spec)
        yield from task_problems(spec, self.distillers, self._places, self._plugins)
        if spec.train.fsdp == "student+teacher" and not spec.teacher:
            message = "there is no teacher to spread over the processes"
            yield Problem("train.fsdp", message, spec.train.fsdp, "student, null")
        for name in ("mixup", "cutmix"):
            if getattr(spec.data, name) > 0 and spec.train.batch_size % 2:
                message = f"data.{name} pairs the images of a batch, which needs an even number of them"
                yield Problem("train.batch_size", message, spec.train.batch_size)
                break
        lowest, rate = spec.scheduler.min_lr, scaled_optimizer(spec.optimizer, spec.train).lr
        if lowest > rate and spec.scheduler.name != "none" and not self.wrong("optimizer.lr"):
            scaled = "" if spec.optimizer.lr_batch_size is None else " for this batch size"
            message = f"the lowest learning rate is above optimizer.lr = {rate:g}{scaled}"
            yield Problem("scheduler.min_lr", message, lowest, f"a number from 0 to {rate:g}")
        if not self.wrong("train.epochs"):
            yield from schedule_problems(spec.scheduler, spec.train.epochs)

    def _directory(self) -> Iterator[Problem]:
        output, given = self.spec.output, self.given.output
        if (file := file_in_the_way(output)) is not None:
            yield Problem("output", f"{file} is a file; it must be a folder, or not exist yet", given)
        elif kind_of(Path(output) / self.spec.name) == "file":
            yield Problem(
                "name", f"{Path(output) / self.spec.name} is a file; the run directory would be there"
            )

    def _weigh_task(self) -> None:
        """Fill in the weight of the task loss, and check that something is left to learn from."""
        count = len(self.spec.distiller)
        complete = len(self.distillers) == count
        if self.wrong("task.weight") or (count == 1 and not complete):
            return
        own = [item.provided.entry.task_weight for item in self.distillers]
        try:
            weight = resolve_task_weight(
                self.spec.task.weight,
                own if complete else [1.0] * count,
                classifier=self.spec.student.classifier,
                labels=self.spec.task.kind != NO_LABELS,
            )
        except UserError as error:
            self._add([] if self.wrong("distiller") else error.problems)
            return
        if not complete:
            return
        task = self.spec.task.model_copy(update={"weight": weight})
        self.spec = self.spec.model_copy(update={"task": task})
        silent = [
            item.provided.entry.kind == "baseline" or item.options.weight == 0 for item in self.distillers
        ]
        if weight == 0 and all(silent):
            self._add([self._nothing_to_learn(weight)])

    def _nothing_to_learn(self, weight: float) -> Problem:
        if not self.spec.student.classifier or self.spec.task.kind == NO_LABELS:
            who = (
                "a student without a classifier" if not self.spec.student.classifier else "without labels it"
            )
            message = f"{who} learns from the distiller alone, and this one gives no loss"
            name = self.spec.distiller[0].name
            logits = "logits, " if self.spec.student.classifier else ""
            return Problem(
                "distiller", message, name, hint=f"use one that reads {logits}features or embeddings"
            )
        message = "with it nothing is left to learn from: the distillers give no loss term of their own"
        return Problem("task.weight", message, weight, "a number above 0")
