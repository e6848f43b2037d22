"""The images of a run: its training and evaluation split, and the number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.data import check_same_classes, open_split
from kdcore.errors import Problem, UserError
from kdcore.models import load_config

if TYPE_CHECKING:
    from kdcore.data import Source
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec


@dataclass(frozen=True)
class Splits:
    """The images to train on and those to evaluate on; K, and the classes' names if they are known."""

    train: Source
    eval: Source
    num_classes: int
    classes: tuple[str, ...] | None


def open_splits(
    spec: RunSpec, plugins: Plugins, below: LoadedSpec | None = None, teacher_classes: int | None = None
) -> Splits:
    """Open both splits and find the number of classes: the data's, the spec's, or else the teacher's.

    Args:
        spec: the run's.
        plugins: where datasets are looked up.
        below: the spec of the teacher's own run, or None.
        teacher_classes: K of that run's data if it is known; None: read from its run directory.

    Raises:
        UserError: a split is missing, the splits' classes differ, or K is not known.
    """
    data = spec.data
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
    names = labelled.classes
    of_teacher = None  # an encoder knows other classes, or none
    if spec.teacher is not None and isinstance(spec.teacher.classes, dict) and found is None:
        of_teacher = len(spec.teacher.classes)  # the mapping names the classes of unlabelled images
        names = names or tuple(spec.teacher.classes)
    elif spec.teacher is None or (spec.teacher.classifier and spec.teacher.classes is None):
        of_teacher = teacher_classes or _recorded_classes(spec, below)
    num_classes = found or data.num_classes or of_teacher
    if num_classes is None:
        raise UserError(
            Problem(
                "data.num_classes",
                f"the number of classes of {data.dataset} is not known",
                hint="set data.num_classes",
            )
        )
    if num_classes < 2:
        raise UserError(Problem("data.dataset", f"{data.dataset} has only one class; a classifier needs two"))
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
    return Splits(train, evaluation, num_classes, names)


def _recorded_classes(spec: RunSpec, below: LoadedSpec | None) -> int | None:
    """K of the teacher, from its run directory."""
    directory = None if below is None else below.directory.path
    if directory is None and spec.teacher is not None and spec.teacher.checkpoint is not None:
        directory = Path(spec.teacher.checkpoint)
    config = None if directory is None else load_config(directory)
    return None if config is None else config.num_classes
