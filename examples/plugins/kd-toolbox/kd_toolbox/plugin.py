"""What this plugin adds: one thing of every role, and a hook of a run. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore import (
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
    hookimpl,
)

if TYPE_CHECKING:
    from kdcore import RunDirectory

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """`logit-cosine`."""
    return [
        DistillerEntry(
            name="logit-cosine",
            kind="logit",
            summary="One minus the cosine between the logits of student and teacher.",
            target="kd_toolbox.distiller:LogitCosine",
            options="kd_toolbox.options:LogitCosineOptions",
            formula="mean (1 - cos(s, t))",
        )
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The stages of the model below."""
    return [
        AdapterEntry(
            name="plain-net",
            summary="PlainNet: the outputs of its four blocks.",
            target="kd_toolbox.adapter:PlainNetAdapter",
            models=("kd_toolbox.model:PlainNet",),
        )
    ]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    """`stripes`."""
    return [
        DatasetEntry(
            name="stripes",
            summary="Noisy stripes in four directions, drawn when they are read.",
            target="kd_toolbox.dataset:Stripes",
            num_classes=4,
            options="kd_toolbox.options:StripesOptions",
        )
    ]


@hookimpl
def kd_models() -> list[ModelEntry]:
    """`plain-net`."""
    return [
        ModelEntry(
            name="plain-net",
            summary="Four blocks of a convolution, ReLU and average pooling.",
            target="kd_toolbox.model:build",
            options="kd_toolbox.options:PlainNetOptions",
        )
    ]


@hookimpl
def kd_transforms() -> list[TransformEntry]:
    """`leaky`."""
    return [
        TransformEntry(
            name="leaky",
            summary="Every ReLU becomes a leaky one.",
            target="kd_toolbox.transform:Leaky",
            options="kd_toolbox.options:LeakyOptions",
        )
    ]


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """`kd csv`."""
    return [
        CommandEntry(
            name="csv",
            summary="Write the metrics of each epoch of RUN as CSV.",
            target="kd_toolbox.command:csv_command",
        )
    ]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    """`toolbox-quick`."""
    return [
        RecipeEntry(
            name="toolbox-quick",
            summary="A few epochs of AdamW, to try something on small images.",
            path="kd_toolbox:recipes/toolbox-quick.toml",
        )
    ]


@hookimpl
def kd_exporters() -> list[ExporterEntry]:
    """`npz`."""
    return [
        ExporterEntry(
            name="npz",
            summary="Weights as NumPy arrays; NumPy alone runs a plain-net.",
            target="kd_toolbox.exporter:write_npz",
        )
    ]


@hookimpl
def kd_metrics() -> list[MetricEntry]:
    """`overconfidence`."""
    return [
        MetricEntry(
            name="overconfidence",
            summary="Mean confidence minus accuracy, from -1 to 1; above 0, the model is too sure.",
            target="kd_toolbox.metric:overconfidence",
        )
    ]


@hookimpl
def kd_report_sections() -> list[SectionEntry]:
    """`confusions`."""
    return [
        SectionEntry(
            name="confusions",
            summary="The pairs of classes that the student confuses most often.",
            target="kd_toolbox.section:confusions",
        )
    ]


@hookimpl
def kd_launchers() -> list[LauncherEntry]:
    """`nice`."""
    return [
        LauncherEntry(
            name="nice",
            summary="One run after another, which give way to other processes of this machine.",
            target="kd_toolbox.launcher:NiceLauncher",
            options="kd_toolbox.options:NiceOptions",
        )
    ]


@hookimpl
def kd_run_failed(run: RunDirectory, summary: dict[str, Any]) -> None:
    """Add a line to `failures.log` in the run directory."""
    with (run.path / "failures.log").open("a", encoding="utf-8") as file:
        print(f"after epoch {len(run.metrics())}: {summary['error']}", file=file)
