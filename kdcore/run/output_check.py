"""A trial pass of models that a plugin made or changed: whether they give logits of the data's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError
from kdcore.features import Extractor
from kdcore.features.probing import probe
from kdcore.models.architecture import PluginArchitecture, find_architecture
from kdcore.models.by_sample import AnswersBySample
from kdcore.plugins.calling import MISTAKE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from kdcore.distill.models import PlacedModel, RunModels
    from kdcore.plugins import Plugins
    from kdcore.spec.members import Member


def check_outputs(
    models: RunModels, num_classes: int, members: Sequence[Member], plugins: Plugins
) -> tuple[str, ...]:
    """Run each such model once, without memory, before anything is trained.

    Args:
        models: of the run, on the meta device.
        num_classes: K.
        members: the teachers of the spec.
        plugins: where models are looked up.

    Returns:
        A warning if the student's pass failed: its code may need a device that is not here.

    Raises:
        UserError: a model gives something else than logits `[B, K]`.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    placed = {"student": models.student, **{one.where: models.teachers[one.name] for one in members}}
    for where, one in placed.items():
        who = _made_by_plugin(one, plugins, where)
        if who is None:
            continue
        try:
            shape = _shape_of_logits(one)
        except UserError as error:
            if error.__cause__ is None:  # it ran, and gave something else
                problems += [
                    Problem(f"{where}.model", f"{who}: {each.message}", hint=MISTAKE)
                    for each in error.problems
                ]
            elif where == "student":
                warnings.append(f"{where}.model: {who} fails in a trial pass: {error.problems[0].message}")
            continue
        if len(shape) != 2 or shape[1] != num_classes:
            given = ", ".join(["B", *map(str, shape[1:])])
            message = f"{who} gives logits [{given}], and the data has {num_classes} classes"
            problems.append(Problem(f"{where}.model", message, allowed=f"[B, {num_classes}]", hint=MISTAKE))
    if problems:
        raise UserError(problems)
    return tuple(warnings)


def _made_by_plugin(one: PlacedModel, plugins: Plugins, where: str) -> str | None:
    """Whose model it is, for messages; None: it is timm's as it is, or gives no logits for images."""
    if not one.classifier or isinstance(one.module, AnswersBySample) or getattr(one, "of_student", False):
        return None
    changed = " and ".join(str(each["name"]) for each in one.built.transforms)
    found = find_architecture(one.built.name, plugins, f"{where}.model")
    if isinstance(found, PluginArchitecture):
        who = f"model '{found.provided.entry.name}' of plugin {found.provided.plugin.label}"
    elif changed:
        who = f"model '{one.built.name}'"
    else:
        return None
    return f"{who} after {changed}" if changed else who


def _shape_of_logits(one: PlacedModel) -> list[int]:
    def look(twin: nn.Module, images: Tensor) -> list[int]:
        logits = Extractor(twin, one.adapter)(images).logits
        assert logits is not None
        return list(logits.shape)

    return probe(one.module, one.built.input.image_size, one.channels, look)
