"""Some training images as the student and each teacher of a run will see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

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
from kdcore.inspect.crop_boxes import evaluated_box, training_box

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from kdcore.data import Source
    from kdcore.data.inputs import InputConfig
    from kdcore.distill.splits import Splits
    from kdcore.inspect.crop_boxes import Box
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import RunSpec

EPOCHS: Final = 2
"""The number of epochs whose augmented image is shown."""
EVALUATION: Final = "student, evaluation"


@dataclass(frozen=True, kw_only=True)
class SampleViews:
    """One training image.

    Attributes:
        name: its file.
        label: the name of its class, or the names of its labels; None: it is not known.
        image: as it is on disk.
        boxes: for each view of the student left, top, right and bottom of what it shows of the image, from 0 to 1.
        views: the image as each model sees it, by a title: augmented in the first epochs, and in evaluation.
    """

    name: str
    label: str | None
    image: Image.Image
    boxes: dict[str, Box]
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
    chosen = training_set(splits.train, spec.data, seed=spec.seed, num_classes=splits.num_classes)
    transform = train_transform(spec.data, models.input)
    looked = _Looked(
        spec=spec,
        splits=splits,
        samples=KeyedSamples(splits.train, chosen.positions, transform, spec.seed),
        given=models.input,
        taken=models.taken,
        student=models.student.images or torch.nn.Identity(),
        teachers={
            name: (placed.built.input_beside(models.input), placed.built.channels)
            for name, placed in models.teachers.items()
            if not placed.of_student
        },
    )
    size = len(looked.samples)
    count = min(most, size)
    found = (looked.at(number * size // count) for number in range(count))
    return [one for one in found if one is not None]


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """The samples of a run, and how its models see them."""

    spec: RunSpec
    splits: Splits
    samples: KeyedSamples
    given: InputConfig
    taken: InputConfig
    student: torch.nn.Module
    teachers: dict[str, tuple[InputConfig, Literal["grey"] | tuple[int, ...] | None]]

    def at(self, position: int) -> SampleViews | None:
        """The sample at a position of the training set; None: it cannot be read."""
        data, given, taken = self.spec.data, self.given, self.taken
        keys = [(epoch, position) for epoch in range(EPOCHS)]
        columns = [self.samples[key] for key in keys]
        if any(isinstance(one, SampleFailure) for one in columns):
            return None
        image, label = self.splits.train[self.samples.source_index(position)]
        augmented = [Normalise(given.mean, given.std)(one[0][0]) for one in columns]  # type: ignore[index]
        views, boxes = {}, {}
        for key, one in zip(keys, augmented, strict=True):
            title = f"student, training, epoch {key[0] + 1}"
            views[title] = _picture(self.student(one[None])[0], taken)
            boxes[title] = training_box(self.samples, key, data=data, given=given, seed=self.spec.seed)
        for name, (own, channels) in self.teachers.items():
            seen = ModelImages(given, own, channels)(augmented[0][None])[0]
            views[f"{_title(name, len(self.teachers))}, epoch 1"] = _picture(seen, own)
        evaluated = eval_transform(data, given)(image)
        views[EVALUATION] = _picture(self.student(evaluated[None])[0], taken)
        boxes[EVALUATION] = evaluated_box(size_of(image), taken)
        return SampleViews(
            name=self.samples.name(position),
            label=_label(self.splits.train, label, self.splits.classes),
            image=PixelRule.of(data).picture(image),
            boxes=boxes,
            views=views,
        )


def _label(source: Source, label: int, names: tuple[str, ...] | None) -> str | None:
    """The name of a class; with several labels an image, those that it has, and those that are not known."""
    if label < 0:
        return None
    if source.label_sets is None:
        return _name(label, names)
    row = source.label_sets.rows[label].tolist()
    own = [_name(index, names) for index, value in enumerate(row) if value > 0]
    unknown = [_name(index, names) for index, value in enumerate(row) if value < 0]
    text = ", ".join(own) or "none of the labels"
    return text + (f"; not known: {', '.join(unknown)}" if unknown else "")


def _name(index: int, names: tuple[str, ...] | None) -> str:
    return names[index] if names is not None and index < len(names) else str(index)


def _title(name: str, teachers: int) -> str:
    return "teacher" if teachers == 1 else f"teacher '{name}'"


def _picture(images: Tensor, taken: InputConfig) -> Image.Image:
    """A normalised image `[C, H, W]` as a picture; of other channels than grey and RGB the first three, or one."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (taken.mean, taken.std))
    levels = (images * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return shown(levels)
