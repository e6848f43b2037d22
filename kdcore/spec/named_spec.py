"""Distillers and trackers in a run spec: each has a name, and options next to it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
