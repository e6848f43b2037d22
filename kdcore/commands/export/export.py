"""`export`: a run's student in the format of other tools, checked against the student itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.commands.export.about import about, write_about
from kdcore.commands.export.check import IMAGES, ExportCheck, check, require_same
from kdcore.commands.export.folder import new_folder
from kdcore.commands.export.recipe import recipe_of
from kdcore.commands.export.script import write_script
from kdcore.commands.export.students import student_of
from kdcore.commands.export.targets import Target, Written, find_target
from kdcore.plugins import get_plugins
from kdcore.run.caller_state import own_surroundings

if TYPE_CHECKING:
    from kdcore.commands.export.students import RunStudent
    from kdcore.inspect.students import Which
    from kdcore.plugins import Plugins


@dataclass(frozen=True)
class ExportResult:
    """An export that was written.

    Attributes:
        target: its format.
        path: its folder.
        files: what is in it, with sizes in bytes; the model itself comes first.
        weights: which of the run's weights it has.
        epoch: after which epoch they were taken.
        int8: whether it is quantised.
        check: how it differs from the run's student; None: no check was asked for.
        warnings: one line each for the user.
    """

    target: str
    path: Path
    files: dict[str, int]
    weights: Which
    epoch: int
    int8: bool
    check: ExportCheck | None
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.__dict__,
            "path": str(self.path),
            "check": None if self.check is None else self.check.as_dict(),
            "warnings": list(self.warnings),
        }


@own_surroundings("kdcore.export")
def export(
    run: str | Path,
    to: str,
    *,
    weights: Which = "last",
    int8: bool = False,
    output: str | Path | None = None,
    force: bool = False,
    samples: int | None = None,
) -> ExportResult:
    """Write a run's student in another format, with the classes' names and the preprocessing, and check it.

    Args:
        run: the run directory.
        to: 'timm', 'torch', 'onnx', 'pt2' or 'torchscript'.
        weights: the last ones, their average ('ema') or the best epoch's, which need no finished run.
        int8: quantise to 8 bits, calibrated on training images ('onnx' only).
        output: the folder; None: `export/TARGET` in the run directory.
        force: replace an earlier export there.
        samples: number of evaluation images to compare; 0: no check; None: 256, with `int8` all.

    Raises:
        UserError: there is no such run or target, a library is missing, or the folder is taken.
        RunFailed: the model cannot be exported so, or the export gives other logits than the student.
    """
    plugins = get_plugins()
    target = find_target(to, int8)
    student = student_of(run, weights, plugins)
    name = f"{to}-int8" if int8 else to
    if weights != "last":
        name = f"{name}-{weights}"
    path = Path(output) if output is not None else student.run.path / "export" / name
    with new_folder(path, force=force) as folder:
        written, found = _write(folder, student, target, int8, samples, plugins)
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir(), key=_model_first)}
    warnings = written.warnings
    if not student.finished:
        warnings += (f"the run is not finished: these are its best weights so far, of epoch {student.epoch}",)
    return ExportResult(to, path, files, weights, student.epoch, int8, found, warnings)


def _write(
    folder: Path, student: RunStudent, target: Target, int8: bool, samples: int | None, plugins: Plugins
) -> tuple[Written, ExportCheck | None]:
    says = about(student, target.name)
    recipe = recipe_of(student, plugins)
    written = target.write(student, folder, says, recipe)
    if int8:
        from kdcore.commands.export.int8 import FILE, quantise

        target = replace(target, title=f"{target.title}, quantised to 8 bits")
        says["int8"] = quantise(folder / FILE, student, says, plugins)
    write_about(folder, says)
    write_script(folder, student, target, written)
    if samples == 0:
        return written, None
    if samples is None and not int8:
        samples = IMAGES
    images = student.images(student.split, samples, plugins)
    found = check(folder, student, images, student.split, samples)
    if not int8:
        require_same(found, target.name)
    write_about(folder, {**says, "check": found.as_dict()})
    return written, found


def _model_first(file: Path) -> tuple[bool, str]:
    return not file.name.startswith("model."), file.name
