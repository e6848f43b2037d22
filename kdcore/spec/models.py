"""The run spec. Its sections are pydantic models, whose field descriptions are the documentation and the schema."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from kdcore.errors import UserError
from kdcore.spec.data_spec import AugmentSpec, DataSpec
from kdcore.spec.fields import SAME_RESULTS, Bool, Int, Section, Text
from kdcore.spec.members import Member, Teachers, members
from kdcore.spec.model_spec import ModelSource, ModelSpec, TeacherSpec
from kdcore.spec.named_spec import Distillers, DistillerSpec, Trackers, TrackerSpec
from kdcore.spec.problems import faults
from kdcore.spec.teacher_cache_spec import TeacherCacheSpec
from kdcore.spec.train_spec import CheckpointSpec, OptimizerSpec, SchedulerSpec, TaskSpec, TrainSpec

__all__ = [
    "RUN_NAME",
    "AppliedRecipe",
    "AugmentSpec",
    "CheckpointSpec",
    "DataSpec",
    "DistillerSpec",
    "ModelSource",
    "ModelSpec",
    "OptimizerSpec",
    "RunSpec",
    "SchedulerSpec",
    "TaskSpec",
    "TeacherCacheSpec",
    "TeacherSpec",
    "TrackerSpec",
    "TrainSpec",
]


RUN_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a run's name looks like."""


class AppliedRecipe(Section):
    """The recipe that a resolved spec was made with; it is not read again."""

    applied: Text = Field(description="Its name.")


class _Explained(type(BaseModel)):  # type: ignore[misc]  # pydantic's metaclass, whose module is private
    """Reports what is wrong with arguments in the words of a spec's file, as `UserError`."""

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
        UserError: with every problem that its types show.
    """

    name: str = Field(
        "run",
        pattern=RUN_NAME,
        max_length=128,
        json_schema_extra={
            "x-words": "letters, digits, '_', '.' and '-', the first a letter or a digit",
            **SAME_RESULTS,
        },
        description="Name of the run and of its directory; by default the name of the spec's file.",
    )
    seed: Int = Field(0, ge=0, lt=2**63, description="Seed of all random numbers.")
    recipe: Text | AppliedRecipe | None = Field(
        None,
        json_schema_extra={"x-words": "a recipe's name (kd list-recipes), or null", **SAME_RESULTS},
        description="A paper's training settings, for all values that this spec does not give. A run directory's spec "
        "has all values and {'applied': name}; its recipe is not read again.",
    )
    output: Text = Field(
        "runs",
        json_schema_extra=SAME_RESULTS,
        description="Folder of the run directories, relative to the spec's file.",
    )
    data: DataSpec = Field(default_factory=DataSpec, description="Which images, and how they are read.")
    teacher: Teachers = Field(
        None,
        description="The teacher, or a list of teachers with a 'name' each; null for distillers that need no teacher.",
    )
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
    metrics: tuple[Text, ...] | None = Field(
        None,
        json_schema_extra={"x-words": "a list of metrics (kd list-metrics), or null", **SAME_RESULTS},
        description="Metrics of plugins that each evaluation computes; null: those of all installed plugins.",
    )
    checkpoint: CheckpointSpec = Field(
        default_factory=CheckpointSpec, description="When the run's state is saved."
    )
    teacher_cache: TeacherCacheSpec | None = Field(
        None, description="The cache of the teacher's outputs; null: the teacher runs in each step."
    )
    trackers: Trackers = Field(
        (),
        description="Trackers that also get the metrics of each epoch, through accelerate: "
        "'tensorboard', 'wandb', 'mlflow', 'comet_ml', "
        "'aim', 'clearml', 'dvclive', 'swanlab', 'trackio'; an object of name and options for what it takes.",
    )

    report: Bool | Annotated[Int, Field(ge=1)] = Field(
        True,
        json_schema_extra=SAME_RESULTS,
        description="kd-report makes the report at the end, if it is installed; a number: use at most this number of "
        "evaluation images (true: 10,000).",
    )

    @property
    def members(self) -> tuple[Member, ...]:
        """The teachers with their names and places in the spec."""
        return members(self.teacher)

    @model_serializer(mode="wrap")
    def _single_distiller_as_object(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if len(self.distiller) == 1:
            fields["distiller"] = fields["distiller"][0]
        return fields
