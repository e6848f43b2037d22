"""The sections `student` and `teacher` of a run spec."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.channels import Channels  # noqa: TC001  # pydantic reads it
from kdcore.spec.fields import Bool, Int, Section, Text
from kdcore.spec.image_size import ImageSize  # noqa: TC001  # pydantic reads it
from kdcore.spec.named_spec import Transforms, TransformSpec


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
        False, description="The variant of the architecture for 32-px images (stride-1 stem, small patches)."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments for the model's constructor, such as {'drop_path_rate': 0.1}; the options of a plugin's "
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
    classifier: Bool = Field(
        True,
        description="False: the student is an encoder. It learns an embedding from the teacher alone, without labels; "
        "labels, if the images have any, only measure it.",
    )
    channels: Channels | None = Field(
        None,
        description="The channels of the images that the student takes: a list such as [0, 1, 2], or 'grey', computed "
        "from RGB; null: all.",
    )
    transform: Transforms = Field(
        None,
        description="What changes the student after it is built and before it is trained: a transform of a plugin, "
        "or a list of them in their order; null: nothing.",
    )

    @property
    def transforms(self) -> tuple[tuple[str, TransformSpec], ...]:
        """The transforms, each with its place in the spec."""
        given = self.transform
        if isinstance(given, TransformSpec):
            return (("student.transform", given),)
        return tuple((f"student.transform[{number}]", one) for number, one in enumerate(given or ()))


class TeacherSpec(ModelSource):
    """The teacher, and where it was or will be trained."""

    model: Text | None = Field(
        None,
        description="A timm model or a plugin's model; null: the model of 'run' or of the run directory 'checkpoint'.",
    )
    name: Text | None = Field(
        None,
        description="Its name, by which distillers choose one of several teachers; needed in a list.",
    )
    run: Text | None = Field(
        None,
        description="A spec whose student is this teacher. It is run first, unless its finished run exists.",
    )
    classifier: Bool = Field(
        True,
        description="False: the teacher is an encoder. It gives features and an embedding, and no logits; its weights "
        "may have no classifier, or one for other classes.",
    )
    classes: Literal["by-name"] | dict[str, str | Int] | None = Field(
        None,
        json_schema_extra={"x-words": "'by-name', an object, or null"},
        description="The teacher's classes that are the data's, if it knows others or another order: 'by-name', or an "
        "object from each class of the data to the teacher's class or its index. The other classes are left out. null: "
        "both have the same classes in the same order.",
    )
    learns: Bool = Field(
        False,
        description="True: the teacher is trained together with the student, with a task loss of its own (mutual "
        "learning). It is evaluated, saved and resumed like the student.",
    )
    of: Literal["student-ema"] | None = Field(
        None, description="'student-ema': the teacher is the student's own average, see 'train.ema'."
    )
    image_size: ImageSize | None = Field(
        None,
        description="Side of the teacher's input in pixels, or [height, width]; null: the size it was trained "
        "with, if that is known, otherwise the student's.",
    )
    channels: Channels | None = Field(
        None,
        description="The channels of the student's images that the teacher takes: a list such as [0, 1, 2], or 'grey', "
        "computed from RGB; null: those of its own 'run', if its images are the same, otherwise all.",
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Number format of its forward pass; null: the format of 'train'."
    )
    channels_last: Bool | None = Field(
        None,
        description="Its images and weights in channels-last order; null: as 'train' has it, and in 16 bits if no "
        "distiller reads its maps.",
    )
    compile: Bool | None = Field(
        None,
        description="Compile it with torch.compile; null: as 'train' has it. If "
        "train.compile is 'step', false leaves its pass out of the compiled step.",
    )
    fold: Bool = Field(
        True,
        description="Fold its batch norms into its convolutions: fewer layers, the same outputs except for rounding.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.run is not None and (self.pretrained or self.checkpoint is not None):
            raise ValueError("'run' excludes 'pretrained' and 'checkpoint': give one of them")
        if self.classes is not None and not self.classifier:
            raise ValueError(
                "'classes' chooses logits, and with 'classifier' false there are none: leave one out"
            )
        if self.of is not None:
            others = (
                "model",
                "pretrained",
                "checkpoint",
                "run",
                "options",
                "small_input",
                "adapter",
                "learns",
            )
            given = [name for name in (*others, "image_size", "channels", "classes") if getattr(self, name)]
            if given:
                raise ValueError(f"'of' excludes {', '.join(map(repr, given))}: the model is the student's")
            return self
        if self.learns:
            given = [
                name for name in ("classes", "precision", "channels_last", "compile") if getattr(self, name)
            ]
            if given or not self.classifier:
                what = ", ".join(map(repr, given)) or "'classifier': false"
                raise ValueError(
                    f"'learns' excludes {what}: it is trained like the student, on the same classes"
                )
        if self.model is None and self.run is None and self.checkpoint is None:
            raise ValueError(
                "'model' is missing (only with 'run', or a run directory as 'checkpoint', it can be left out)"
            )
        return self
