"""What this plugin declares. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import CommandEntry, SectionEntry, hookimpl

if TYPE_CHECKING:
    from kdcore import RunDirectory

PLUGIN_API = 1


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """`kd report`, `kd eval` and `kd data`."""
    return [
        CommandEntry(
            name="report",
            summary="Make the report of a run, finished or not, or a page that compares several.",
            target="kd_report.cli.report:report",
        ),
        CommandEntry(
            name="eval",
            summary="Evaluate TARGET on images, and compare it with its teacher.",
            target="kd_report.cli.eval:evaluate",
        ),
        CommandEntry(
            name="data",
            summary="Look at the images of SPEC before training.",
            target="kd_report.cli.data:data",
        ),
    ]


@hookimpl
def kd_report_sections() -> list[SectionEntry]:
    """The sections of every report; those of other plugins go between them by their `order`."""
    return [
        SectionEntry(
            name="training",
            summary="Accuracy, loss terms and learning rate by epoch.",
            target="kd_report.sections.training:training",
            order=10,
        ),
        SectionEntry(
            name="classes",
            summary="Accuracy of each class, frequent mistakes, confusion.",
            target="kd_report.sections.classes:classes",
            order=20,
        ),
        SectionEntry(
            name="labels",
            summary="Several labels an image: F1, mAP, and the measures of each label.",
            target="kd_report.sections.labels:labels",
            order=20,
        ),
        SectionEntry(
            name="calibration",
            summary="Reliability diagrams, ECE and NLL.",
            target="kd_report.sections.calibration:calibration",
            order=30,
        ),
        SectionEntry(
            name="agreement",
            summary="Who is right, and how student and teacher relate classes to each other.",
            target="kd_report.sections.agreement:agreement",
            order=40,
        ),
        SectionEntry(
            name="differ",
            summary="The images on which student and teacher differ most.",
            target="kd_report.sections.differ:differ",
            order=50,
        ),
        SectionEntry(
            name="embeddings",
            summary="Maps of the embeddings by PCA and t-SNE.",
            target="kd_report.sections.embeddings:embeddings",
            order=60,
        ),
    ]


@hookimpl
def kd_run_finished(run: RunDirectory) -> str | bool | None:
    """Write the report, unless the spec or the environment turns reports off."""
    from kd_report.switch import reports_are_on

    if run.spec().get("report") is False:
        return None
    if not reports_are_on():
        return False  # the next start may write it
    from kd_report.reports.at_the_end import report_at_the_end  # not needed by most commands

    return report_at_the_end(run)
