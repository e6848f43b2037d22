"""`report`: the page of a run, its figures for papers, and the page that compares several."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from kd_report.page import render, write_page
from kd_report.reports import facts as told
from kd_report.reports import paper
from kd_report.reports.collect import collect
from kd_report.reports.gap import find_vanilla, gap, map_of_guessing
from kd_report.reports.glance import lead, tiles
from kd_report.reports.look import findings_of
from kd_report.reports.maps import can_tsne
from kd_report.reports.result import ReportResult
from kd_report.sections.training import training_section
from kdcore import KdError, Problem, RunDirectory, UserError, __version__, open_run
from kdcore.inspect import ENCODER, own_surroundings
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from kd_report.reports.findings import Findings
    from kdcore import OpenedRun, ReportSection
    from kdcore.plugin import Plugins

IMAGES: Final = 10_000
"""How many evaluation images a report looks at, unless the spec's `report` says another number."""


@own_surroundings("kd_report.report")
def report(*runs: str | Path, output: str | Path | None = None, images: int | None = None) -> ReportResult:
    """Make the report of a run, finished or not; of several runs one page that compares them.

    Args:
        runs: run directories.
        output: the page's file; None: `report.html` in the run directory, for several runs `compared.html` next to the
            first run.
        images: the largest number of evaluation images; None: as in the spec.

    Raises:
        UserError: a directory holds no run, or the page cannot be written.
    """
    if not runs:
        raise UserError(Problem("RUN", "no run directory is given"))
    directories = [RunDirectory(Path(run)) for run in runs]
    for directory in directories:
        if not directory.exists:
            raise UserError(Problem(str(directory.path), "this is not a run directory: it has no spec.json"))
    if images is not None and images < 1:
        raise UserError(Problem("--images", "must be at least 1", images))
    if images is not None and len(directories) > 1:
        message = "the page of several runs looks at no images: it has what their own reports measured"
        raise UserError(Problem("--images", message, images, hint="leave it out, or give one run"))
    target = None if output is None else Path(output)
    if len(directories) > 1:
        from kd_report.reports.compared import write_comparison

        return write_comparison(directories, target)
    return _of_one(directories[0], target, images)


def _of_one(directory: RunDirectory, output: Path | None, images: int | None) -> ReportResult:
    plugins = get_plugins()
    opened, notes = None, []
    try:
        opened = open_run(directory.path, most=images or most_images(directory.spec()), plugins=plugins)
    except KdError as error:
        notes.append(f"Nothing on images: {error}")
    return write_report(directory, opened, plugins=plugins, output=output, notes=notes)


def _with_predictions(opened: OpenedRun | None, notes: list[str]) -> OpenedRun | None:
    """The opened run; None if its student is an encoder, whose measures are in the run's files."""
    if opened is None or not opened.student.is_encoder:
        return opened
    notes.append(f"Nothing on images: {ENCODER}.")
    return None


def most_images(spec: dict[str, Any]) -> int:
    """How many images the report of a run looks at."""
    said = spec.get("report")
    return said if isinstance(said, int) and not isinstance(said, bool) else IMAGES


def write_report(
    directory: RunDirectory,
    opened: OpenedRun | None,
    *,
    plugins: Plugins,
    output: Path | None = None,
    notes: list[str] | None = None,
    tsne: bool = True,
) -> ReportResult:
    """Write the page and the figures of one run; `opened` is None: only from its files.

    Raises:
        UserError: the page cannot be written, or the run's files are damaged.
    """
    notes = list(notes or ())
    facts = told.Facts.read(directory)
    findings = None
    opened = _with_predictions(opened, notes)
    if opened is not None:
        findings = _look(opened, notes, tsne)
    drawn: tuple[Path, ...] = ()
    if output is None:
        drawn = paper.draw(facts, findings, directory.figures, notes)
    target = output or directory.report
    page = render("report.html", _values(facts, opened, plugins, notes, bool(drawn)))
    write_page(target, page)
    return ReportResult(target, drawn, tuple(notes))


def _look(opened: OpenedRun, notes: list[str], tsne: bool) -> Findings | None:
    """Measures on the images; `notes` gets what is missing."""
    if opened.teacher.missing is not None:
        notes.append(f"Nothing on the teacher's predictions: {opened.teacher.missing}")
    student, _ = opened.predictions
    total = len(student) if opened.images.whole.stream else len(opened.images.whole)
    if len(student) < total:
        notes.append(f"Figures on images are from {len(student):,} of {total:,} evaluation images.")
    if opened.student.thresholds is not None:  # several labels an image: the section on labels has all
        return None
    findings = findings_of(opened, tsne=tsne)
    if findings is None:
        notes.append("Nothing on images: there are none whose logits are finite.")
        return None
    if findings.dropped:
        notes.append(f"{findings.dropped} images are left out: a model's logits for them are not finite.")
    if not findings.labelled:
        notes.append("The evaluation images have no labels: nothing is said of accuracy.")
    if not tsne and can_tsne():
        notes.append(
            f"'kd report {quote(str(opened.directory.path))}' adds maps by t-SNE, which take seconds."
        )
    return findings


def _sections(
    facts: told.Facts, opened: OpenedRun | None, plugins: Plugins, notes: list[str]
) -> list[ReportSection]:
    """All sections; without images only the one that is made of the run's files alone."""
    if opened is not None:
        return collect(opened, plugins, notes)
    own = training_section(facts)
    return [] if own is None else [own]


def _values(
    facts: told.Facts, opened: OpenedRun | None, plugins: Plugins, notes: list[str], with_figures: bool
) -> dict[str, Any]:
    classes = facts.num_classes or (opened.student.num_classes if opened is not None else None)
    chance = None if opened is None else map_of_guessing(opened.images.whole)
    closed = gap(facts.summary, classes, find_vanilla(facts.run, facts.spec), chance)
    return {
        "name": facts.spec.get("name") or facts.run.name,
        "status": facts.summary.get("status"),
        "error": facts.summary.get("error"),
        "lead": lead(facts),
        "tiles": tiles(facts, closed),
        "sections": _sections(facts, opened, plugins, notes),
        "notes": notes,
        "groups": _groups(facts, plugins),
        "spec": facts.spec,
        "environment": facts.environment,
        "version": __version__,
        "directory": os.fspath(facts.run.path),
        "again": f"kd report {quote(os.fspath(facts.run.path))}",
        "paper": with_figures,
    }


def _groups(facts: told.Facts, plugins: Plugins) -> list[dict[str, Any]]:
    def group(title: str, rows: told.Rows, class_: str = "", **more: str) -> dict[str, Any]:
        return {"title": title, "rows": rows, "class_": class_, "text": "", "url": "", "link": "", **more}

    groups = [group("Student", told.model_rows(facts.student, facts.part("student")), "student")]
    for label, given in facts.teacher_specs.items():
        rows = told.model_rows(facts.teachers.get(label, {}), given)
        groups.append(group(label.capitalize(), rows, "teacher"))
    for item in told.distiller_facts(facts, plugins):
        title = f"Distiller: {item.name}"
        groups.append(group(title, item.options, text=item.summary, url=item.url, link=item.paper))
    groups += [
        group("Data", told.data_rows(facts)),
        group("Training", told.training_rows(facts)),
        group("Machine", told.machine_rows(facts)),
    ]
    return groups
