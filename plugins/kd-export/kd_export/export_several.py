"""`export_all`: a run's student in several formats at once, and which of them is the fastest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_export.export_student import ExportResult, export_folder, write_export
from kd_export.exporters import PRECISIONS, Exporter, find_exporter, form_of, named_form, offers
from kd_export.folder import NotWritable, check_free
from kd_export.format_options import OPTION, has_option, parse_options
from kd_export.latency import Latency, latencies
from kd_export.quantize.export import is_rounded
from kdcore import ExporterEntry, KdError, Problem, RunFailed, UserError
from kdcore.inspect import open_run_student, own_surroundings
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore.inspect import Which
    from kdcore.plugin import Plugins

ALL: Final = "all"


@dataclass(frozen=True)
class ExportsResult:
    """Several exports of one run.

    Attributes:
        exports: those that were written.
        left_out: why others were not tried: something that they need is not installed.
        failed: why others were not written: most often they cannot hold this student.
        latencies: of the student and of each export, if they were compared; the student's is first.
        rounded: whether the student was trained with 8 bits: in PyTorch it computes the rounding too, which takes
            longer than the network without it.
    """

    exports: tuple[ExportResult, ...]
    left_out: dict[str, UserError]
    failed: dict[str, KdError]
    latencies: tuple[Latency, ...]
    rounded: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "exports": [one.as_dict() for one in self.exports],
            "left_out": {name: str(error) for name, error in self.left_out.items()},
            "failed": {name: str(error) for name, error in self.failed.items()},
            "latencies": [dict(one.__dict__) for one in self.latencies],
            "rounded": self.rounded,
        }


@own_surroundings("kd_export.export_all")
def export_all(
    run: str | Path,
    to: str | Sequence[str] = ALL,
    *,
    weights: Which = "last",
    options: Mapping[str, Any] | Sequence[str] = (),
    output: str | Path | None = None,
    force: bool = False,
    samples: int | None = None,
    compare: bool = True,
) -> ExportsResult:
    """Write a run's student in several formats, each checked as by `export`, and measure how fast they are.

    Args:
        run: the run directory.
        to: names of formats, 'onnx-int8' and 'onnx-fp16' for a format in 8 bits and in half precision; or 'all': every
            format of every plugin, also in these forms if it offers them. Of 'all', what needs something that is not
            installed is left out.
        weights: as for `export`.
        options: as for `export`. Each named format must have them; of 'all', those that have them get them.
        output: a folder, in which each format has one of its own; None: `export/` in the run directory.
        force: replace earlier exports there.
        samples: as for `export`.
        compare: whether to measure latencies.

    Raises:
        UserError: there is no such run or format, something is missing for a named format, or a folder is taken.
            Or no format can hold the student.
        RunFailed: no export was written, and at least one could not be made or gives other logits.
    """
    plugins = get_plugins()
    exporters, left_out = _chosen(to, parse_options(options), plugins)
    student = open_run_student(run, weights, plugins=plugins)
    base = Path(output) if output is not None else student.run.path / "export"
    folders = [base / export_folder(exporter, weights) for exporter in exporters]
    for folder in folders:
        check_free(folder, force)
    exports: dict[str, ExportResult] = {}
    failed: dict[str, KdError] = {}
    for exporter, folder in zip(exporters, folders, strict=True):
        try:
            exports[exporter.form] = write_export(
                student, exporter, folder, weights=weights, force=force, samples=samples
            )
        except KdError as error:
            failed[exporter.form] = error
    if not exports:
        raise _nothing(failed, left_out)
    measured: tuple[Latency, ...] = ()
    if compare:
        batches = {exporter.form: exporter.batch for exporter in exporters}
        loaded = {form: (one.path, batches[form]) for form, one in exports.items() if one.loads}
        measured, untimed = latencies(student, loaded)
        for form, why in untimed.items():
            exports[form] = replace(exports[form], warnings=(*exports[form].warnings, why))
    return ExportsResult(tuple(exports.values()), left_out, failed, measured, is_rounded(student))


def _chosen(
    to: str | Sequence[str], options: dict[str, Any], plugins: Plugins
) -> tuple[list[Exporter], dict[str, UserError]]:
    """The formats that can be written here, and why others cannot."""
    if to != ALL:
        names = dict.fromkeys([to] if isinstance(to, str) else to)
        return [find_exporter(*named_form(name, "", plugins), plugins, options) for name in names], {}
    found, left_out = list[Exporter](), dict[str, UserError]()
    provided_ones = plugins.all(ExporterEntry)
    for name in options:
        if not any(has_option(provided, name, plugins) for provided in provided_ones):
            raise UserError(Problem(OPTION, "no format has an option of this name", name))
    for provided in provided_ones:
        entry = provided.entry
        own = {name: value for name, value in options.items() if has_option(provided, name, plugins)}
        for precision in ("", *PRECISIONS):
            if not offers(entry, precision):
                continue
            try:
                found.append(find_exporter(entry.name, precision, plugins, own))
            except UserError as error:
                if error.problems[0].where.startswith(OPTION):
                    raise
                left_out[form_of(entry.name, precision)] = error
    return found, left_out


def cannot_hold(error: KdError) -> bool:
    """Whether an export was not written because the format cannot hold the student, as its plugin says."""
    if not isinstance(error, UserError) or isinstance(error, NotWritable):
        return False
    return not any(problem.where.startswith(OPTION) for problem in error.problems)


def _nothing(failed: dict[str, KdError], left_out: dict[str, UserError]) -> KdError:
    """The error if no export was written."""
    errors = {**failed, **left_out}
    if len(failed) == 1 and not left_out:
        return next(iter(failed.values()))
    wrong = {name: error for name, error in errors.items() if isinstance(error, UserError)}
    if len(wrong) == len(errors):
        return UserError(
            replace(problem, message=f"{name}: {problem.message}")
            for name, error in wrong.items()
            for problem in error.problems
        )
    lines = [f"{name}: {error}" for name, error in errors.items()]
    return RunFailed("\n    ".join(["no export was written", *lines]))
