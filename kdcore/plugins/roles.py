"""The table of roles: everything that kd does for each kind of thing that plugins declare follows from its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kdcore.entries import (
    AdapterEntry,
    AnyEntry,
    CommandEntry,
    DatasetEntry,
    DistillerEntry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    ModelEntry,
    RecipeEntry,
    SectionEntry,
    TransformEntry,
)

if TYPE_CHECKING:
    from collections.abc import Callable

OptionsRule = Literal["none", "weighted", "strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One kind of thing that plugins declare.

    Attributes:
        name: for messages, as in "there is no distiller of this name".
        plural: for lists.
        hook: the hook that declares it.
        entry: the type of its records.
        usage: how a name is used: a part of a spec, or a command line.
        options: `none`: it has no options. `weighted`: its record names a pydantic model with a field `weight`.
            `strict`: its record may name a pydantic model, which must refuse unknown keys.
        spec_fields: the fields of a spec that name one, as `Model.field` of the JSON Schema.
        open: whether these fields accept other names as well, such as those of timm.
    """

    name: str
    plural: str
    hook: str
    entry: type[AnyEntry]
    usage: Callable[[str], dict[str, Any] | str]
    options: OptionsRule = "none"
    spec_fields: tuple[str, ...] = ()
    open: bool = False

    @property
    def key(self) -> str:
        """The plural as a key of JSON."""
        return self.plural.replace(" ", "_")


ROLES: Final[dict[type[AnyEntry], Role]] = {
    role.entry: role
    for role in (
        Role(
            name="distiller",
            plural="distillers",
            hook="kd_distillers",
            entry=DistillerEntry,
            usage=lambda name: {"distiller": {"name": name}},
            options="weighted",
        ),
        Role(
            name="adapter",
            plural="adapters",
            hook="kd_feature_adapters",
            entry=AdapterEntry,
            usage=lambda name: {"student": {"model": "resnet18", "adapter": name}},
            spec_fields=("ModelSpec.adapter", "TeacherSpec.adapter"),
        ),
        Role(
            name="dataset",
            plural="datasets",
            hook="kd_datasets",
            entry=DatasetEntry,
            usage=lambda name: {"data": {"dataset": name}},
            options="strict",
            spec_fields=("DataSpec.dataset",),
            open=True,
        ),
        Role(
            name="model",
            plural="models",
            hook="kd_models",
            entry=ModelEntry,
            usage=lambda name: {"student": {"model": name}},
            options="strict",
        ),
        Role(
            name="transform",
            plural="transforms",
            hook="kd_transforms",
            entry=TransformEntry,
            usage=lambda name: {"student": {"model": "resnet18", "transform": {"name": name}}},
            options="strict",
        ),
        Role(
            name="command",
            plural="commands",
            hook="kd_commands",
            entry=CommandEntry,
            usage=lambda name: f"kd {name}",
        ),
        Role(
            name="recipe",
            plural="recipes",
            hook="kd_recipes",
            entry=RecipeEntry,
            usage=lambda name: {"recipe": name},
            spec_fields=("RunSpec.recipe",),
        ),
        Role(
            name="exporter",
            plural="exporters",
            hook="kd_exporters",
            entry=ExporterEntry,
            usage=lambda name: f"kd export RUN --to {name}",
            options="strict",
        ),
        Role(
            name="metric",
            plural="metrics",
            hook="kd_metrics",
            entry=MetricEntry,
            usage=lambda name: {"metrics": [name]},
            spec_fields=("RunSpec.metrics",),
        ),
        Role(
            name="report section",
            plural="report sections",
            hook="kd_report_sections",
            entry=SectionEntry,
            usage=lambda name: "kd report RUN",
        ),
        Role(
            name="launcher",
            plural="launchers",
            hook="kd_launchers",
            entry=LauncherEntry,
            usage=lambda name: f"kd compare SPEC --launcher {name}",
            options="strict",
        ),
    )
}
"""The roles by the type of their records, in the order of lists."""

HOOKS: Final[dict[str, Role]] = {role.hook: role for role in ROLES.values()}
"""The roles by the hook that declares them."""


def role_of(entry: AnyEntry) -> Role:
    """The role of a record."""
    return ROLES[type(entry)]
