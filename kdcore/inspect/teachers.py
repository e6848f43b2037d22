"""The teacher of a run: built as the run built it, for images of the student's size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.distill.models import Builder, plan_teacher, teacher_view
from kdcore.distill.teacher_classes import DataClasses
from kdcore.errors import KdError, Problem, UserError
from kdcore.features import find_adapter
from kdcore.inspect.opened_model import OpenedModel
from kdcore.spec.load import LoadedSpec, load_spec

if TYPE_CHECKING:
    import torch

    from kdcore.inspect.students import OpenedStudent
    from kdcore.plugins import Plugins
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import RunSpec


@dataclass(frozen=True, kw_only=True)
class FoundTeacher:
    """A teacher.

    Attributes:
        model: None: the run had no teacher, nobody asked for it, or it is missing.
        missing: why there is no model although the run had a teacher; otherwise None.
    """

    model: OpenedModel | None = None
    missing: str | None = None


def open_teacher(
    directory: RunDirectory, spec: RunSpec, student: OpenedStudent, plugins: Plugins, device: torch.device
) -> FoundTeacher:
    """The teacher of a run on a device."""
    if spec.teacher is None:
        return FoundTeacher()
    if not spec.teacher.classifier:
        return FoundTeacher(missing="the teacher is an encoder: it has no predictions")
    try:
        return FoundTeacher(model=_build(directory, spec, student, plugins, device))
    except KdError as error:
        return FoundTeacher(missing=str(error))


def _build(
    directory: RunDirectory, spec: RunSpec, student: OpenedStudent, plugins: Plugins, device: torch.device
) -> OpenedModel:
    assert spec.teacher is not None
    below = None
    if spec.teacher.run is not None:
        outputs = (None, Path(spec.output), directory.path.parent)
        below = _finished_run(Path(spec.teacher.run), outputs, plugins)
    plan = plan_teacher(spec, below, student.input)
    assert plan is not None
    classes = DataClasses(student.num_classes, student.classes)
    built = Builder(spec, classes, plugins).build_teacher(plan)
    return OpenedModel(
        name=built.name,
        model=built.model.to(device).eval(),
        transform=teacher_view(student.input, built, device),
        adapter=find_adapter(built.model, spec.teacher.adapter, plugins, "teacher.adapter"),
        input=built.input,
    )


def _finished_run(spec: Path, outputs: tuple[Path | None, ...], plugins: Plugins) -> LoadedSpec:
    """The teacher's spec, with the output folder that has its finished run.

    The spec's own `output` is the first place. A run with `--output`, or one that was moved, has the teacher's run
    next to it.

    Raises:
        UserError: the spec cannot be loaded, or there is no finished run of it.
    """
    looked = []
    for output in outputs:
        loaded = load_spec(spec, output=output, plugins=plugins)
        found = loaded.directory
        if found.finished:
            return loaded
        looked.append(str(found.path))
    places = ", ".join(dict.fromkeys(looked))
    raise UserError(Problem("teacher.run", f"there is no finished run of it in any of: {places}"))
