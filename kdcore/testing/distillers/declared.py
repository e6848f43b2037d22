"""Checks of what is said about a distiller: its declaration and its options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from kdcore.errors import UserError
from kdcore.plugins import get_plugins
from kdcore.plugins.importing import HEAVY
from kdcore.spec.resolve import resolve_distiller
from kdcore.testing.check import Violation, rule, skip
from kdcore.testing.declared import distiller_faults
from kdcore.testing.imports import heavy_imports
from kdcore.testing.options import field_faults

if TYPE_CHECKING:
    from kdcore.testing.subject import DistillerSubject


@rule(
    "distiller",
    summary="The declaration says what the class is: an nn.Module that takes these options, and can be called "
    "as kd calls it.",
    why="kd knows a distiller by its declaration alone until a run needs it. What the declaration says "
    "wrongly comes out only then, in the middle of somebody's run.",
    mend="Correct `target` and `options` in the `DistillerEntry`, or the signatures: `__init__(self, "
    "options, setup)` and `forward(self, student, teacher, batch, progress)`.",
)
def declaration(subject: DistillerSubject) -> None:
    if subject.provided is None:
        skip("a class was given, which no declaration is about")
    try:
        target = subject.factory
        model = get_plugins().load_options(subject.provided, subject.name)
    except UserError as error:
        raise Violation(str(error)) from error
    faults = list(distiller_faults(target, subject.provided.entry.target, model))
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "distiller",
    summary="Neither the plugin's entry module nor the options' module imports torch, timm, torchvision, numpy "
    "or accelerate.",
    why="`kd --help`, the lists and `kd validate` import both. One plugin that imports torch there makes "
    "each of these commands take seconds.",
    mend="Keep options in a module of their own, import torch in the distiller's module only, and annotate "
    "under `if TYPE_CHECKING:`. Mind what your package's `__init__.py` imports, too.",
)
def lazy_import(subject: DistillerSubject) -> None:
    if subject.provided is None:
        skip("a class was given, whose plugin is not known")
    found = heavy_imports(subject.provided.plugin)
    module = subject.provided.entry.options.partition(":")[0]
    for name in (subject.provided.plugin.value, module):
        if found.get(name):
            raise Violation(f"importing {name} imports {', '.join(found[name])} (of {', '.join(HEAVY)})")


@rule(
    "distiller",
    summary="Every option has a default and a description.",
    why="The defaults are the method's recipe: a spec may name the distiller and nothing else. The "
    "descriptions are what `kd show`, the JSON Schema and error messages say.",
    mend='Write each field as `Field(default=..., description="...")`, with the default of the paper\'s own '
    "code.",
)
def options_documented(subject: DistillerSubject) -> None:
    faults = list(field_faults(type(subject.options)))
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "distiller",
    summary="The options, written as JSON and read again, are the same.",
    why="A run directory keeps the options in `spec.json`, and `kd run` on that file repeats the run. "
    "Options that change on the way make it another run.",
    mend="Use types that JSON has, and tuples rather than lists for sequences. A validator has to take what "
    "the field holds.",
)
def options_roundtrip(subject: DistillerSubject) -> None:
    options = subject.options
    try:
        text = options.model_dump_json()
        if subject.provided is None:
            again = type(options).model_validate_json(text)
        else:
            again = resolve_distiller(
                subject.provided.qualified, json.loads(text), get_plugins(), "options"
            ).options
    except (UserError, ValidationError, TypeError, ValueError) as error:
        raise Violation(f"{options!r} cannot be written as JSON and read again: {error}") from error
    if again != options:
        raise Violation(f"{options!r} became {again!r} on the way through JSON ({text})")
