"""The transforms of a student: their names looked up, and their options checked. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.entries import TransformEntry
from kdcore.errors import Problem, UserError
from kdcore.spec.named_spec import TransformSpec
from kdcore.spec.option_paths import located
from kdcore.spec.resolve import resolve_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kdcore.plugins import Plugins
    from kdcore.spec.model_spec import ModelSpec


def checked_transforms(
    student: ModelSpec, base: Path, plugins: Plugins, wrong: Callable[[str], bool]
) -> tuple[ModelSpec, list[Problem]]:
    """The student's section with all options of its transforms, and what is wrong with them.

    Args:
        student: the section.
        base: folder that paths are relative to.
        plugins: where names are looked up.
        wrong: whether a place is already reported as wrong.
    """
    problems: list[Problem] = []
    found: list[TransformSpec] = []
    for where, given in student.transforms:
        if wrong(where):
            continue
        try:
            found.append(_checked(given, where, base, plugins, problems))
        except UserError as error:
            problems += error.problems
    if problems or not found:
        return student, problems
    single = isinstance(student.transform, TransformSpec)
    return student.model_copy(update={"transform": found[0] if single else tuple(found)}), problems


def _checked(
    given: TransformSpec, where: str, base: Path, plugins: Plugins, problems: list[Problem]
) -> TransformSpec:
    provided = plugins.find(TransformEntry, given.name, f"{where}.name")
    options = resolve_options(provided, given.options, plugins, where)
    if options is None:
        if given.options:
            message = f"transform '{given.name}' has no options"
            raise UserError(Problem(f"{where}.{next(iter(given.options))}", message, hint="remove it"))
        return given
    paths, missing = located(options, base, where)
    problems += missing
    values = {**options.model_dump(mode="json", by_alias=True, round_trip=True), **paths}
    return TransformSpec(name=given.name, **values)
