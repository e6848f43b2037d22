"""Some training images as the student and each teacher of a run will see them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from kdcore.data.normalise import Normalise
from kdcore.data.pixels import PixelRule, shown, size_of
from kdcore.data.samples import KeyedSamples, SampleFailure
from kdcore.data.training_set import training_set
from kdcore.data.transforms import eval_transform, train_transform
from kdcore.distill.model_images import ModelImages
from kdcore.distill.models import build_models
from kdcore.distill.splits import open_splits
from kdcore.distill.teacher_classes import DataClasses
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from kdcore.data.inputs import InputConfig
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec

EPOCHS: Final = 2
"""The number of epochs whose augmented image is shown."""


@dataclass(frozen=True, kw_only=True)
class SampleViews:
    """One training image.

    Attributes:
        name: its file.
        label: the name of its class, or None.
        image: as it is on disk.
        box: left, top, right and bottom of what evaluation sees of it, from 0 to 1.
        views: the image as each model sees it, by a title: augmented in the first epochs, and in evaluation.
    """

    name: str
    label: str | None
    image: Image.Image
    box: tuple[float, float, float, float]
    views: dict[str, Image.Image]


def sample_views(loaded: LoadedSpec, plugins: Plugins, *, most: int = 12) -> list[SampleViews]:
    """Images of the training set, evenly spaced, with the augmentation of the run's own seed.

    The models are built without memory, for the sizes of their inputs. An image that cannot be read is left out.

    Args:
        loaded: the spec.
        plugins: where models and the dataset are looked up.
        most: the number of images.

    Raises:
        UserError: the spec does not fit its data or models, or the images are a stream.
    """
    spec = loaded.spec
    splits = open_splits(spec, plugins, loaded.teachers)
    if splits.train.stream:
        message = "a stream cannot be looked at: its samples have no index"
        raise UserError(Problem("data.dataset", message, spec.data.dataset))
    classes = DataClasses(splits.num_classes, splits.classes)
    models = build_models(loaded, classes, plugins, torch.device("meta"))
    given, taken = models.input, models.taken
    view = models.student.images or torch.nn.Identity()
    chosen = training_set(splits.train, spec.data, seed=spec.seed, num_classes=splits.num_classes)
    samples = KeyedSamples(splits.train, chosen.positions, train_transform(spec.data, given), spec.seed)
    evaluate = eval_transform(spec.data, given)
    teachers = {
        name: (placed.built.input_beside(given), placed.built.channels)
        for name, placed in models.teachers.items()
        if not placed.of_student
    }
    found = []
    for number in range(min(most, len(samples))):
        position = number * len(samples) // min(most, len(samples))
        columns = [samples[epoch, position] for epoch in range(EPOCHS)]
        if any(isinstance(one, SampleFailure) for one in columns):
            continue
        image, label = splits.train[samples.source_index(position)]
        augmented = [Normalise(given.mean, given.std)(one[0][0]) for one in columns]  # type: ignore[index]
        views = {
            f"student, training, epoch {epoch}": _picture(view(one[None])[0], taken)
            for epoch, one in enumerate(augmented, 1)
        }
        for name, (own, channels) in teachers.items():
            seen = ModelImages(given, own, channels)(augmented[0][None])[0]
            views[f"{_title(name, len(teachers))}, epoch 1"] = _picture(seen, own)
        views["student, evaluation"] = _picture(view(evaluate(image)[None])[0], taken)
        names = splits.classes or ()
        found.append(
            SampleViews(
                name=samples.name(position),
                label=names[label] if 0 <= label < len(names) else None if label < 0 else str(label),
                image=PixelRule.of(spec.data).picture(image),
                box=evaluated_box(size_of(image), taken),
                views=views,
            )
        )
    return found


def evaluated_box(size: tuple[int, int], taken: InputConfig) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, from 0 to 1, of what evaluation sees of an image of this height and width."""
    cover = [math.floor(side / taken.crop_pct) for side in taken.image_size]
    ratio = min(own / wanted for own, wanted in zip(size, cover, strict=True))
    height, width = (min(side * ratio / own, 1.0) for side, own in zip(taken.image_size, size, strict=True))
    return (1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2


def _title(name: str, teachers: int) -> str:
    return "teacher" if teachers == 1 else f"teacher '{name}'"


def _picture(images: Tensor, taken: InputConfig) -> Image.Image:
    """A normalised image `[C, H, W]` as a picture; of other channels than grey and RGB the first three, or one."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (taken.mean, taken.std))
    levels = (images * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return shown(levels)
