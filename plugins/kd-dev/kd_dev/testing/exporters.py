"""The checks of exporters."""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import tempfile
import textwrap
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from packaging.requirements import InvalidRequirement, Requirement

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import FORMS
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.rig import require_equal, state_of
from kd_dev.testing.tiny_run import contents, difference, tiny_run
from kdcore import ExportedFiles, ExporterEntry, UserError
from kdcore.inspect import RunStudent, about_student, open_run_student
from kdcore.plugin import cause, get_plugins, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_dev.testing.check import Rule

_NEAR: Final = 1e-3


class ExporterSubject(DeclaredSubject[ExporterEntry]):
    """An exporter, and the student of a tiny run."""

    def student(self) -> RunStudent:
        """The student, opened again.

        Raises:
            unittest.SkipTest: something that the exporter requires is not installed.
        """
        missing = [text for text in self.entry.requires if not _installed(text)]
        if missing:
            skip(f"it requires {', '.join(missing)}")
        return open_run_student(tiny_run(), "last")

    @property
    def forms(self) -> tuple[str, ...]:
        """What it can write: the usual form, which has no name, and those that it offers."""
        return ("", *(form for form in FORMS if getattr(self.entry, form)))

    @cached_property
    def written(self) -> dict[str, tuple[list[str], ExportedFiles] | Exception]:
        """By form: the files of an export, and what the exporter returned; or what it raised."""
        return {form: self._written(form) for form in self.forms}

    def _written(self, form: str) -> tuple[list[str], ExportedFiles] | Exception:
        with tempfile.TemporaryDirectory() as folder:
            try:
                returned = self.export(self.student(), Path(folder), form)
            except Exception as error:
                return error
            return sorted(contents(Path(folder))), returned

    def export(self, student: RunStudent, folder: Path, form: str = "") -> ExportedFiles:
        """Call it, as `kd export` does."""
        returned = self.call(student, folder, about_student(student, self.entry.name), form)
        if isinstance(returned, ExportedFiles):
            return returned
        if isinstance(returned, str | bytes | dict) or not hasattr(returned, "__iter__"):
            kind = type(returned).__name__
            raise Violation(f"it returned {kind}, not the paths of its files or kdcore.ExportedFiles")
        return ExportedFiles(files=list(returned))

    def call(self, student: RunStudent, folder: Path, about: dict[str, Any], form: str = "") -> Any:
        """Call its target, with the defaults of its options."""
        model = get_plugins().load_options(self.provided, self.name)
        more: dict[str, Any] = {form: True} if form else {}
        if model is not None:
            more["options"] = model()
        return self.target(student, folder, about, **more)

    def require_written(self) -> dict[str, ExportedFiles]:
        """What it returned, by form.

        Raises:
            unittest.SkipTest: the check `files` fails.
        """
        _ = self.target, self.student()
        found = {form: one[1] for form, one in self.written.items() if not isinstance(one, Exception)}
        if len(found) < len(self.written):
            skip("it does not export the student: see the check 'files'")
        return found


def _installed(text: str) -> bool:
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True  # it is for other systems
        version = importlib.metadata.version(requirement.name)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return requirement.specifier.contains(version, prereleases=True)


@rule(
    "exporter",
    summary="The declared target can be loaded, and called with `(student, folder, about)` and with the keywords "
    "`int8`, `fp16` and `options` if they are declared.",
    why="`kd export` lists formats from declarations; a wrong target is found when a user needs the format.",
    fix="Correct `target` in the `ExporterEntry`, or the signature of the function.",
)
def declaration(subject: ExporterSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "exporter",
    summary="Each of `requires` is a requirement as pip takes it.",
    why="`kd export` compares them with what is installed, and prints the command that installs what is missing.",
    fix='Write distributions with versions, such as `requires=("onnx>=1.19",)`; not names of modules.',
)
def requirements(subject: ExporterSubject) -> None:
    for text in subject.entry.requires:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            raise Violation(f"{text!r} is not a requirement: {str(error).splitlines()[0]}") from error


@rule(
    "exporter",
    summary="It exports a small student in every form that it offers, and every file that it names is in the folder "
    "that it was given.",
    why="The folder is the export: it is copied to where the model is used.",
    fix="Write every file into `folder`, and return the paths. If a student cannot be exported, raise "
    "`UserError(Problem(...))`.",
)
def files(subject: ExporterSubject) -> None:
    _ = subject.target, subject.student()  # another check reports what is wrong with them
    for form, written in subject.written.items():
        if isinstance(written, Exception):
            said = isinstance(written, Violation | UserError)
            raise Violation(
                _with(form) + (str(written) if said else f"it raised {cause(written)}")
            ) from written
        names, returned = written
        for file in returned.files:
            if not any(Path(file).parts[-len(Path(name).parts) :] == Path(name).parts for name in names):
                listed = ", ".join(names) or "no file"
                raise Violation(f"{_with(form)}it names {shown(str(file))}, and the folder has {listed}")


@rule(
    "exporter",
    summary="It writes into the folder only.",
    why="Other files stay behind on the user's machine, and the export is not whole without them.",
    fix="Write to `folder / name`, not to the current folder or the run directory. Use `tempfile` for files that you "
    "remove.",
)
def folder_only(subject: ExporterSubject) -> None:
    subject.require_written()
    student = subject.student()
    run = Path(student.run.path)
    with tempfile.TemporaryDirectory() as place:
        current, folder = Path(place) / "current", Path(place) / "export"
        current.mkdir()
        folder.mkdir()
        before = contents(run)
        with contextlib.chdir(current):
            subject.export(student, folder)
        outside = difference(before, contents(run))
        if outside:
            raise Violation(f"it changed {outside[0]} in the run directory")
        others = [name for name in contents(Path(place)) if not name.startswith("export")]
        if others:
            raise Violation(f"it wrote {others[0].removeprefix('current/')} outside of the folder")


@rule(
    "exporter",
    summary="It changes neither the student nor `about`.",
    why="`kd export` compares the export with the student afterwards.",
    fix="Copy the network before code that changes it: `copy.deepcopy(student.model)`.",
)
def student_unchanged(subject: ExporterSubject) -> None:
    subject.require_written()
    student = subject.student()
    wanted, training = state_of(student.model), student.model.training
    about = about_student(student, subject.entry.name)
    given = copy.deepcopy(about)
    with tempfile.TemporaryDirectory() as folder:
        subject.call(student, Path(folder), about)
    require_equal(state_of(student.model), wanted, "after the export, the student's state")
    if student.model.training != training:
        raise Violation("after the export the student is in another mode")
    if about != given:
        raise Violation("it changed its argument about")


@rule(
    "exporter",
    summary="If it says how the export is loaded, the loaded export has the student's logits.",
    why="`load` becomes the script `load.py`, which users copy.",
    fix="`load` is the body of `load(folder)`: it returns a function from images `[B, C, H, W]` to logits `[B, K]`, "
    "both float32 NumPy arrays. `exact=False` says that the logits may differ, as after quantisation.",
)
def loads_again(subject: ExporterSubject) -> None:
    written = subject.require_written()
    reasons = {form: reason for form, returned in written.items() if (reason := _not_loaded(returned))}
    for form in written:
        if form not in reasons:
            _load(subject, form)
    if reasons:
        skip("; ".join(_with(form) + reason for form, reason in reasons.items()))


def _not_loaded(returned: ExportedFiles) -> str | None:
    """Why this export cannot be loaded here."""
    if not returned.load:
        return "it does not say how the export is loaded"
    if not returned.runs_here:
        return f"its script runs on {' or '.join(returned.platforms)} only"
    missing = [text for text in returned.needs if not _installed(text)]
    return f"its script needs {', '.join(missing)}" if missing else None


def _load(subject: ExporterSubject, form: str) -> None:
    """Raises Violation if a loaded export does not have the student's logits."""
    student = subject.student()
    images = student.example(2)
    with torch.no_grad():
        wanted = student.model(images)
    with tempfile.TemporaryDirectory() as folder:
        returned = subject.export(student, Path(folder), form)
        load = _function(returned)
        found = torch.as_tensor(load(Path(folder))(images.numpy()))
    if found.shape != wanted.shape:
        raise Violation(
            f"{_with(form)}the loaded export gives logits of shape {list(found.shape)}, not {list(wanted.shape)}"
        )
    apart = (found - wanted).abs().max().item()
    if returned.exact and not apart <= _NEAR:
        raise Violation(f"{_with(form)}the logits of the loaded export differ by up to {apart:.3g}")


def _with(form: str) -> str:
    """The beginning of a message about a form."""
    return form and f"with {form}=True, "


def _function(returned: ExportedFiles) -> Any:
    """The function `load` of its script."""
    lines: Sequence[str] = ("import numpy as np", "from pathlib import Path", *returned.imports)
    body = textwrap.indent(textwrap.dedent(returned.load).strip("\n"), "    ")
    names: dict[str, Any] = {}
    exec("\n".join([*lines, "def load(folder):", body]), names)  # noqa: S102  # code of the plugin under test
    return names["load"]


RULES: Final[tuple[Rule[ExporterSubject], ...]] = (
    declaration,
    requirements,
    files,
    folder_only,
    student_unchanged,
    loads_again,
)
