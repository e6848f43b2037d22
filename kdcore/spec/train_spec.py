"""The sections of a run spec that say how the student is trained, from the task loss to the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kdcore.spec.fields import SAME_RESULTS, Bool, Count, Float, Int, Section, Text

Weight = Annotated[Float, Field(ge=0)]
TopK = Annotated[Int, Field(ge=1)]


class TaskSpec(Section):
    """What the labels are, and the loss against them."""

    kind: Literal["classes", "labels", "none"] = Field(
        "classes",
        description="'classes': an image has one class; 'labels': any number of them; 'none': labels are not read, and "
        "the agreement with the teacher is measured.",
    )
    weight: Float | None = Field(
        None,
        ge=0,
        description="Factor of the task loss; null: the distiller's own, or 0 with kind 'none'. 0 needs no labels.",
    )
    label_smoothing: Float = Field(0.0, ge=0, lt=1, description="Label smoothing of the task loss.")
    loss: Literal["cross-entropy", "bce", "focal"] = Field(
        "cross-entropy",
        description="'cross-entropy'; 'bce': binary cross-entropy of each class, as in the recipes A1 to A3 of timm; "
        "'focal': with less weight on images that are already right. Several labels an image need 'bce', which is "
        "their default, or 'focal'.",
    )
    class_weights: Literal["balanced"] | tuple[Weight, ...] | dict[str, Weight] | None = Field(
        None,
        description="Factors of the classes in the task loss: a list, or numbers by class name (1 for the others); "
        "'balanced': in inverse proportion to the number of their training images.",
    )
    pos_weight: Literal["balanced"] | tuple[Weight, ...] | dict[str, Weight] | None = Field(
        None,
        description="For several labels an image: factors of the images that have a label, in its part of the task "
        "loss: a list, or numbers by name (1 for the others); 'balanced': images without it divided by images with it.",
    )
    bce_threshold: Float | None = Field(
        None,
        ge=0,
        lt=1,
        description="For 'bce': a target above it counts as 1, any other as 0, such as 0.2 for mixed images; null: "
        "targets as they are.",
    )
    focal_gamma: Float = Field(2.0, ge=0, description="For 'focal': the power of 1 - p; 0 is cross-entropy.")
    top_k: tuple[TopK, ...] = Field(
        (),
        json_schema_extra=SAME_RESULTS,
        description="More values of k for which top-k accuracy is measured, apart from 1 and 5; each below "
        "the number of classes.",
    )
    views: Literal["mean", "sum"] = Field(
        "mean", description="Of the task losses of several views of an image: their mean, or their sum."
    )

    @model_validator(mode="before")
    @classmethod
    def _loss_of_labels(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("kind") == "labels" and "loss" not in given:
            return {**given, "loss": "bce"}
        return given


class TrainSpec(Section):
    """The training loop."""

    epochs: Int = Field(30, ge=1, description="Passes over the training set.")
    batch_size: Int = Field(64, ge=1, description="Samples of one batch, over all processes.")
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
        description="Decay of an averaged copy of the student, evaluated next to it; null: no average.",
    )
    metric: Text | None = Field(
        None,
        description="The measure on the evaluation images that decides which epoch is the best, for keep, patience, "
        "the 'plateau' schedule and kd compare: 'top1', 'macro_f1', 'balanced_accuracy', ..., or a metric of a plugin "
        "for which larger is better; null: top-1, or without labels the agreement with the teacher.",
    )
    patience: Int | None = Field(
        None,
        ge=1,
        description="End the training after this number of epochs in a row without a better score on the evaluation "
        "images; null: train all epochs.",
    )
    min_delta: Float = Field(
        0.0,
        ge=0,
        description="For patience: a score is better if it grows by more than this, in percentage points (a metric of "
        "a plugin: in its own unit).",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Which weights become the student at the end: those after the last epoch, or those of the epoch "
        "with the best score on the evaluation images.",
    )
    compile: Bool | Literal["step"] = Field(
        False,
        description="true: compile student and teacher with torch.compile; 'step': everything from a batch to the "
        "gradients as one function, with the losses.",
    )
    channels_last: Bool = Field(False, description="Keep images and weights in channels-last order.")
    grad_checkpointing: Bool = Field(
        False,
        json_schema_extra=SAME_RESULTS,
        description="Compute the student's activations again in the backward pass instead of keeping them: less "
        "memory, more time.",
    )
    sync_bn: Bool = Field(
        False, description="Batch norm of student and heads over the whole batch of all processes."
    )
    fsdp: Literal["student", "student+teacher"] | None = Field(
        None,
        json_schema_extra=SAME_RESULTS,
        description="Spread the weights of student and heads, or of the teacher too, over the processes (FSDP); "
        "null: each process has all weights.",
    )


class OptimizerSpec(Section):
    """The optimizer, by timm's factory, or 'dot'."""

    name: Text = Field(
        "sgd",
        description="A name of timm's optimizer factory: 'sgd', 'adamw', 'lamb', ...; or 'dot': SGD with a momentum "
        "for the task's gradient and a larger one for the distillers'.",
    )
    lr: Float = Field(0.05, gt=0, description="Learning rate.")
    lr_batch_size: Int | None = Field(
        None,
        ge=1,
        description="The batch size that 'lr' is for: with another one (train.batch_size times train.accumulate) the "
        "learning rate changes as 'lr_scaling' says; null: 'lr' is for any.",
    )
    lr_scaling: Literal["sqrt", "linear"] = Field(
        "sqrt",
        description="How the learning rate grows with the batch size, if lr_batch_size is given: with its square root, "
        "or in proportion.",
    )
    momentum: Float = Field(0.9, ge=0, lt=1, description="Momentum, for the optimizers that have one.")
    weight_decay: Float = Field(5e-4, ge=0, description="Weight decay.")
    filter_bias_and_bn: Bool = Field(
        True,
        description="No weight decay for biases and normalisation layers. The CIFAR papers decay them: false.",
    )
    delta: Float | None = Field(
        None,
        ge=0,
        lt=1,
        description="For 'dot': the momentum is lower by this for the task and higher for the distillers; null: 0.075.",
    )
    align_gradients: Bool = Field(
        False,
        description="Leave out the part of the distillers' gradient that opposes the task's, if their product over all "
        "parameters is below 0. It takes a second backward pass.",
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
    warmup_epochs: Count = Field(
        0, ge=0, description="Epochs of linear warm-up; with per_step also a part of an epoch, such as 0.5."
    )
    warmup_lr: Float = Field(1e-5, ge=0, description="Learning rate at the start of the warm-up.")
    min_lr: Float = Field(0.0, ge=0, description="Lowest learning rate.")
    decay_epochs: Float | None = Field(
        None,
        gt=0,
        description="Epochs between the decays of 'step', or of the last phase of 'wsd' and 'rsqrt' (below 1: that "
        "part of all epochs); null: timm's own, 90 and 0.2.",
    )
    decay_milestones: tuple[Int, ...] = Field(
        (150, 180, 210),
        description="'multistep' decays after these numbers of epochs, counted as in the papers.",
    )
    decay_rate: Float = Field(0.1, gt=0, le=1, description="Factor of a decay; for 'poly' the power.")
    cooldown_epochs: Int = Field(
        0, ge=0, description="Number of epochs at the end with the lowest learning rate."
    )
    patience_epochs: Int = Field(
        10, ge=0, description="Epochs without a better accuracy before 'plateau' decays."
    )
    per_step: Bool = Field(False, description="Change the learning rate each step instead of each epoch.")

    @field_validator("decay_milestones")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value, default=1) < 1 or any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("rising epochs above 0 are wanted")
        return value


class CheckpointSpec(Section):
    """When the state of the run is saved, in addition to the end of each epoch."""

    minutes: Float = Field(
        15.0,
        gt=0,
        json_schema_extra=SAME_RESULTS,
        description="Longest time between two checkpoints, in minutes.",
    )


def scaled_optimizer(optimizer: OptimizerSpec, train: TrainSpec) -> OptimizerSpec:
    """The optimizer with the learning rate for the batch size of a run."""
    if optimizer.lr_batch_size is None:
        return optimizer
    ratio = train.batch_size * train.accumulate / optimizer.lr_batch_size
    rate = optimizer.lr * (math.sqrt(ratio) if optimizer.lr_scaling == "sqrt" else ratio)
    return optimizer.model_copy(update={"lr": rate, "lr_batch_size": None})
