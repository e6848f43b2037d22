"""The section `data` of a run spec."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from kdcore.spec.channels import MOST_CHANNELS, Band
from kdcore.spec.fields import SAME_RESULTS, Bool, Float, Int, PerChannel, Section, Text
from kdcore.spec.image_size import ImageSize  # noqa: TC001  # pydantic reads it

HELD_OUT: Final = "held-out"
"""The name of the evaluation images that are a part of the training split."""


class AugmentSpec(Section):
    """How training images are augmented, by timm's and torchvision's transforms."""

    crop: Literal["auto", "resized", "pad", "none"] = Field(
        "auto",
        description="'resized': random resized crop (ImageNet); 'pad': random crop of the zero-padded image "
        "(CIFAR); 'none': resize only; 'auto': 'pad' up to 64 px, otherwise 'resized'.",
    )
    padding: Int = Field(4, ge=0, description="Pixels of zero padding on each side for crop 'pad'.")
    scale: tuple[Float, Float] = Field((0.08, 1.0), description="Range of the area kept by crop 'resized'.")
    ratio: tuple[Float, Float] = Field((3 / 4, 4 / 3), description="Range of its aspect ratio.")
    hflip: Float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    vflip: Float = Field(0.0, ge=0, le=1, description="Probability of a vertical flip.")
    color_jitter: Float = Field(
        0.0, ge=0, description="Strength of the jitter of brightness, contrast and saturation; 0 is off."
    )
    hue: Float = Field(0.0, ge=0, le=0.5, description="Strength of the jitter of the hue; 0 is off.")
    jitter_probability: Float = Field(
        1.0, ge=0, le=1, description="Probability of the colour jitter and of the jitter of the hue."
    )
    grayscale: Float = Field(0.0, ge=0, le=1, description="Probability that an image becomes grey.")
    auto_augment: Text | None = Field(
        None, description="timm's AutoAugment, RandAugment or AugMix string, such as 'rand-m9-mstd0.5'."
    )
    random_erasing: Float = Field(0.0, ge=0, le=1, description="Probability of random erasing.")

    @field_validator("scale", "ratio")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("two numbers above 0 are wanted, the smaller first")
        return value


class DataSpec(Section):
    """Which images, and how they are read."""

    dataset: Text = Field(
        "digits",
        description="A registered name (kd list-datasets), a folder, tar, zip or table of images, shards ('wds/', "
        "'parquet/', 'arrow/'), or a name of timm's dataset factory ('torch/cifar100', 'hfds/...', 'hfids/...').",
    )
    root: Text | None = Field(None, description="Folder where the dataset is, or to which it is downloaded.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of a plugin's dataset (kd show NAME), or of a table or Hugging Face dataset: its columns.",
    )
    train_split: str = Field("train", description="Name of the split to train on.")
    eval_split: str | None = Field(
        "test",
        description="Name of the split to evaluate on; null: no evaluation, and only agreement with the teacher on the "
        "training images is measured.",
    )
    eval_fraction: Float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Evaluate on this part of the training split, which is then not trained on: the same part of "
        "each class, and the same images for every seed; null: there is an evaluation split.",
    )
    test_split: str | None = Field(
        None,
        description="Name of a split that the finished student is tested on, once, at the end of the run; the best "
        "epoch, patience and schedules do not see it. null: none.",
    )
    unlabelled: Text | None = Field(
        None,
        description="A folder, tar, zip or table of more images to train on, without labels; its folders are not "
        "classes.",
    )
    train_samples: Int | None = Field(
        None,
        ge=1,
        description="Train on this number of samples, drawn with the seed and balanced over the classes; null: on all.",
    )
    epoch_samples: Int | None = Field(
        None,
        ge=1,
        description="Of a stream: the number of samples that an epoch takes from it; null: as many as the stream "
        "reports.",
    )
    sampling: Literal["shuffled", "balanced", "weights"] = Field(
        "shuffled",
        description="'shuffled': each epoch has every image once; 'balanced': all classes are equally frequent, so "
        "that images of rare classes come several times; 'weights': in proportion to the weights of a table.",
    )
    labelled_fraction: Float | None = Field(
        None,
        gt=0,
        lt=1,
        description="For training images of which only some have a label: the part of each batch that has one; null: "
        "as the images come.",
    )
    eval_samples: Int | None = Field(
        None, ge=1, description="Evaluate on this number of samples, drawn in the same way; null: on all."
    )
    gallery_samples: Int | None = Field(
        50_000,
        ge=2,
        description="For a student without a classifier: the largest number of labelled training images among which "
        "those of the evaluation look for their nearest neighbours, and which train the linear probe; null: all.",
    )
    num_classes: Int | None = Field(
        None,
        ge=2,
        description="The number of classes, if the dataset does not give it (streams, unlabelled images).",
    )
    image_size: ImageSize | None = Field(
        None,
        description="Side of the student's input in pixels, or [height, width]; null: the student's own.",
    )
    channels: Int = Field(
        3,
        ge=1,
        le=MOST_CHANNELS,
        description="3: images are converted to RGB; 1: to grey; another number: the images have that number of "
        "channels, as TIFF or as NumPy arrays (.npy).",
    )
    bands: tuple[Band, ...] | None = Field(
        None,
        min_length=1,
        max_length=MOST_CHANNELS,
        description="The channels to read of each file, from 0, in this order; 'channels' is their number. null: the "
        "file has as many as 'channels' says.",
    )
    value_range: tuple[Float, Float] | None = Field(
        None,
        description="The values that become black and white, for images with more than 8 bits or with floating-point "
        "numbers; values outside are clipped. null: the range of 16-bit numbers, and others are refused.",
    )
    array_order: Literal["hwc", "chw"] = Field(
        "hwc", description="Order of the axes of arrays in .npy files: channels last, or channels first."
    )
    mean: PerChannel | None = Field(
        None,
        description="Channel means for normalising, from 0 to 1, one number or one for each channel; null: the "
        "student's own, averaged if it knows other channels.",
    )
    std: PerChannel | None = Field(
        None,
        description="Channel deviations for normalising, one number or one for each channel; null: as for 'mean'.",
    )
    crop_pct: Float | None = Field(
        None,
        ge=0.01,
        le=1,
        description="Fraction of the image that evaluation crops; null: the student's own, and 1 up to 64 px.",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = Field(
        None, description="How images are resized; null: the student's own."
    )
    workers: Int | None = Field(
        None,
        ge=0,
        json_schema_extra=SAME_RESULTS,
        description="Number of loader processes; null: chosen from the cores of the machine.",
    )
    in_memory: Bool | None = Field(
        None,
        json_schema_extra=SAME_RESULTS,
        description="Keep images in memory once they are decoded, so that later epochs read no files; null: yes if all "
        "of a split take at most a quarter of the free memory (divided among the processes).",
    )
    skip_broken: Bool = Field(
        False,
        description="Continue without images that are missing or cannot be decoded, and count them "
        "in the summary; otherwise "
        "the first one ends the run.",
    )
    augment: AugmentSpec = Field(
        default_factory=AugmentSpec, description="How training images are augmented."
    )
    views: tuple[AugmentSpec, ...] | None = Field(
        None,
        min_length=2,
        description="How each of several views of an image is augmented, for distillers that read several; null: as "
        "the distiller says, otherwise all by 'augment'.",
    )
    mixup: Float = Field(0.0, ge=0, description="Mixup alpha (Zhang et al. 2018); 0 is off.")
    cutmix: Float = Field(0.0, ge=0, description="CutMix alpha (Yun et al. 2019); 0 is off.")

    @model_validator(mode="before")
    @classmethod
    def _held_out(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("eval_fraction") is not None:
            return {"eval_split": HELD_OUT, **values}
        return values

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("bands"), list | tuple):
            return {"channels": len(values["bands"]), **values}
        return values

    @property
    def recipes(self) -> dict[str, AugmentSpec]:
        """The augmentation recipes, by their places in the spec."""
        views = {f"data.views[{number}]": view for number, view in enumerate(self.views or ())}
        return {"data.augment": self.augment, **views}

    @field_validator("value_range")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("two numbers are wanted, the smaller first")
        return value

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and min(value) <= 0:
            raise ValueError("deviations are above 0")
        return value
