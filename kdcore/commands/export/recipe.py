"""The lines of Python that build a student again, with timm or its plugin alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kdcore.models.architecture import TimmArchitecture, find_architecture
from kdcore.spec.resolve import arguments as arguments_of
from kdcore.spec.resolve import resolve_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore.commands.export.students import RunStudent
    from kdcore.plugins import Plugins


@dataclass(frozen=True)
class BuildRecipe:
    """How to build a student without kd.

    Attributes:
        imports: the import lines.
        lines: they make `model`, with initial weights.
        needs: the distributions that have to be installed.
        timm: whether it is a model of timm's.
        changed: whether timm's own model was changed after its construction, as small-input stems are.
    """

    imports: tuple[str, ...]
    lines: tuple[str, ...]
    needs: tuple[str, ...]
    timm: bool
    changed: bool


def recipe_of(student: RunStudent, plugins: Plugins) -> BuildRecipe:
    """How to build the student's network again."""
    spec = student.spec.student
    architecture = find_architecture(student.name, plugins, "student")
    if not isinstance(architecture, TimmArchitecture):
        module, _, function = architecture.provided.entry.target.partition(":")
        checked = resolve_options(architecture.provided, spec.options, plugins, "student.options")
        options = dict(spec.options) if checked is None else arguments_of(checked)
        arguments = [str(student.num_classes), str(student.in_chans), *_keywords(options)]
        return BuildRecipe(
            (f"from {module} import {function}",),
            (f"model = {function}({', '.join(arguments)})",),
            (architecture.provided.plugin.distribution,),
            timm=False,
            changed=False,
        )
    options = architecture.arguments(spec.options, spec.small_input, student.input.image_size, "student")
    options = {name: value for name, value in options.items() if "drop" not in name}  # it is not trained
    with torch.device("meta"):
        plain = architecture.create(
            student.num_classes, student.in_chans, None, options, False, False, "student"
        )
    changes = tuple(_changes(plain, student.model))
    arguments = [
        repr(architecture.name),
        f"num_classes={student.num_classes}",
        f"in_chans={student.in_chans}",
        *_keywords(options),
    ]
    imports = ("import timm", "import torch") if changes else ("import timm",)
    lines = (f"model = timm.create_model({', '.join(arguments)})", *changes)
    return BuildRecipe(imports, lines, ("timm",), timm=True, changed=bool(changes))


def _keywords(options: Mapping[str, Any]) -> list[str]:
    # as `TimmArchitecture.create` gives them
    return [
        f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in options.items()
    ]


def _changes(plain: nn.Module, model: nn.Module) -> Iterator[str]:
    """What makes `plain` the model: modules of torch replaced, strides of timm's own ones set."""
    before: dict[str, nn.Module] = dict(plain.named_modules())
    replaced: list[str] = []
    for name, module in model.named_modules():
        other = before.get(name)
        if any(name.startswith(f"{parent}.") for parent in replaced) or repr(other) == repr(module):
            continue
        if other is not None and type(other) is type(module) and next(other.children(), None) is not None:
            continue  # the difference is further inside
        if type(module).__module__.startswith("torch.nn."):
            replaced.append(name)
            yield f'model.set_submodule("{name}", torch.nn.{module!r})'
        else:
            yield f'model.get_submodule("{name}").stride = {getattr(module, "stride", None)!r}'
