"""An exporter of any plugin: found by its name, its requirements checked, and called with a student."""

from __future__ import annotations

import copy
import errno
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from packaging.requirements import InvalidRequirement, Requirement

from kd_export.format_options import options_of
from kd_export.written import checked
from kdcore import ExportedFiles, ExporterEntry, KdError, Problem, RunFailed, UserError
from kdcore.plugin import PluginError, guarded, pip_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel

    from kdcore import Provided
    from kdcore.inspect import RunStudent
    from kdcore.plugin import Plugins

Precision = Literal["", "int8", "fp16"]
"""What a form of a format computes in; empty: as the student does."""
PRECISIONS: Final[tuple[Precision, ...]] = ("int8", "fp16")
IN_WORDS: Final[dict[Precision, str]] = {"": "", "int8": ", 8 bits", "fp16": ", half precision"}
"""For the user, after the name of a format."""
MISTAKE: Final = "this is a mistake in the plugin"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A format that can be written: everything that it requires is installed, and its code is imported.

    Attributes:
        provided: its record, and the plugin that has it.
        target: its function.
        precision: what it is asked to compute in.
        options: its options; None: it has none.
    """

    provided: Provided[ExporterEntry]
    target: Callable[..., Any]
    precision: Precision = ""
    options: BaseModel | None = None

    @property
    def name(self) -> str:
        """The name of the format."""
        return self.provided.entry.name

    @property
    def int8(self) -> bool:
        """Whether it is asked for 8 bits."""
        return self.precision == "int8"

    @property
    def form(self) -> str:
        """The name of the format, with `-int8` or `-fp16` for such a form."""
        return form_of(self.name, self.precision)

    @property
    def batch(self) -> int:
        """The number of images that its option `batch` fixes; 1 if it does not."""
        found = getattr(self.options, "batch", None)
        return found if isinstance(found, int) and found > 0 else 1

    @property
    def label(self) -> str:
        """For messages: the name, and the plugin with its version."""
        return f"{self.name} of {self.provided.plugin.label}"

    def write(self, student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
        """Write the student's files into an empty folder.

        Raises:
            UserError: the format cannot hold this student, or the plugin does something that an exporter must not do.
            RunFailed: the plugin's code failed.
            OSError: the folder cannot be written.
        """
        # a folder in the folder: what a plugin writes next to it, as numpy.savez(folder) does, is noticed and removed
        # absolute: before Python 3.12, mkdtemp keeps a relative folder, and then a path in it would not be found in it
        inner = Path(tempfile.mkdtemp(dir=folder)).absolute()
        found = checked(self._called(student, inner, about), inner, about)
        if isinstance(found, str):
            raise UserError(Problem("--to", f"{self.label} {found}", hint=MISTAKE))
        while (inner / inner.name).exists():  # a file that is called as its folder
            inner = inner.rename(inner.with_name(f"{inner.name}_"))
        for path in inner.iterdir():
            path.rename(folder / path.name)
        inner.rmdir()
        return found

    def _called(self, student: RunStudent, folder: Path, about: dict[str, Any]) -> object:
        more: dict[str, Any] = {self.precision: True} if self.precision else {}
        if self.options is not None:
            more["options"] = self.options
        kept: Exception | None = None
        returned: object = None
        try:
            with guarded(""):
                try:
                    returned = self.target(_own_copy(student), folder, copy.deepcopy(about), **more)
                except (KdError, OSError) as error:
                    if isinstance(error, OSError) and not _of_folder(error, folder):
                        raise
                    kept = error
        except PluginError as error:
            raise RunFailed(f"{self.label} failed: {error}") from error
        if kept is not None:
            raise kept
        return returned


def form_of(name: str, precision: Precision) -> str:
    """The name of a format, with `-int8` or `-fp16` for such a form."""
    return f"{name}-{precision}" if precision else name


def split_form(form: str) -> tuple[str, Precision]:
    """A format's name and its precision, from `onnx-int8`."""
    for precision in PRECISIONS:
        if form.endswith(f"-{precision}"):
            return form.removesuffix(f"-{precision}"), precision
    return form, ""


def named_form(form: str, precision: Precision, plugins: Plugins) -> tuple[str, Precision]:
    """A format's name and its precision, from `onnx-int8`, or from `onnx` and what a flag asks for.

    Raises:
        UserError: the name has another precision than the flag.
    """
    name, own = split_form(form)
    if not own or form.rpartition("/")[2] in {each.entry.name for each in plugins.all(ExporterEntry)}:
        return form, precision
    if precision not in ("", own):
        message = f"{form} is {name} in{IN_WORDS[own].removeprefix(',')}"
        raise UserError(Problem(f"--{precision}", message, allowed=f"--to {form_of(name, precision)}"))
    return name, own


def offers(entry: ExporterEntry, precision: Precision) -> bool:
    """Whether a format has this form."""
    return {"": True, "int8": entry.int8, "fp16": entry.fp16}[precision]


def find_exporter(
    name: str, precision: Precision, plugins: Plugins, options: Mapping[str, Any] | Iterable[str] = ()
) -> Exporter:
    """The exporter of this name, or of `plugin/name`, with these options.

    Raises:
        UserError: there is none, it does not offer the precision, an option is wrong, something that it requires is
            missing, or its code cannot be imported.
    """
    provided = plugins.find(ExporterEntry, name, "--to")
    entry = provided.entry
    if not offers(entry, precision):
        message = f"{entry.name} is exported with its weights as they are"
        others = [each.entry.name for each in plugins.all(ExporterEntry) if offers(each.entry, precision)]
        allowed = " or ".join(f"--to {other}" for other in others)
        raise UserError(Problem(f"--{precision}", message, allowed=allowed))
    checked_options = options_of(provided, options, plugins)
    _check_requirements(provided)
    target = plugins.load(provided, "--to")
    return Exporter(provided=provided, target=target, precision=precision, options=checked_options)


def _check_requirements(provided: Provided[ExporterEntry]) -> None:
    entry, label = provided.entry, provided.plugin.label
    missing: list[Requirement] = []
    outdated: list[tuple[str, Requirement]] = []
    for text in entry.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            message = f"{entry.name} of {label} requires {text!r}, which is not a requirement as pip takes it"
            raise UserError(Problem("--to", message, hint=MISTAKE)) from error
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            outdated.append((version, requirement))
    found = [f"{old.name}{old.specifier} (version {version} is installed)" for version, old in outdated]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        found.append(f"{' and '.join(each.name for each in missing)}, which {verb} missing")
    if found:
        wanted = [*(old for _, old in outdated), *missing]
        command = pip_install(*(str(requirement).partition(";")[0].strip() for requirement in wanted))
        message = f"the format {entry.name} needs {' and '.join(found)}"
        raise UserError(Problem("--to", message, entry.name, hint=command))


def _own_copy(student: RunStudent) -> RunStudent:
    """The student with a network of its own: a plugin that changes it must not change what the check compares with."""
    try:
        model = copy.deepcopy(student.model)
    except Exception:  # some networks hold what cannot be copied
        return student
    return replace(student, opened=replace(student.opened, model=model))


def _of_folder(error: OSError, folder: Path) -> bool:
    """Whether an error is about the place of the export, such as a full disk, and not about a file of the plugin."""
    names: Iterable[Any] = (error.filename, error.filename2)
    inside = any(isinstance(name, str) and Path(name).is_relative_to(folder) for name in names)
    return error.errno in _NO_ROOM or (inside and error.errno in (errno.EACCES, errno.EPERM, errno.EIO))
