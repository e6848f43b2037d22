"""The teachers of a run: built as the run built it, for images of the student's size."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdcore.distill.models import Builder, plan_teacher, teacher_view
from kdcore.distill.teacher_classes import DataClasses
from kdcore.errors import KdError, Problem, UserError
from kdcore.features import find_adapter
from kdcore.inspect.opened_model import OpenedModel
from kdcore.inspect.predictions import autocast
from kdcore.models.by_sample import AnswersBySample
from kdcore.ops import mean_logits
from kdcore.rundir.directory import TEACHERS
from kdcore.spec.load import LoadedSpec, load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from kdcore.inspect.students import OpenedStudent
    from kdcore.plugins import Plugins
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.members import Member
    from kdcore.spec.models import RunSpec


@dataclass(frozen=True, kw_only=True)
class FoundTeacher:
    """The teacher of a run, or the mean of several.

    Attributes:
        model: gives the teacher's logits; with several teachers the logarithm of the mean of their probabilities. None:
            the run had no teacher, nobody asked for it, or it is missing.
        missing: why there is no model although the run had a teacher; otherwise None.
        members: each of several teachers that gives logits, by name; empty with one.
    """

    model: OpenedModel | None = None
    missing: str | None = None
    members: Mapping[str, OpenedModel] = field(default_factory=dict)


class MeanOfTeachers(nn.Module):
    """Several teachers as one model: images of the student `[B, C, H, W]` to the log of their mean probabilities."""

    def __init__(self, members: Mapping[str, OpenedModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(member.model for member in members.values())
        self._members = tuple(members.values())

    def forward(self, images: Tensor) -> Tensor:
        """The logits `[B, K]`."""
        return mean_logits([_logits(member, images) for member in self._members])


def _logits(member: OpenedModel, images: Tensor) -> Tensor:
    # the meta device, where operations are counted, has no autocast
    given = None if images.is_meta else member.precision
    with nullcontext() if given is None else autocast(images.device, given):
        found: Tensor = member.model(images if member.transform is None else member.transform(images))
    return found


def open_teacher(
    directory: RunDirectory, spec: RunSpec, student: OpenedStudent, plugins: Plugins, device: torch.device
) -> FoundTeacher:
    """The teacher of a run on a device, or the mean of its teachers."""
    if not spec.teacher:
        return FoundTeacher()
    several = len(spec.members) > 1
    found = {}
    for member in spec.members:
        if not member.spec.classifier:
            continue
        if member.spec.of is not None:
            if len(spec.members) == 1:
                return FoundTeacher(missing="the teacher is the student's own average")
            continue
        try:
            opened = _build(directory, spec, member, student, plugins, device)
            if isinstance(opened.model, AnswersBySample):
                message = "it is a table of outputs, which has none for these images"
                return FoundTeacher(missing=f"teacher '{member.name}': {message}" if several else message)
            found[member.name] = opened
        except KdError as error:
            return FoundTeacher(missing=f"teacher '{member.name}': {error}" if several else str(error))
    if not found:
        which = "the teachers are encoders: they have" if several else "the teacher is an encoder: it has"
        return FoundTeacher(missing=f"{which} no predictions")
    if len(found) == 1:
        return FoundTeacher(model=next(iter(found.values())))
    mean = OpenedModel(
        name=f"mean of {', '.join(found)}",
        model=MeanOfTeachers(found).eval(),
        input=student.images,
    )
    return FoundTeacher(model=mean, members=found)


def _build(
    directory: RunDirectory,
    spec: RunSpec,
    member: Member,
    student: OpenedStudent,
    plugins: Plugins,
    device: torch.device,
) -> OpenedModel:
    below = None
    if member.spec.learns:
        member = _as_saved(directory, member)
    elif member.spec.run is not None:
        outputs = (None, Path(spec.output), directory.path.parent)
        below = _finished_run(Path(member.spec.run), outputs, plugins, f"{member.where}.run")
    plan = plan_teacher(member, below, student.images, spec.data)
    classes = DataClasses(student.num_classes, student.classes)
    built = Builder(spec, classes, plugins).build_teacher(member, plan)
    return OpenedModel(
        name=built.name,
        model=built.model.to(device).eval(),
        transform=teacher_view(student.images, built, device),
        adapter=find_adapter(built.model, member.spec.adapter, plugins, f"{member.where}.adapter"),
        precision=member.spec.precision,
        input=built.input,
    )


def _as_saved(directory: RunDirectory, member: Member) -> Member:
    """A teacher that learned, with the weights that the run left.

    Raises:
        UserError: the run did not end, so there are none.
    """
    folder = directory.path / TEACHERS / member.name
    if not folder.is_dir():
        message = "it learns in this run, and its weights are saved at the end"
        raise UserError(Problem(str(folder), message))
    given = {"checkpoint": str(folder), "run": None, "pretrained": False}
    return replace(member, spec=member.spec.model_copy(update=given))


def _finished_run(spec: Path, outputs: tuple[Path | None, ...], plugins: Plugins, where: str) -> LoadedSpec:
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
    raise UserError(Problem(where, f"there is no finished run of it in any of: {places}"))
