"""The lines of Python that build a student again, with timm or its plugin alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn

from kdcore.inspect import find_model_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore.inspect import RunStudent


@dataclass(frozen=True)
class BuildRecipe:
    """How to build a student without kd.

    Attributes:
        imports: the import lines.
        lines: they make `model`, with initial weights.
        needs: the distributions that have to be installed.
        timm: whether it is a model of timm.
        changed: whether timm's own model was changed after its construction, as small-input stems are.
    """

    imports: tuple[str, ...]
    lines: tuple[str, ...]
    needs: tuple[str, ...]
    timm: bool
    changed: bool


def recipe_of(student: RunStudent) -> BuildRecipe:
    """How to build the student's network again."""
    call = find_model_call(
        student.network,
        num_classes=student.num_classes,
        in_chans=student.in_chans,
        image_size=student.input.image_size,
        plugins=student.plugins,
    )
    of_timm = call.distribution == "timm"
    # it is not trained again: nothing is dropped
    keywords = {name: value for name, value in call.keywords.items() if not (of_timm and "drop" in name)}
    texts = [*map(repr, call.arguments), *(f"{name}={value!r}" for name, value in keywords.items())]
    arguments = ", ".join(texts)
    if not of_timm:
        return BuildRecipe(
            (f"from {call.module} import {call.function}",),
            (f"model = {call.function}({arguments})",),
            (call.distribution, *_plugins_of(student.network.options)),
            timm=False,
            changed=False,
        )
    with torch.device("meta"):  # built with the drop options too: they do not count as changes
        plain = timm.create_model(*call.arguments, **call.keywords)
    changes = tuple(_changes(plain, student.model))
    imports = ("import timm", "import torch") if changes else ("import timm",)
    lines = (f"model = timm.create_model({arguments})", *changes)
    return BuildRecipe(imports, lines, ("timm",), timm=True, changed=bool(changes))


def beyond_timm(student: RunStudent, recipe: BuildRecipe) -> str:
    """What a student is that is not a model of timm, in words."""
    transforms = student.network.options.get("transforms")
    if isinstance(transforms, list):
        names = ", ".join(f"'{one['name'].partition('/')[2]}'" for one in transforms)
        return f"{student.name} with the transform {names}"
    return f"{student.network.model}, a model of plugin {', '.join(recipe.needs)}"


def _plugins_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The plugins of the distiller whose head the student has, and of its transforms, if it has any."""
    transforms = options.get("transforms")
    parts = [options.get("distiller"), *(transforms if isinstance(transforms, list) else ())]
    names = [part.get("name", "") if isinstance(part, dict) else "" for part in parts]
    return tuple(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


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
