"""What a transform of the student is: it changes the built model before it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformSetup:
    """What a transform gets in addition to the student.

    Attributes:
        model: the model's name in the spec.
        num_classes: K; 0 for an encoder.
        in_chans: channels of its images.
        image_size: (height, width) of its images.
        random_weights: whether all its weights are initial values.
        train: the section `train` of the spec, whose fields are its attributes.
        processes: the number of processes that share the run.
        generator: for random numbers, a function of the run's seed. torch's own generator is seeded alike.
        where: the transform's place in the spec, for problems.
    """

    model: str
    num_classes: int
    in_chans: int
    image_size: tuple[int, int]
    random_weights: bool
    train: Any
    processes: int
    generator: torch.Generator
    where: str


@dataclass(frozen=True, slots=True)
class Transformed:
    """A student after a transform.

    Attributes:
        model: the module that is trained: the given one, changed in place, or another one.
        record: from which `Transform.rebuild` makes the same model again; JSON values.
        notes: one line each for the user, shown before the training.
        warnings: the same, shown as warnings.
    """

    model: nn.Module
    record: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())


@runtime_checkable
class Transform(Protocol):
    """Changes a student after it is built and before it is trained.

    A run calls `apply` once. The record is kept in the run directory and with the finished student. Everything that
    opens them later calls `rebuild`: a run that continues, `kd eval`, `kd export`, a run with this student as teacher.
    """

    def apply(self, model: nn.Module, setup: TransformSetup) -> Transformed:
        """Change the student, which is on the CPU and has the weights that the spec gives it.

        Raises:
            UserError: it cannot be changed like this. A problem's place is in the transform's options, `"share"`, or
                empty.
        """
        ...

    def rebuild(self, model: nn.Module, record: Mapping[str, Any]) -> nn.Module:
        """Make the same change again, on the CPU or the meta device, without files and without a search.

        The weights are the same as after `apply` if the given model has the same weights as then. Otherwise they have
        the same names and shapes, and the caller loads the weights.
        """
        ...


@runtime_checkable
class ChecksTraining(Protocol):
    """A transform whose student cannot be trained with all settings.

    A run calls it whenever it trains such a student: before `apply`, when it continues, perhaps with other settings,
    and when its student begins as one that this transform changed in an earlier run.
    """

    def check_training(self, setup: TransformSetup) -> None:
        """Look at the settings; the student is not built yet, or has another run's weights.

        Raises:
            UserError: a setting excludes it. A problem's place is in the transform's options, or empty.
        """
        ...
