"""From the name of a model, an optimizer or a scheduler to what it means; timm and torch are not imported.

Checking a spec and building from it both ask here, so that they agree.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdcore.entries import ModelEntry
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins.pip_hint import pip_install
from kdcore.spec import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Plugins, Provided
    from kdcore.spec.installed import TimmModel

_TIMM: Final = "timm/"
_LOOKAHEAD: Final = "lookahead_"
# another package has this name on PyPI
_INSTALL: Final = {"apex": "build it from https://github.com/NVIDIA/apex, or use another optimizer"}


@dataclass(frozen=True)
class TimmName:
    """A model of timm as a spec names it: the model, and the tag of its weights if the name has one."""

    model: TimmModel
    tag: str | None

    @property
    def tagged(self) -> str:
        """The name that `timm.create_model` takes."""
        return self.model.name if self.tag is None else f"{self.model.name}.{self.tag}"


def resolve_model(name: str, where: str, plugins: Plugins) -> TimmName | Provided[ModelEntry]:
    """The model of timm that 'name', 'name.tag' or 'timm/name' means, or the plugin's that '[plugin/]name' means.

    Raises:
        UserError: there is no such model or tag, or both timm and a plugin have a model of this name.
    """
    if ":" in name:
        hint = "weights in a file or folder belong in 'checkpoint'"
        message = "this is a location; a model is given by its name"
        raise UserError(Problem(where, message, name, hint=hint))
    plain = name.removeprefix(_TIMM)
    if "/" in plain or "\\" in plain:
        if "\\" in plain or Path(plain).suffix or plain.startswith((".", "~", os.sep)):
            hint = "a file or folder of weights belongs in 'checkpoint'"
            raise UserError(Problem(where, "this is a path; a model is given by its name", name, hint=hint))
        return plugins.find(ModelEntry, name, where)
    declared = {item.entry.name: item.qualified for item in plugins.all(ModelEntry)} if plain == name else {}
    current = installed.deprecated_models().get(plain, plain)
    architecture, _, tag = current.partition(".")
    model = installed.models().get(architecture)
    if plain in declared:
        provided = plugins.find(ModelEntry, name, where)
        if model is not None:
            both = f"{_TIMM}{plain}, {declared[plain]}"
            raise UserError(Problem(where, "timm and a plugin both have a model of this name", name, both))
        return provided
    if model is None:
        raise UserError(_unknown_model(name, architecture, where, plugins))
    if tag and tag not in model.tags:
        message = f"{architecture} has no weights with the tag '{tag}'"
        allowed = listed(model.tags) if model.tags else f"{architecture}, without a tag"
        raise UserError(Problem(where, message, name, allowed, nearest(tag, model.tags)))
    return TimmName(model, tag or None)


def check_model(name: str, where: str, plugins: Plugins) -> list[Problem]:
    """What is wrong with a model's name."""
    try:
        resolve_model(name, where, plugins)
    except UserError as error:
        return list(error.problems)
    return []


DOT: Final = "dot"
"""The optimizer that is not timm's: `kdcore.ops.Dot`."""


def plain_optimizer(name: str) -> str:
    """An optimizer's name as timm has it: without 'lookahead_', in lower case."""
    return name.lower().removeprefix(_LOOKAHEAD)


def check_optimizer(name: str, where: str) -> Iterator[Problem]:
    """What is wrong with an optimizer's name."""
    known = installed.optimizers()
    plain = plain_optimizer(name)
    if name.lower() == DOT:
        return
    if plain not in known:
        ahead = _LOOKAHEAD if name.lower().startswith(_LOOKAHEAD) else ""
        near = nearest(plain, known if ahead else [*known, DOT])
        allowed = f"{listed(known, 20)}; '{_LOOKAHEAD}' may stand before each of them"
        yield Problem(where, "timm has no optimizer of this name", name, allowed, near and ahead + near)
        return
    package = known[plain].package
    if package is not None and importlib.util.find_spec(package) is None:
        message = f"this optimizer needs the package {package}, which is not installed"
        yield Problem(where, message, name, hint=_INSTALL.get(package) or pip_install(package))
    elif known[plain].second_order:
        message = "this optimizer needs second derivatives of the loss, which a run does not compute"
        yield Problem(where, message, name, hint="use an optimizer of first order, such as 'adamw'")


def check_scheduler(name: str, where: str) -> Iterator[Problem]:
    """What is wrong with a scheduler's name."""
    known = installed.SCHEDULERS
    if name not in known:
        yield Problem(
            where, "timm has no scheduler of this name", name, listed(known, 20), nearest(name, known)
        )


def _unknown_model(name: str, architecture: str, where: str, plugins: Plugins) -> Problem:
    hint = None
    try:
        plugins.find(ModelEntry, name, where)
    except UserError as error:
        problem = error.problems[0]
        if problem.allowed is None:  # it is known which plugin has this model, and why it is not available
            return problem
        hint = problem.hint
    known = installed.models().keys() | {item.entry.name for item in plugins.all(ModelEntry)}
    close = difflib.get_close_matches(architecture.lower(), sorted(known), n=6, cutoff=0.6)
    return Problem(
        where,
        "neither timm nor a plugin has a model of this name",
        value=name,
        nearest=nearest(architecture, known),
        allowed=f"a name such as {', '.join(close)}" if close else f"one of timm's {len(known)} models",
        hint=hint,
    )
