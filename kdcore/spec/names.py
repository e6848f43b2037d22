"""Names of models, optimizers and schedulers, checked without importing timm or torch."""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.spec import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins import Plugins

_TIMM: Final = "timm/"
_LOOKAHEAD: Final = "lookahead_"
# another package has this name on PyPI
_INSTALL: Final = {"apex": "build it from https://github.com/NVIDIA/apex, or use another optimizer"}


def check_model(name: str, where: str, plugins: Plugins) -> list[Problem]:
    """What is wrong with a model's name, which is timm's `name[.tag]` or `timm/name`, or a plugin's `[plugin/]name`."""
    if ":" in name:
        hint = "weights in a file or folder go to 'checkpoint'"
        return [Problem(where, "a model is known by its name, not by a place", name, hint=hint)]
    try:
        return list(_registered(name, where, plugins))
    except UserError as error:
        return list(error.problems)


def plain_optimizer(name: str) -> str:
    """An optimizer's name as timm has it: without 'lookahead_', in small letters."""
    return name.lower().removeprefix(_LOOKAHEAD)


def check_optimizer(name: str, where: str) -> Iterator[Problem]:
    """What is wrong with an optimizer's name."""
    known = installed.optimizers()
    plain = plain_optimizer(name)
    if known is None:
        return
    if plain not in known:
        near = nearest(plain, known)
        ahead = _LOOKAHEAD if name.lower().startswith(_LOOKAHEAD) else ""
        allowed = f"{listed(known, 20)}; each also behind '{_LOOKAHEAD}'"
        yield Problem(where, "timm has no optimizer of this name", name, allowed, near and ahead + near)
    elif (package := known[plain]) is not None and importlib.util.find_spec(package) is None:
        message = f"this optimizer needs the package {package}, which is not installed"
        yield Problem(where, message, name, hint=_INSTALL.get(package, f"pip install {package}"))
    elif plain in installed.second_order():
        message = "this optimizer needs second derivatives of the loss, which a run does not compute"
        yield Problem(where, message, name, hint="use an optimizer of first order, such as 'adamw'")


def check_scheduler(name: str, where: str) -> Iterator[Problem]:
    """What is wrong with a scheduler's name."""
    known = installed.schedulers()
    if known is not None and name not in known:
        yield Problem(
            where, "timm has no scheduler of this name", name, listed(known, 20), nearest(name, known)
        )


def _registered(name: str, where: str, plugins: Plugins) -> Iterator[Problem]:
    plain = name.removeprefix(_TIMM)
    declared = {item.entry.name: item.qualified for item in plugins.models()}
    if "/" in plain:
        if Path(plain).suffix or plain.startswith((".", "~", os.sep)):
            hint = "a file or folder of weights goes to 'checkpoint'"
            yield Problem(where, "a model is known by its name, not by a path", name, hint=hint)
            return
        plugins.model(name, where)
        return
    known = installed.models()
    if known is None:
        return
    architecture = plain.partition(".")[0]
    in_timm = architecture in known or architecture in installed.deprecated_models()
    if plain == name and plain in declared:
        plugins.model(name, where)
        if in_timm:
            both = f"{_TIMM}{plain}, {declared[plain]}"
            yield Problem(where, "timm and a plugin both have a model of this name", name, both)
    elif not in_timm:
        yield _unknown(name, architecture, known | declared.keys(), where, plugins)


def _unknown(name: str, architecture: str, known: frozenset[str], where: str, plugins: Plugins) -> Problem:
    hint = None
    try:
        plugins.model(name, where)
    except UserError as error:
        told = error.problems[0]
        if told.allowed is None:  # it is known where this model is from, and why it is not here
            return told
        hint = told.hint
    close = difflib.get_close_matches(architecture.lower(), sorted(known), n=6, cutoff=0.6)
    return Problem(
        where,
        "neither timm nor a plugin has a model of this name",
        value=name,
        nearest=nearest(architecture, known),
        allowed=f"a name such as {', '.join(close)}" if close else f"one of timm's {len(known)} models",
        hint=hint,
    )
