"""All hooks. Declaring hooks return records and import nothing heavy; run hooks are called during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from kdcore.entries import (
        AdapterEntry,
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
    from kdcore.rundir.directory import RunDirectory
    from kdcore.stop_training import StopTraining

hookspec = pluggy.HookspecMarker("kdcore")
hookimpl = pluggy.HookimplMarker("kdcore")


@hookspec
def kd_distillers() -> list[DistillerEntry]:  # type: ignore[empty-body]
    """Declare distillers."""


@hookspec
def kd_feature_adapters() -> list[AdapterEntry]:  # type: ignore[empty-body]
    """Declare feature adapters and the model classes that they serve."""


@hookspec
def kd_datasets() -> list[DatasetEntry]:  # type: ignore[empty-body]
    """Declare datasets."""


@hookspec
def kd_models() -> list[ModelEntry]:  # type: ignore[empty-body]
    """Declare models."""


@hookspec
def kd_transforms() -> list[TransformEntry]:  # type: ignore[empty-body]
    """Declare transforms: changes of the built student before it is trained."""


@hookspec
def kd_commands() -> list[CommandEntry]:  # type: ignore[empty-body]
    """Declare commands of `kd`."""


@hookspec
def kd_recipes() -> list[RecipeEntry]:  # type: ignore[empty-body]
    """Declare recipes: values that a spec can start from."""


@hookspec
def kd_exporters() -> list[ExporterEntry]:  # type: ignore[empty-body]
    """Declare formats of `kd export`."""


@hookspec
def kd_metrics() -> list[MetricEntry]:  # type: ignore[empty-body]
    """Declare metrics of evaluations."""


@hookspec
def kd_report_sections() -> list[SectionEntry]:  # type: ignore[empty-body]
    """Declare sections of a run's report."""


@hookspec
def kd_launchers() -> list[LauncherEntry]:  # type: ignore[empty-body]
    """Declare ways to start runs."""


@hookspec
def kd_run_started(run: RunDirectory) -> None:
    """A run begins or continues: everything is built, and this process has not done a step."""


@hookspec
def kd_epoch_ended(run: RunDirectory, metrics: dict[str, Any]) -> StopTraining | None:
    """An epoch was trained and evaluated; `metrics` is its line of `metrics.jsonl`.

    A plugin that returns a `StopTraining` ends the training after this epoch.
    """


@hookspec
def kd_run_finished(run: RunDirectory, summary: dict[str, Any]) -> str | bool | None:
    """A run is complete; `summary` is the content of `summary.json`.

    A plugin is called at least once per run: if it raises an error or returns False, the next start calls it again.
    Text that it returns is shown to the user.
    """


@hookspec
def kd_run_failed(run: RunDirectory, summary: dict[str, Any]) -> None:
    """A run failed; `summary` is the content of `summary.json`, with the reason in `error`."""
