"""The images of a run: its training and evaluation split, and the number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.data import check_same_classes, open_split
from kdcore.data.sidecar import sidecar_hint
from kdcore.data.subset import labelled_of, some_labels
from kdcore.data.unlabelled import with_unlabelled
from kdcore.errors import Problem, UserError
from kdcore.models import load_config
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kdcore.data import Source
    from kdcore.models.student_config import StudentConfig
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.members import Member
    from kdcore.spec.models import DataSpec, RunSpec


@dataclass(frozen=True)
class Splits:
    """The images of a run.

    Attributes:
        train: to train on.
        eval: to evaluate on.
        num_classes: K; 0 if no class is known, which only a student without a classifier allows.
        classes: the classes' names if they are known.
        test: to test the finished student on, or None.
    """

    train: Source
    eval: Source
    num_classes: int
    classes: tuple[str, ...] | None
    test: Source | None = None


def open_splits(
    spec: RunSpec,
    plugins: Plugins,
    below: Mapping[str, LoadedSpec] | None = None,
    teacher_classes: Mapping[str, int] | None = None,
) -> Splits:
    """Open both splits and find the number of classes: the data's, the spec's, or else the first teacher's.

    Args:
        spec: the run's.
        plugins: where datasets are looked up.
        below: the spec of each teacher's own run, by the teacher's name.
        teacher_classes: K of those runs' data if it is known; otherwise it is read from their run directories.

    Raises:
        UserError: a split is missing, the splits' classes differ, only some evaluation images have a label, or K is not
            known.
    """
    data, reads = spec.data, spec.task.kind != NO_LABELS
    train = open_split(data, data.train_split, plugins=plugins, where="data.train_split", labels=reads)
    _check_kind(train, spec)
    evaluation = train
    if data.eval_split is not None:
        evaluation = open_split(data, data.eval_split, plugins=plugins, where="data.eval_split", labels=reads)
        check_same_classes(train, evaluation, where="data.eval_split")
        _check_kind(evaluation, spec)
        if some_labels(evaluation.labels):
            message = labelled_of(evaluation.labels, "evaluation")
            hint = "give all of them a label; images without one can be trained on"
            raise UserError(Problem("data.eval_split", message, data.eval_split, hint=hint))
    test = _open_test(data, train, evaluation, plugins, labels=reads)
    measured = [one for one in (evaluation, test) if one is not None and one is not train]
    train = with_unlabelled(train, measured, data)
    if data.eval_split is None:
        evaluation = train
    num_classes, names = _classes(
        train if train.labelled else evaluation, spec, below or {}, teacher_classes or {}
    )
    if not train.labelled and spec.task.weight != 0:
        which = f"the images of split '{train.split}'" if train.split else "the training images"
        raise UserError(
            Problem(
                "task.weight",
                f"{which} have no labels, which the task loss reads",
                value=spec.task.weight,
                hint=sidecar_hint(data, train.split)
                or "set task.kind to 'none', or give the images in a folder per class",
            )
        )
    return Splits(train, evaluation, num_classes, names, test)


def _classes(
    labelled: Source, spec: RunSpec, below: Mapping[str, LoadedSpec], teacher_classes: Mapping[str, int]
) -> tuple[int, tuple[str, ...] | None]:
    """The number of classes, 0 for encoders alone, and their names if they are known; of the split with labels.

    Raises:
        UserError: the spec says another number than the data has, or a classifier needs a number that is not known.
    """
    data, reads = spec.data, spec.task.kind != NO_LABELS
    found = labelled.num_classes if labelled.labelled else None
    if found is not None and data.num_classes not in (None, found):
        raise UserError(
            Problem("data.num_classes", f"{data.dataset} has {found} classes", value=data.num_classes)
        )
    names = labelled.classes
    of_teacher = _classes_of_teachers(spec.members, below, teacher_classes)
    mapped = next((one.spec.classes for one in spec.members if isinstance(one.spec.classes, dict)), None)
    if not reads and mapped is None:
        names = _names_of_teachers(spec.members, below)
    if mapped is not None and found is None:
        of_teacher = len(mapped)  # the mapping names the classes of unlabelled images
        names = names or tuple(mapped)
    num_classes = found or data.num_classes or of_teacher
    if not reads and num_classes != len(names or ()):
        names = None  # data.num_classes may be another number
    classifiers = [member.where for member in spec.members if member.spec.classifier]
    if spec.student.classifier:
        classifiers.insert(0, "student")
    if classifiers:
        _check_number(num_classes, data.dataset, classifiers[0])
    return num_classes or 0, names


def _check_kind(source: Source, spec: RunSpec) -> None:
    """Raises UserError if the labels of a split are not of the kind `task.kind`."""
    several = source.label_sets is not None
    if not source.labelled or several == (spec.task.kind == "labels"):
        return
    if several:
        message = f"the images of {spec.data.dataset} have several labels each"
        raise UserError(Problem("task.kind", message, spec.task.kind, "labels"))
    message = f"the images of {spec.data.dataset} have one class each"
    hint = sidecar_hint(spec.data, source.split) or (
        "several labels an image come from a table, with lists of labels, data.options.label_delimiter or "
        "data.options.labels, from 'hfds/...' with lists, or from a dataset of a plugin"
    )
    raise UserError(Problem("task.kind", message, spec.task.kind, "classes", hint=hint))


def _open_test(
    data: DataSpec, train: Source, evaluation: Source, plugins: Plugins, *, labels: bool
) -> Source | None:
    """The split `data.test_split`.

    Raises:
        UserError: it is missing, is one of the other splits, or has other classes.
    """
    if data.test_split is None:
        return None
    where = "data.test_split"
    test = open_split(data, data.test_split, plugins=plugins, where=where, labels=labels)
    for other, field in ((evaluation, "eval_split"), (train, "train_split")):
        if test.split == other.split:  # a name may stand for another one: 'test' for 'val'
            message = f"data.{field} is the same split on disk, '{test.split}'"
            hint = "name another split in data.eval_split, or set data.eval_fraction"
            raise UserError(Problem(where, message, data.test_split, hint=hint))
    check_same_classes(train, test, where=where)
    if some_labels(test.labels):
        hint = "give all of them a label; images without one can be trained on"
        raise UserError(Problem(where, labelled_of(test.labels, "test"), data.test_split, hint=hint))
    return test


def _check_number(num_classes: int | None, dataset: str, who: str) -> None:
    if num_classes is None:
        more = "" if who == "student" else f", or {who}.classifier to false"
        raise UserError(
            Problem(
                "data.num_classes",
                f"the number of classes of {dataset} is not known",
                hint=f"set data.num_classes{more}",
            )
        )
    if num_classes < 2:
        raise UserError(Problem("data.dataset", f"{dataset} has only one class; a classifier needs two"))


def _classes_of_teachers(
    members: Iterable[Member], below: Mapping[str, LoadedSpec], known: Mapping[str, int]
) -> int | None:
    """K of the first teacher that knows it; an encoder knows other classes, or none."""
    for member in members:
        if member.spec.classifier and member.spec.classes is None:
            found = known.get(member.name) or _recorded_classes(member, below.get(member.name))
            if found is not None:
                return found
    return None


def _names_of_teachers(members: Iterable[Member], below: Mapping[str, LoadedSpec]) -> tuple[str, ...] | None:
    """The class names of the first teacher that knows its classes, for images that say nothing of classes."""
    for member in members:
        if member.spec.classifier and member.spec.classes is None:
            config = _recorded(member, below.get(member.name))
            if config is not None and config.num_classes:
                return config.class_names
    return None


def _recorded_classes(member: Member, below: LoadedSpec | None) -> int | None:
    """K of a teacher, from its run directory."""
    config = _recorded(member, below)
    return None if config is None else config.num_classes or None  # 0: the run's student is an encoder


def _recorded(member: Member, below: LoadedSpec | None) -> StudentConfig | None:
    """What a teacher's run directory says of its student; None: it has none."""
    directory = None if below is None else below.directory.path
    if directory is None and member.spec.checkpoint is not None:
        directory = Path(member.spec.checkpoint)
    return None if directory is None else load_config(directory)
