"""`export`: a run's student in the format of other tools, checked against the student itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd_export.about import write_about
from kd_export.check import IMAGES, TOLERANCE, ExportCheck, check, require_same
from kd_export.exporters import Exporter, Precision, find_exporter, form_of, named_form
from kd_export.folder import files_in, new_folder
from kd_export.quantize.export import check_form
from kd_export.script import write_script
from kdcore import Problem, UserError
from kdcore.inspect import EXPORT_ABOUT, about_student, open_run_student, own_surroundings
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore import ExportedFiles
    from kdcore.inspect import RunStudent, Which


@dataclass(frozen=True)
class ExportResult:
    """An export that was written.

    Attributes:
        target: its format.
        path: its folder.
        files: what is in it, with sizes in bytes; the model itself comes first.
        weights: which of the run's weights it has.
        epoch: after which epoch they were taken; None: not known.
        int8: whether it is quantised.
        fp16: whether it computes in half precision.
        options: the options of its format that were not left at their defaults.
        loads: whether its `load.py` can load it here: its plugin says how, and it runs on this system.
        platforms: the systems that it runs on, as in `sys.platform`; empty: all.
        check: how it differs from the run's student; None: it was not compared.
        warnings: one line each for the user.
    """

    target: str
    path: Path
    files: dict[str, int]
    weights: Which
    epoch: int | None
    int8: bool
    fp16: bool
    options: dict[str, Any]
    loads: bool
    platforms: tuple[str, ...]
    check: ExportCheck | None
    warnings: tuple[str, ...]

    @property
    def form(self) -> str:
        """The name of the format, with `-int8` or `-fp16` for such a form."""
        return form_of(self.target, self.precision)

    @property
    def precision(self) -> Precision:
        """What it computes in."""
        return precision_of(self.int8, self.fp16)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.__dict__,
            "path": str(self.path),
            "platforms": list(self.platforms),
            "check": None if self.check is None else self.check.as_dict(),
            "warnings": list(self.warnings),
        }


@own_surroundings("kd_export.export")
def export(
    run: str | Path,
    to: str,
    *,
    weights: Which = "last",
    int8: bool = False,
    fp16: bool = False,
    options: Mapping[str, Any] | Sequence[str] = (),
    output: str | Path | None = None,
    force: bool = False,
    samples: int | None = None,
) -> ExportResult:
    """Write a run's student in another format, with the classes' names and the preprocessing, and check it.

    Args:
        run: the run directory.
        to: 'timm', 'torch', 'onnx', 'pt2', 'torchscript' or a format of another plugin; 'plugin/name' if two have it;
            'onnx-int8' is 'onnx' with `int8`.
        weights: the last ones, their average ('ema') or the best epoch's, which need no finished run.
        int8: quantise to 8 bits, calibrated on training images; for formats that offer it ('onnx', 'openvino',
            'executorch').
        fp16: half precision; for formats that offer it ('onnx', 'coreml').
        options: the format's own options, such as {'opset': 18}, or texts 'opset=18'.
        output: the folder; None: `export/TARGET` in the run directory.
        force: replace an earlier export there.
        samples: number of evaluation images to compare; 0: no check; None: 256, in 8 or 16 bits all.

    Raises:
        UserError: there is no such run or format, a library is missing, the folder is taken, or the format's plugin
            does something that an exporter must not do.
        RunFailed: the model cannot be exported so, or the export gives other logits than the student.
    """
    plugins = get_plugins()
    exporter = find_exporter(*named_form(to, precision_of(int8, fp16), plugins), plugins, options)
    student = open_run_student(run, weights, plugins=plugins)
    path = (
        Path(output) if output is not None else student.run.path / "export" / export_folder(exporter, weights)
    )
    return write_export(student, exporter, path, weights=weights, force=force, samples=samples)


def write_export(
    student: RunStudent, exporter: Exporter, path: Path, *, weights: Which, force: bool, samples: int | None
) -> ExportResult:
    """The export of an opened student into the folder `path`; the rest is as for `export`."""
    check_form(student, exporter)
    with new_folder(path, force=force) as folder:
        written, found = _write(folder, student, exporter, samples)
        files = _sizes(folder, written)
    warnings = [*written.warnings]
    if not written.runs_here and samples != 0:
        warnings.append(
            f"its logits were not compared with the student's: {exporter.label} runs on "
            f"{' or '.join(written.platforms)}, and this is {sys.platform}"
        )
    if not written.load and samples != 0:
        warnings.append(
            f"its logits were not compared with the student's: {exporter.label} does not say how it is loaded"
        )
    if not student.finished:
        warnings.append(
            f"the run is not finished: these are its best weights so far, of epoch {student.epoch}"
        )
    return ExportResult(
        target=exporter.name,
        path=path,
        files=files,
        weights=weights,
        epoch=student.epoch,
        int8=exporter.int8,
        fp16=exporter.precision == "fp16",
        options=_changed(exporter),
        loads=bool(written.load) and written.runs_here,
        platforms=tuple(written.platforms),
        check=found,
        warnings=tuple(warnings),
    )


def precision_of(int8: bool, fp16: bool) -> Precision:
    """What two flags ask for.

    Raises:
        UserError: both are set.
    """
    if int8 and fp16:
        raise UserError(Problem("--fp16", "--int8 and --fp16 exclude each other", allowed="one of them"))
    return "int8" if int8 else "fp16" if fp16 else ""


def _changed(exporter: Exporter) -> dict[str, Any]:
    """The options that are not at their defaults, JSON-ready."""
    found = exporter.options
    return {} if found is None else found.model_dump(mode="json", exclude_defaults=True)


def export_folder(exporter: Exporter, weights: Which) -> str:
    """What the folder of an export is called: `onnx`, `onnx-int8`, `onnx-ema`."""
    return exporter.form if weights == "last" else f"{exporter.form}-{weights}"


def _write(
    folder: Path, student: RunStudent, exporter: Exporter, samples: int | None
) -> tuple[ExportedFiles, ExportCheck | None]:
    plugin = exporter.provided.plugin
    says = about_student(student, exporter.name, {plugin.distribution: plugin.version})
    written = exporter.write(student, folder, says)
    says |= written.about
    if changed := _changed(exporter):
        says["options"] = changed
    if written.platforms:
        says["platforms"] = list(written.platforms)
    if written.load:
        write_script(folder, student, exporter, written)
    # --force removes no others
    says["files"] = sorted({*files_in(folder), EXPORT_ABOUT})
    write_about(folder, says)
    if not written.load or samples == 0 or not written.runs_here:
        return written, None
    if samples is None and written.exact:
        samples = IMAGES
    images = student.images(student.split, samples)
    found = check(folder, student, images, student.split, limit=samples, label=exporter.label)
    require_same(found, exporter.label, _tolerance(written))
    write_about(folder, {**says, "check": found.as_dict()})
    return written, found


def _tolerance(written: ExportedFiles) -> float | None:
    return TOLERANCE if written.tolerance is None and written.exact else written.tolerance


def _sizes(folder: Path, written: ExportedFiles) -> dict[str, int]:
    """The sizes of all files in a folder, first of those that the exporter named, in its order."""
    found = files_in(folder)
    named = list(map(str, written.files))
    first = [name for one in named for name in found if name == one or name.startswith(f"{one}/")]
    return {name: (folder / name).stat().st_size for name in dict.fromkeys([*first, *found])}
