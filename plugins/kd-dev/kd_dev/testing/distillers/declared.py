"""Checks of a distiller's declaration and options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import distiller_faults
from kd_dev.testing.imports import heavy_imports
from kd_dev.testing.options import field_faults
from kdcore import UserError
from kdcore.inspect import distiller_part, find_recipe, paper_settings, resolve_distiller
from kdcore.plugin import HEAVY, get_plugins

if TYPE_CHECKING:
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import DistillerEntry, Provided


@rule(
    "distiller",
    summary="The declaration describes the class: an nn.Module that takes these options, and can be called "
    "as kd calls it.",
    why="Until a run needs a distiller, kd knows only its declaration. A wrong declaration is found only then, "
    "in the middle of a user's run.",
    fix="Correct `target` and `options` in the `DistillerEntry`, or the signatures: `__init__(self, "
    "options, setup)` and `forward(self, student, teacher, batch, progress)`.",
)
def declaration(subject: DistillerSubject) -> None:
    if subject.provided is None:
        skip("a class was given, which has no declaration")
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
    fix="Put options in their own module, import torch in the distiller's module only, and annotate "
    "under `if TYPE_CHECKING:`. Check the imports of your package's `__init__.py`, too.",
)
def lazy_import(subject: DistillerSubject) -> None:
    if subject.provided is None:
        skip("a class was given, whose plugin is unknown")
    found = heavy_imports(subject.provided.plugin)
    module = subject.provided.entry.options.partition(":")[0]
    for name in (subject.provided.plugin.value, module):
        if found.get(name):
            raise Violation(f"importing {name} imports {', '.join(found[name])} (of {', '.join(HEAVY)})")


@rule(
    "distiller",
    summary="Every option has a default and a description.",
    why="The defaults are the method's recipe: a spec may contain only the distiller's name. The "
    "descriptions are what `kd show`, the JSON Schema and error messages say.",
    fix='Write each field as `Field(default=..., description="...")`, with the default of the paper\'s own '
    "code.",
)
def options_documented(subject: DistillerSubject) -> None:
    faults = list(field_faults(type(subject.options)))
    if faults:
        raise Violation("; ".join(faults))


@rule(
    "distiller",
    summary="Options that are written as JSON and read again are equal.",
    why="A run directory keeps the options in `spec.json`, and `kd run` on that file repeats the run. "
    "Options that change on the way make it a different run.",
    fix="Use types that JSON has, and tuples rather than lists for sequences. A validator must accept the value "
    "that the field holds.",
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
        raise Violation(f"{options!r} became {again!r} after writing and reading JSON ({text})")


@rule(
    "distiller",
    summary="What its papers say can be read: the file of `settings` has the keys of such a file, options that the "
    "distiller has, and recipes that exist, as `recipes` of the declaration does.",
    why="The file is read when a spec names a recipe, for `kd show`, and for `kd init`. A mistake in it stops the run "
    "of a user who did nothing wrong; a recipe that does not exist is never found.",
    fix="Correct `settings` in the `DistillerEntry`, `package.module:folder/file.toml`, or the file; the message says "
    "where. Check that the wheel contains the file. A recipe in `recipes` is a variant of a general one.",
)
def settings(subject: DistillerSubject) -> None:
    provided = subject.provided
    if provided is None:
        skip("a class was given, which has no declaration")
    entry, plugins = provided.entry, get_plugins()
    if entry.settings is None and not entry.recipes:
        skip("its declaration names neither a file of settings nor recipes")
    try:
        for number, name in enumerate(entry.recipes):
            if find_recipe(name, f"recipes[{number}]", plugins).variant_of is None:
                raise Violation(f"recipes[{number}] is {name!r}, which is not a variant of another recipe")
        if entry.settings is not None:
            _check_settings(provided, subject.name)
    except UserError as error:
        raise Violation(str(error)) from error


def _check_settings(provided: Provided[DistillerEntry], name: str) -> None:
    plugins, found = get_plugins(), paper_settings(provided, name)
    if not found.recipes and not found.pairs:
        raise Violation("its file of settings has neither recipes nor pairs")
    for recipe, part in found.recipes.items():
        resolve_distiller(provided.qualified, part.options, plugins, f"recipes.{recipe}.options")
        if distiller_part(find_recipe(recipe, "recipes", plugins), provided, "recipes") != part:
            raise Violation(f"recipes.{recipe}: a spec with the recipe gets something else")
    for number, pair in enumerate(found.pairs):
        where = f"pairs[{number}]"
        resolve_distiller(provided.qualified, pair.options, plugins, f"{where}.options")
        if pair.recipe is not None:
            find_recipe(pair.recipe, f"{where}.recipe", plugins)
