"""The run spec: a pydantic model for each section. The field descriptions are the documentation and the schema."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from kdcore.errors import UserError
from kdcore.spec.problems import faults

if TYPE_CHECKING:
    from pydantic.config import JsonDict


_LONGEST: Final = 4096  # characters; no file system takes a longer path


def _path_like(value: str) -> str:
    if "\0" in value:
        raise ValueError("a zero byte is no part of a name or path")
    if len(value) > _LONGEST:
        raise ValueError(f"no name or path has {len(value):,} characters (at most {_LONGEST:,})")
    return value


def _no_bool(value: Any) -> Any:
    # true and 1.0 are 1 to pydantic, and their texts are no choice
    return str(value).lower() if isinstance(value, bool | float) else value


def _one_or_three(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) not in (1, 3):
        raise ValueError("one number for each channel is wanted: 3, or 1")
    return value


# strict: what YAML or --set made text or true is not taken for a number
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict()]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1), AfterValidator(_path_like)]
PerChannel = Annotated[tuple[Float, ...], AfterValidator(_one_or_three)]


# beside a field whose value changes no result: where a run leaves its things, how fast it is, how much memory it takes.
# `kdcore.spec.difference` reads it for resuming, comparing and the reference.
_SAME_RESULTS: Final[JsonDict] = {"x-changes-results": False}


class Section(BaseModel):
    """A part of the spec: immutable, unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AugmentSpec(Section):
    """How training images are varied, by timm's and torchvision's transforms."""

    crop: Literal["auto", "resized", "pad", "none"] = Field(
        "auto",
        description="'resized': random resized crop (ImageNet); 'pad': random crop of the zero-padded image "
        "(CIFAR); 'none': resize only; 'auto': 'pad' up to 64 px, else 'resized'.",
    )
    padding: Int = Field(4, ge=0, description="Pixels of zero padding on each side for crop 'pad'.")
    scale: tuple[Float, Float] = Field((0.08, 1.0), description="Range of the area kept by crop 'resized'.")
    ratio: tuple[Float, Float] = Field((3 / 4, 4 / 3), description="Range of its aspect ratio.")
    hflip: Float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    vflip: Float = Field(0.0, ge=0, le=1, description="Probability of a vertical flip.")
    color_jitter: Float = Field(0.0, ge=0, description="Strength of colour jitter; 0 is off.")
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
        description="A registered name (kd list-datasets), a folder or tar of images, or a name of timm's dataset "
        "factory ('torch/cifar100', 'hfds/...', 'wds/...').",
    )
    root: Text | None = Field(None, description="Where the dataset lies or is downloaded to.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of a plugin's dataset (kd show NAME)."
    )
    train_split: str = Field("train", description="Name of the split to train on.")
    eval_split: str | None = Field(
        "test",
        description="Name of the split to evaluate on; null: none, and only agreement with the teacher on the "
        "training images is measured.",
    )
    train_samples: Int | None = Field(
        None, ge=1, description="Train on so many samples: the first of a seeded, class-balanced draw."
    )
    eval_samples: Int | None = Field(
        None, ge=1, description="Evaluate on so many samples only, drawn likewise; null: on all."
    )
    num_classes: Int | None = Field(
        None,
        ge=2,
        description="K, where the dataset does not tell it (streams, unlabelled images).",
    )
    image_size: Int | None = Field(
        None, ge=8, description="Side of the student's input in pixels; null: the student's own."
    )
    channels: Annotated[Literal[1, 3], BeforeValidator(_no_bool)] = Field(
        3, description="3: images are converted to RGB; 1: to grey."
    )
    mean: PerChannel | None = Field(
        None, description="Channel means for normalising; null: the student's own."
    )
    std: PerChannel | None = Field(
        None, description="Channel deviations for normalising; null: the student's own."
    )
    crop_pct: Float | None = Field(
        None,
        ge=0.01,
        le=1,
        description="Part of the image that evaluation crops; null: the student's, 1 up to 64 px.",
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = Field(
        None, description="How images are resized; null: the student's own."
    )
    workers: Int | None = Field(
        None,
        ge=0,
        json_schema_extra=_SAME_RESULTS,
        description="Loader processes; null: chosen by the machine.",
    )
    in_memory: Bool | None = Field(
        None,
        json_schema_extra=_SAME_RESULTS,
        description="Keep images in memory once they are decoded, so that later epochs read no files; null: where all "
        "of a split take at most a quarter of the free memory (divided among the processes).",
    )
    skip_broken: Bool = Field(
        False,
        description="Go on without images that are missing or cannot be decoded, and count them in the summary; else "
        "the first one ends the run.",
    )
    augment: AugmentSpec = Field(default_factory=AugmentSpec, description="How training images are varied.")
    mixup: Float = Field(0.0, ge=0, description="Mixup alpha (Zhang et al. 2018); 0 is off.")
    cutmix: Float = Field(0.0, ge=0, description="CutMix alpha (Yun et al. 2019); 0 is off.")

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and min(value) <= 0:
            raise ValueError("deviations are above 0")
        return value


class ModelSource(Section):
    """A model, by its name or by the run directory that holds it, and where its weights come from."""

    model: Text | None = Field(
        None,
        description="A timm model or a plugin's model; null: the model of the run directory 'checkpoint'.",
    )
    pretrained: Bool = Field(False, description="Start from timm's pretrained weights (downloads them).")
    checkpoint: Text | None = Field(
        None, description="Weights to start from: safetensors, a timm checkpoint, or a run directory."
    )
    small_input: Bool = Field(
        False, description="The architecture's known variant for 32-px images (stride-1 stem, small patches)."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments for the model's constructor, such as {'drop_path_rate': 0.1}; those of a plugin's "
        "model: kd show NAME.",
    )
    adapter: Text | None = Field(
        None,
        description="The feature adapter to use (kd list-adapters); null: the one for the model's class.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.pretrained and self.checkpoint is not None:
            raise ValueError("'pretrained' and 'checkpoint' exclude each other: give one of them")
        return self


class ModelSpec(ModelSource):
    """A model: which one, and where its weights come from."""

    model: Text = Field(
        description="A timm model, such as 'resnet18' or 'vit_tiny_patch16_224', or a plugin's model."
    )


class TeacherSpec(ModelSource):
    """The teacher, and where it was or will be trained."""

    model: Text | None = Field(
        None,
        description="A timm model or a plugin's model; null: the model of 'run' or of the run directory 'checkpoint'.",
    )
    run: Text | None = Field(
        None, description="A spec whose student is this teacher: run first unless its finished run is there."
    )
    image_size: Int | None = Field(
        None,
        ge=8,
        description="Side of the teacher's input; null: what it was trained with where that is known, "
        "else the student's.",
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Number format of its forward pass; null: that of 'train'."
    )
    channels_last: Bool | None = Field(
        None, description="Its images and weights in channels-last order; null: as 'train' says."
    )
    compile: Bool | None = Field(None, description="Compile it with torch.compile; null: as 'train' says.")
    fold: Bool = Field(
        True,
        description="Fold its batch norms into its convolutions: fewer layers, the same outputs but for rounding.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.run is not None and (self.pretrained or self.checkpoint is not None):
            raise ValueError("'run' excludes 'pretrained' and 'checkpoint': give one of them")
        if self.model is None and self.run is None and self.checkpoint is None:
            raise ValueError(
                "'model' is missing (only 'run' and a run directory as 'checkpoint' know theirs)"
            )
        return self


class DistillerSpec(BaseModel):
    """One distiller: its name, and its options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text = Field(description="A distiller's name (kd list-distillers), or 'plugin/name'.")

    @property
    def options(self) -> dict[str, Any]:
        """What the spec gives beside the name."""
        return dict(self.model_extra or {})


class TaskSpec(Section):
    """The loss against the ground truth."""

    weight: Float | None = Field(
        None, ge=0, description="Factor of the task loss; null: the distiller's own. 0 needs no labels."
    )
    label_smoothing: Float = Field(0.0, ge=0, lt=1, description="Label smoothing of the task loss.")


class TrainSpec(Section):
    """The training loop."""

    epochs: Int = Field(30, ge=1, description="Passes over the training set.")
    batch_size: Int = Field(
        64, ge=1, description="Samples of one optimizer step and pass, over all processes."
    )
    accumulate: Int = Field(1, ge=1, description="Batches whose gradients are added up before a step.")
    clip_grad: Float | None = Field(
        None, gt=0, description="Largest norm of the gradient; null: no clipping."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Number format of the forward passes."
    )
    ema: Float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of an averaged copy of the student, evaluated beside it; null: none.",
    )
    compile: Bool = Field(False, description="Compile student and teacher with torch.compile.")
    channels_last: Bool = Field(False, description="Keep images and weights in channels-last order.")
    grad_checkpointing: Bool = Field(
        False,
        json_schema_extra=_SAME_RESULTS,
        description="Compute the student's activations again in the backward pass instead of keeping them: less "
        "memory, more time.",
    )
    sync_bn: Bool = Field(
        False, description="Batch norm of student and heads over the whole batch of all processes."
    )
    fsdp: Literal["student", "student+teacher"] | None = Field(
        None,
        json_schema_extra=_SAME_RESULTS,
        description="Spread the weights of student and heads, or of the teacher too, over the processes (FSDP); "
        "null: each process has all weights.",
    )


class OptimizerSpec(Section):
    """The optimizer, by timm's factory."""

    name: Text = Field("sgd", description="A name of timm's optimizer factory: 'sgd', 'adamw', 'lamb', ...")
    lr: Float = Field(0.05, gt=0, description="Learning rate.")
    momentum: Float = Field(0.9, ge=0, lt=1, description="Momentum, for the optimizers that have one.")
    weight_decay: Float = Field(5e-4, ge=0, description="Weight decay.")
    filter_bias_and_bn: Bool = Field(
        True,
        description="No weight decay for biases and normalisation layers. The CIFAR papers decay them: false.",
    )
    layer_decay: Float | None = Field(
        None, gt=0, le=1, description="Factor on the learning rate from layer to layer."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="More arguments of the optimizer, such as {'nesterov': false}."
    )


class SchedulerSpec(Section):
    """The learning rate over time, by timm's factory."""

    name: Text = Field(
        "cosine", description="'cosine', 'step', 'multistep', 'poly', 'tanh', 'plateau', or 'none'."
    )
    warmup_epochs: Int = Field(0, ge=0, description="Epochs of linear warm-up.")
    warmup_lr: Float = Field(1e-5, ge=0, description="Learning rate at the start of the warm-up.")
    min_lr: Float = Field(0.0, ge=0, description="Lowest learning rate.")
    decay_epochs: Float | None = Field(
        None,
        gt=0,
        description="Epochs between the decays of 'step', or of the last phase of 'wsd' and 'rsqrt' (below 1: that "
        "part of all epochs); null: timm's own, 90 and 0.2.",
    )
    decay_milestones: tuple[Int, ...] = Field(
        (150, 180, 210), description="'multistep' decays after so many epochs, as the papers count them."
    )
    decay_rate: Float = Field(0.1, gt=0, le=1, description="Factor of a decay; for 'poly' the power.")
    cooldown_epochs: Int = Field(
        0, ge=0, description="The last so many epochs keep the lowest learning rate."
    )
    patience_epochs: Int = Field(10, ge=0, description="Epochs without gain before 'plateau' decays.")
    per_step: Bool = Field(False, description="Change the learning rate each step instead of each epoch.")

    @field_validator("decay_milestones")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value, default=1) < 1 or any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("rising epochs above 0 are wanted")
        return value


class CheckpointSpec(Section):
    """When the state of the run is kept, beside the end of each epoch."""

    minutes: Float = Field(
        15.0,
        gt=0,
        json_schema_extra=_SAME_RESULTS,
        description="A checkpoint at least this often, in minutes.",
    )


class TeacherCacheSpec(Section):
    """The cache of the teacher's outputs: each sample has a fixed number of augmentations, seen in turn."""

    augmentations: Int = Field(
        ge=1,
        description="Augmentations of each sample: epoch e sees number e mod this. The first so many epochs fill "
        "the cache, the others read it.",
    )
    dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "float16", description="Number format of what is kept."
    )
    top_k: Int | None = Field(
        None,
        ge=1,
        description="Keep the so many largest logits and the probability that remains; null: all logits.",
    )
    folder: Text | None = Field(
        None,
        json_schema_extra=_SAME_RESULTS,
        description="A folder that several runs share, relative to the spec's file; null: 'teacher-cache' in the run "
        "directory.",
    )


def _as_list(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [{"name": item} if isinstance(item, str) else item for item in value]
    return [{"name": value} if isinstance(value, str) else value]


Distillers = Annotated[
    tuple[DistillerSpec, ...],
    BeforeValidator(_as_list),
    Field(
        min_length=1,
        json_schema_extra={
            "x-words": "a distiller's name, an object of 'name' and options, or a list of these"
        },
    ),
]


class TrackerSpec(BaseModel):
    """One tracker: its name, and its options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text = Field(description="A name that accelerate has: 'tensorboard', 'wandb', 'mlflow', ...")

    @property
    def options(self) -> dict[str, Any]:
        """What the spec gives beside the name."""
        return dict(self.model_extra or {})


Trackers = Annotated[
    tuple[TrackerSpec, ...],
    BeforeValidator(_as_list),
    Field(
        json_schema_extra={
            "x-words": "a tracker's name, an object of 'name' and options, or a list of these",
            **_SAME_RESULTS,
        }
    ),
]


class AppliedRecipe(Section):
    """The recipe that a resolved spec was made with; nothing is taken from it any more."""

    applied: Text = Field(description="Its name.")


class _Explained(type(BaseModel)):  # type: ignore[misc]  # pydantic's metaclass, whose module is private
    """Tells what is wrong with arguments in the words of a spec's file, and as `UserError`."""

    def __call__(cls, **sections: Any) -> Any:
        try:
            return super().__call__(**sections)
        except ValidationError as error:
            found = faults(error, sections, cls.model_json_schema())
            raise UserError(fault.problem for fault in found) from None


class RunSpec(Section, metaclass=_Explained):
    """The validated description of a run.

    Made in Python, a section is a model of this module or a dict, and a distiller its name, a dict or a list.

    Raises:
        UserError: with every problem that its types tell.
    """

    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=128,
        json_schema_extra={
            "x-words": "letters, digits, '_', '.' and '-', the first a letter or a digit",
            **_SAME_RESULTS,
        },
        description="Name of the run and of its directory; when left out, that of the spec's file.",
    )
    seed: Int = Field(0, ge=0, lt=2**63, description="Where all randomness comes from.")
    recipe: Text | AppliedRecipe | None = Field(
        None,
        json_schema_extra={"x-words": "a recipe's name (kd list-recipes), or null", **_SAME_RESULTS},
        description="A paper's way of training, whose values hold where this spec has none. A run directory's spec has "
        "all values and {'applied': name}: nothing is looked up again.",
    )
    output: Text = Field(
        "runs",
        json_schema_extra=_SAME_RESULTS,
        description="Folder of the run directories, relative to the spec's file.",
    )
    data: DataSpec = Field(default_factory=DataSpec, description="Which images, and how they are read.")
    teacher: TeacherSpec | None = Field(None, description="The teacher; null for distillers that need none.")
    student: ModelSpec = Field(description="The model that is trained.")
    distiller: Distillers = Field(
        description="A distiller, or a list of them whose loss terms add up: a name, or an object of name and options."
    )
    task: TaskSpec = Field(default_factory=TaskSpec, description="The loss against the ground truth.")
    train: TrainSpec = Field(default_factory=TrainSpec, description="The training loop.")
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec, description="The optimizer.")
    scheduler: SchedulerSpec = Field(
        default_factory=SchedulerSpec, description="The learning rate over time."
    )
    checkpoint: CheckpointSpec = Field(
        default_factory=CheckpointSpec, description="When the run's state is kept."
    )
    teacher_cache: TeacherCacheSpec | None = Field(
        None, description="The cache of the teacher's outputs; null: the teacher is asked in each step."
    )
    trackers: Trackers = Field(
        (),
        description="Where else an epoch's metrics go, by accelerate: 'tensorboard', 'wandb', 'mlflow', 'comet_ml', "
        "'aim', 'clearml', 'dvclive', 'swanlab', 'trackio'; an object of name and options for what it takes.",
    )

    report: Bool | Annotated[Int, Field(ge=1)] = Field(
        True,
        json_schema_extra=_SAME_RESULTS,
        description="Make the report at the end; a number: from at most so many evaluation images (true: 10,000).",
    )

    @model_serializer(mode="wrap")
    def _single_distiller_as_object(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if len(self.distiller) == 1:
            fields["distiller"] = fields["distiller"][0]
        return fields
