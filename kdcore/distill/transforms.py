"""The transforms of a run's student: applied when the run begins, and kept in its directory for when it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore import launcher
from kdcore.distill.seeds import derive
from kdcore.errors import Problem, UserError
from kdcore.json_files import read_json
from kdcore.models.transformed import (
    all_transforms,
    apply_transforms,
    check_rebuilt,
    check_training,
    rebuild_transforms,
)
from kdcore.protocols.transform import TransformSetup
from kdcore.rundir.directory import TRANSFORMS
from kdcore.rundir.files import write_json
from kdcore.spec.channels import count_of
from kdcore.spec.difference import with_defaults

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdcore.models import BuiltModel
    from kdcore.plugins import Plugins
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.load import LoadedSpec
    from kdcore.spec.models import ModelSpec, RunSpec

_SHAPE: Final = {"student!": {}, "transforms!": [{}], "notes!": [str]}


def with_transforms(
    built: BuiltModel,
    loaded: LoadedSpec,
    on_cpu: Callable[[], BuiltModel],
    *,
    num_classes: int,
    plugins: Plugins,
    meta: bool,
) -> BuiltModel:
    """A run's student after its transforms.

    They are applied once: the run directory keeps their records, from which a run that continues makes the same
    student. On the meta device they are applied to a student with weights, and the given one gets the same structure.

    Args:
        built: the student before.
        loaded: the spec of the run.
        on_cpu: builds the student before its transforms on the CPU, with its weights.
        num_classes: K; 0 for an encoder.
        plugins: where transforms are looked up.
        meta: whether `built` is on the meta device.

    Raises:
        UserError: a transform cannot change this student.
    """
    spec = loaded.spec
    checkpoint = replace(_setup(built, spec, num_classes), where="student.checkpoint")
    check_training(all_transforms(built), checkpoint, plugins)
    if not spec.student.transforms:
        return built
    kept = None if loaded.fresh else _kept(loaded.directory, spec.student)
    applied = None
    if kept is None:
        source = on_cpu() if meta else built
        seed = derive(spec.seed, "student transform")
        applied = apply_transforms(source, spec.student, _setup(source, spec, num_classes), seed, plugins)
        if not meta:
            return applied
        added = applied.warnings[len(source.warnings) :]
        kept = {"transforms": applied.transforms, "notes": applied.notes, "warnings": added}
    else:  # the run continues, perhaps with other settings
        check_training(kept["transforms"], _setup(built, spec, num_classes), plugins)
    rebuilt = rebuild_transforms(built, tuple(kept["transforms"]), plugins, "student.transform")
    if applied is not None:
        check_rebuilt(applied, rebuilt, plugins, "student.transform")
    warnings = rebuilt.warnings + tuple(kept.get("warnings", ()))
    return replace(rebuilt, notes=tuple(kept["notes"]), warnings=warnings)


def _setup(built: BuiltModel, spec: RunSpec, num_classes: int) -> TransformSetup:
    return TransformSetup(
        model=spec.student.model,
        num_classes=num_classes,
        in_chans=count_of(spec.student.channels, spec.data.channels),
        image_size=built.input.image_size,
        random_weights=built.random_weights,
        train=spec.train,
        processes=launcher.processes(),
        generator=torch.Generator(),
        where="student.transform",
    )


def keep_transforms(directory: RunDirectory, spec: RunSpec, built: BuiltModel) -> None:
    """Write the records of a student's transforms, if it has any, for when the run continues."""
    if built.transforms:
        content = {"student": _section(spec.student), "transforms": built.transforms, "notes": built.notes}
        write_json(directory.path / TRANSFORMS, content)


def _kept(directory: RunDirectory, student: ModelSpec) -> dict[str, Any] | None:
    """What a run directory keeps of the same section of a spec; None: nothing."""
    path = directory.path / TRANSFORMS
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = read_json(path, _SHAPE)
    except (OSError, ValueError) as error:
        hint = "'kd run SPEC --fresh' deletes this run and starts again"
        raise UserError(Problem(str(path), f"this file of the run is damaged: {error}", hint=hint)) from error
    before = with_defaults({"student": found["student"]})["student"]
    return found if before == _section(student) else None


def _section(student: ModelSpec) -> dict[str, Any]:
    return student.model_dump(mode="json")
