"""The core's own plugin: the baseline, the digits data, the adapter for timm models, the report of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.entries import AdapterEntry, DatasetEntry, DistillerEntry
from kdcore.hookspecs import hookimpl

if TYPE_CHECKING:
    from kdcore.rundir.directory import RunDirectory


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """Training without a teacher, for comparison."""
    return [
        DistillerEntry(
            name="vanilla",
            kind="baseline",
            summary="No distillation: the student learns from the ground truth alone.",
            target="kdcore.distill.vanilla:Vanilla",
            options="kdcore.distill.vanilla_options:VanillaOptions",
            formula="0 (only the task loss remains)",
        )
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The adapter for models without an adapter of their own."""
    return [
        AdapterEntry(
            name="timm",
            summary="Every timm model that gives intermediate features; used if no other adapter fits.",
            target="kdcore.features.timm:TimmAdapter",
        )
    ]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    """A dataset that needs no network."""
    return [
        DatasetEntry(
            name="digits",
            summary="1797 hand-written digits of 8x8 pixels, from scikit-learn.",
            target="kdcore.data.digits:Digits",
            num_classes=10,
        )
    ]


@hookimpl
def kd_run_finished(run: RunDirectory) -> str | bool | None:
    """Write the report, unless the spec or the environment turns reports off."""
    from kdcore.commands.report.switch import reports_are_on

    if run.spec().get("report") is False:
        return None
    if not reports_are_on():
        return False  # the next start may write it
    from kdcore.commands.report.at_the_end import report_at_the_end  # not needed by most commands

    return report_at_the_end(run)
