"""Distillers, transforms and trackers in a run spec: each has a name, and options next to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from kdcore.spec.fields import SAME_RESULTS, Text, as_list


class NamedSpec(BaseModel):
    """A thing by its name, with its options next to it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text = Field(description="The name.")

    @property
    def options(self) -> dict[str, Any]:
        """What the spec gives next to the name."""
        return dict(self.model_extra or {})


class DistillerSpec(NamedSpec):
    """One distiller: its name, and its options next to it."""

    name: Text = Field(description="A distiller's name (kd list-distillers), or 'plugin/name'.")


Distillers = Annotated[
    tuple[DistillerSpec, ...],
    BeforeValidator(as_list),
    Field(
        min_length=1,
        json_schema_extra={
            "x-words": "a distiller's name, an object of 'name' and options, or a list of these"
        },
    ),
]


class TransformSpec(NamedSpec):
    """One transform of the student: its name, and its options next to it."""

    name: Text = Field(description="A transform's name (kd list-transforms), or 'plugin/name'.")


def _one_or_several(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A name or an object stays one, a list becomes a tuple. As a list, so that errors have one form."""
    if value is None:
        return None
    if isinstance(value, list | tuple) and not value:
        raise ValueError("a list must have one transform at least; null: there is none")
    found = validate(as_list(value))
    return found if isinstance(value, list | tuple) else found[0]


def _as_given(value: Any, info: SerializationInfo) -> Any:
    how: dict[str, Any] = {"mode": info.mode, "exclude_unset": info.exclude_unset}
    if isinstance(value, TransformSpec):
        return value.model_dump(**how)
    return value and [one.model_dump(**how) for one in value]


if TYPE_CHECKING:
    Transforms = TransformSpec | tuple[TransformSpec, ...] | None
else:
    Transforms = Annotated[
        tuple[TransformSpec, ...],
        WrapValidator(_one_or_several),
        PlainSerializer(_as_given),
        Field(
            json_schema_extra={
                "x-words": "a transform's name, an object of 'name' and options, a list of these, or null"
            },
        ),
    ]


class TrackerSpec(NamedSpec):
    """One tracker: its name, and its options next to it."""

    name: Text = Field(description="A name that accelerate has: 'tensorboard', 'wandb', 'mlflow', ...")


Trackers = Annotated[
    tuple[TrackerSpec, ...],
    BeforeValidator(as_list),
    Field(
        json_schema_extra={
            "x-words": "a tracker's name, an object of 'name' and options, or a list of these",
            **SAME_RESULTS,
        }
    ),
]
