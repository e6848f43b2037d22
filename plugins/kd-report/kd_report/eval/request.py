"""What `kd eval` is asked for: a target, how its model is built, which images, which teacher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.inspect import Which


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """How a model that is not a run's is built; None: not given.

    Attributes:
        name: the model whose weights a checkpoint file has.
        pretrained: take timm's weights.
        checkpoint: the weights of the model that the target names.
        small_input: take the variant for small images.
        options: arguments of the model's constructor.
        image_size: side of the input in pixels, or (height, width).
    """

    name: str | None = None
    pretrained: bool = False
    checkpoint: str | None = None
    small_input: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageChoice:
    """Which images; None: not given.

    Attributes:
        dataset: instead of the run's.
        root: the folder of the dataset.
        split: a split of it.
        samples: the largest number of images.
        table_options: as `data.options`, of a table of images that `dataset` names.
    """

    dataset: str | None = None
    root: str | None = None
    split: str | None = None
    samples: int | None = None
    table_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvalRequest:
    """What to evaluate.

    Attributes:
        target: a run directory, a checkpoint, an export, or a model's name.
        weights: which of a run's students.
        model: for a target that is not a run.
        images: which images.
        teacher: a run directory or the name of a pretrained model; True: the run's own; False: none.
        device: as it was given; None: the best of this machine.
        top_k: more values of k for top-k.
    """

    target: str
    weights: Which = "last"
    model: ModelChoice = field(default_factory=ModelChoice)
    images: ImageChoice = field(default_factory=ImageChoice)
    teacher: str | bool = True
    device: str | None = None
    top_k: tuple[int, ...] = ()
