"""A run directory opened again: its student and teacher with their weights, and the images of its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from pydantic import ValidationError

from kdcore.data import open_split
from kdcore.data.modes import UnknownRange
from kdcore.data.pixels import PixelRule
from kdcore.errors import Problem, UserError
from kdcore.inspect.images import EvaluationImages
from kdcore.inspect.predictions import Predictions, predict
from kdcore.inspect.students import Which, open_student
from kdcore.inspect.teachers import FoundTeacher, open_teacher
from kdcore.plugins import get_plugins
from kdcore.rundir.directory import RunDirectory
from kdcore.spec.models import RunSpec
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from PIL import Image

    from kdcore.inspect.students import OpenedStudent
    from kdcore.plugins import Plugins
    from kdcore.spec.models import DataSpec


ENCODER: Final = "the student is an encoder: it has no classifier, and so no predictions"
"""Why a run has no predictions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedRun:
    """A run that was opened again.

    Attributes:
        directory: the run directory.
        spec: the run's spec.
        images: the evaluation images, for the student.
        student: the student that was asked for, with the number and the names of the classes.
        teacher: the teacher, or why it is missing.
        device: where the models are.
        most: the largest number of images to look at; None: all.
    """

    directory: RunDirectory
    spec: RunSpec
    images: EvaluationImages
    student: OpenedStudent
    teacher: FoundTeacher
    device: torch.device
    most: int | None = None

    @cached_property
    def predictions(self) -> tuple[Predictions, Predictions | None]:
        """Predictions of student and teacher for the same images, with embeddings if their adapters give them.

        They are made once, so everybody who looks at this run shares one pass.

        Raises:
            RunFailed: an image cannot be read.
            UserError: the student is an encoder.
        """
        self._check_predicts()
        limit = self.most if self.images.chosen.stream else None  # the other images are chosen already
        try:
            return self.predict(embeddings=True, limit=limit)
        except UserError:  # an adapter that cannot be prepared to give an embedding of this model
            return self.predict(limit=limit)

    def predict(
        self, *, embeddings: bool = False, limit: int | None = None
    ) -> tuple[Predictions, Predictions | None]:
        """Predictions of student and teacher for the same images.

        Raises:
            RunFailed: an image cannot be read.
            UserError: the student is an encoder.
        """
        self._check_predicts()
        teacher = self.teacher.model
        found = predict(
            [self.student] if teacher is None else [self.student, teacher],
            self.images.batches,
            device=self.device,
            embeddings=embeddings,
            precision=self.spec.train.precision,
            channels_last=self.spec.train.channels_last,
            limit=limit,
        )
        return found[0], found[1] if len(found) > 1 else None

    def _check_predicts(self) -> None:
        if self.student.is_encoder:
            raise UserError(Problem("student", ENCODER, self.student.name))

    def image(self, position: int) -> Image.Image | None:
        """The image at a position of the data, before any transform; None from a stream, or if it cannot be shown."""
        source = self.images.chosen
        if source.stream:
            return None
        try:
            return PixelRule.of(self.spec.data).picture(source[position][0])
        except UnknownRange:
            return None


def open_run(
    path: str | Path,
    *,
    student: Which = "last",
    teacher: bool = True,
    data: DataSpec | None = None,
    most: int | None = None,
    device: torch.device | str | None = None,
    plugins: Plugins | None = None,
) -> OpenedRun:
    """Open a run, finished or not. It does not need the plugins of the run's distillers.

    Args:
        path: the run directory.
        student: which student.
        teacher: whether to open the teacher too. If it is not available, `teacher.missing` says why.
        data: other data than the run's, such as the same dataset with another `eval_split`. The labels of another
            dataset are read, whatever the run's task.
        most: the largest number of images, always the same ones; of a stream, the first ones.
        device: where the models go; None: the accelerator if there is one.
        plugins: where names are looked up.

    Raises:
        UserError: there is no run, the run does not have this student, or the data is not available.
    """
    plugins = plugins or get_plugins()
    directory = RunDirectory(Path(path))
    spec = read_spec(directory)
    model = open_student(directory, spec, student, plugins)
    own = data is None or data.dataset == spec.data.dataset
    if data is not None:
        spec = spec.model_copy(update={"data": data})
    place = torch.device(device) if device is not None else _default_device()
    source = open_split(
        spec.data,
        spec.data.eval_split or spec.data.train_split,
        plugins=plugins,
        where="data.eval_split",
        labels=spec.task.kind != NO_LABELS or not own,
    )
    model = model.with_class_names(source.classes)
    found = open_teacher(directory, spec, model, plugins, place) if teacher else FoundTeacher()
    model.model.to(place)
    images = EvaluationImages.of(source, spec, model, most, place)
    return OpenedRun(
        directory=directory,
        spec=spec,
        images=images,
        student=model,
        teacher=found,
        device=place,
        most=most,
    )


def read_spec(directory: RunDirectory) -> RunSpec:
    """The spec of a run, read without its plugins.

    Raises:
        UserError: there is no run, or its spec is of another version of kdcore.
    """
    if not directory.exists:
        raise UserError(Problem(str(directory.path), "this is not a run directory: it has no spec.json"))
    try:
        return RunSpec.model_validate(directory.spec())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"is not a spec of this version of kdcore: {place}: {first['msg']}"
        raise UserError(Problem(str(directory.path / "spec.json"), message)) from error


def _default_device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if accelerator is None else accelerator
