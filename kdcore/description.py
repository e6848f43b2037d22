"""`ModelDescription`: what a plugin's model says about itself. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ATTRIBUTE: Final = "kd_description"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a plugin's model knows about itself: its images, its classes, its weights.

    The target of a `kdcore.ModelEntry` sets it as the attribute `kd_description` of the module that it returns. A model
    with `has_weights` is used as it is: there is no warning that its weights are random, and its mean, deviation and
    image size are its own, as those of pretrained weights are.

    Before a run kd builds each model on the meta device to check it (`torch.get_default_device().type` is then
    `"meta"`). The target gives the same description there, and opens no file of weights if it can do without.

    Raises:
        ValueError: mean and deviation have different lengths, or a fixed size is not given.
    """

    has_weights: bool = False  # the target loaded trained weights
    trainable: bool = True  # False: it is refused as a student
    num_classes: int | None = None  # that its weights know; 0: they have no classifier; None: those asked for
    class_names: tuple[str, ...] | None = None  # in their order
    mean: tuple[float, ...] | None = None  # per channel, of images in 0..1; None: ImageNet's
    std: tuple[float, ...] | None = None
    image_size: tuple[int, int] | None = None  # height and width that it was trained with
    fixed_size: bool = False  # it takes no other size
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    place: str = "model"  # where its section of a spec says what it is: "options.path"; for problems
    warnings: tuple[str, ...] = ()  # one line each, for the user

    def __post_init__(self) -> None:
        if len(self.mean or ()) != len(self.std or ()):
            raise ValueError(f"ModelDescription: mean is {self.mean}, and std is {self.std}")
        if self.fixed_size and self.image_size is None:
            raise ValueError("ModelDescription: fixed_size needs an image_size")


def description_of(model: object) -> ModelDescription | None:
    """The description of a model; None if it has none."""
    found = getattr(model, ATTRIBUTE, None)
    return found if isinstance(found, ModelDescription) else None
