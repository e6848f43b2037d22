"""Values of a spec that do not go together, whatever the distillers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem
from kdcore.spec.data_spec import HELD_OUT
from kdcore.spec.datasets import TABLES
from kdcore.spec.train_spec import TaskSpec
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.spec.models import RunSpec


def together_problems(spec: RunSpec) -> Iterator[Problem]:
    """What is wrong with the spec as a whole."""
    yield from _beside_learning(spec)
    yield from _beside_no_evaluation(spec)
    yield from _of_task_loss(spec)
    yield from _of_sampling(spec)
    if not spec.student.classifier and spec.task.kind != NO_LABELS:
        yield from _beside_encoder(spec)
    if spec.teacher_cache is not None:
        yield from _beside_cache(spec)


def _of_sampling(spec: RunSpec) -> Iterator[Problem]:
    """A column of weights that nothing draws by."""
    column = spec.data.options.get("weight")
    if column is not None and spec.data.sampling != "weights" and spec.data.dataset.lower().endswith(TABLES):
        message = f"it is for data.sampling 'weights', and data.sampling is '{spec.data.sampling}'"
        yield Problem("data.options.weight", message, column, hint='set "sampling": "weights", or remove it')


def _of_task_loss(spec: RunSpec) -> Iterator[Problem]:
    """Options of another task loss than the one that is chosen."""
    task = spec.task
    if task.bce_threshold is not None and task.loss != "bce":
        message = f"this is an option of 'bce', and task.loss is '{task.loss}'"
        yield Problem("task.bce_threshold", message, task.bce_threshold, "null", hint='set "loss": "bce"')
    if task.focal_gamma != TaskSpec().focal_gamma and task.loss != "focal":
        message = f"this is an option of 'focal', and task.loss is '{task.loss}'"
        yield Problem("task.focal_gamma", message, task.focal_gamma, "2.0", hint='set "loss": "focal"')


def _beside_no_evaluation(spec: RunSpec) -> Iterator[Problem]:
    """What needs a score after each epoch."""
    train = spec.train
    if train.min_delta > 0 and train.patience is None:
        message = "it says what a better score is for train.patience, which is null"
        yield Problem("train.min_delta", message, train.min_delta, hint='set "train": {"patience": 10}')
    if spec.data.eval_fraction is not None and spec.data.eval_split != HELD_OUT:
        message = "with data.eval_fraction the evaluation images are a part of the training split"
        yield Problem("data.eval_split", message, spec.data.eval_split, hint="leave one of the two out")
    yield from _test_split(spec)
    if spec.data.eval_split is not None:
        return
    message = "it needs evaluation images, and data.eval_split is null"
    if train.patience is not None:
        yield Problem(
            "train.patience", message, train.patience, "null", hint="name a split in data.eval_split"
        )
    if train.keep == "best":
        yield Problem("train.keep", message, train.keep, "last", hint="name a split in data.eval_split")


def _test_split(spec: RunSpec) -> Iterator[Problem]:
    """A test on images that the run has seen before."""
    data = spec.data
    uses = {"eval_split": "evaluated on after each epoch", "train_split": "trained on"}
    for name, use in uses.items():
        if data.test_split is not None and data.test_split == getattr(data, name):
            message = f"these images are {use}: data.{name} names the same split"
            hint = "name another split for validation in data.eval_split, or set data.eval_fraction"
            yield Problem("data.test_split", message, data.test_split, hint=hint)
            break
    if data.options.get("group") is not None and data.eval_fraction is None:
        message = "groups are for data.eval_fraction, which is null"
        yield Problem("data.options.group", message, data.options["group"], hint="set data.eval_fraction")


def _beside_encoder(spec: RunSpec) -> Iterator[Problem]:
    """What does not go together with a student without a classifier."""
    message = "the student has no classifier, so it has no {}"
    plain = TaskSpec()
    for name in ("label_smoothing", "loss", "class_weights"):
        value = getattr(spec.task, name)
        if value != getattr(plain, name):
            where, usual = f"task.{name}", getattr(plain, name)
            allowed = "null" if usual is None else f"{usual:g}" if isinstance(usual, float) else usual
            yield Problem(where, message.format("task loss"), value, allowed, hint="leave it out")
    if spec.task.top_k:
        problem = message.format("top-k accuracy")
        yield Problem("task.top_k", problem, list(spec.task.top_k), "[]", hint="leave it out")
    if spec.metrics:
        problem = message.format("probabilities, which metrics read")
        yield Problem("metrics", problem, list(spec.metrics), "null, []", hint="leave it out")


def _beside_learning(spec: RunSpec) -> Iterator[Problem]:
    """What a teacher that changes during the run does not go with."""
    for member in spec.members:
        if member.spec.of is not None and spec.train.ema is None:
            message = "the teacher is the student's average, and there is none"
            yield Problem(f"{member.where}.of", message, member.spec.of, hint='set "train": {"ema": 0.999}')
        if not member.spec.learns and member.spec.of is None:
            continue
        why = "learns" if member.spec.learns else "of"
        if spec.teacher_cache is not None:
            message = f"teacher '{member.name}' changes during the run, so its outputs cannot be kept"
            yield Problem("teacher_cache", message, hint="leave teacher_cache out")
        if spec.train.fsdp is not None:
            message = "the weights of a teacher that changes during the run cannot be sharded"
            yield Problem(
                f"{member.where}.{why}", message, getattr(member.spec, why), hint="leave train.fsdp out"
            )
        if member.spec.learns and spec.task.weight == 0 and spec.task.kind != NO_LABELS:
            message = "a teacher that learns needs the task loss"
            yield Problem("task.weight", message, spec.task.weight, "a number above 0")


def _beside_cache(spec: RunSpec) -> Iterator[Problem]:
    """What a cache of the teacher's outputs cannot be kept for."""
    if not spec.teacher:
        hint = 'add "teacher": {...}, or leave the cache out'
        yield Problem("teacher_cache", "there is no teacher whose outputs could be kept", hint=hint)
    for name in ("mixup", "cutmix"):
        value = getattr(spec.data, name)
        if value > 0:
            message = "mixed images are new in each epoch: the teacher's outputs for them cannot be kept"
            hint = "set it to 0, or leave out teacher_cache"
            yield Problem(f"data.{name}", message, value, hint=hint)
    if spec.train.fsdp == "student+teacher" and spec.teacher:
        message = (
            "with teacher_cache the processes ask the teacher at different times, each for what it lacks"
        )
        hint = "leave one of the two out"
        yield Problem("train.fsdp", message, spec.train.fsdp, "student, null", hint=hint)
