"""The names of a new plugin, checked before anything is written."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

import kdcore
from kd_dev.kinds import PLUGIN_KINDS
from kdcore import Problem, UserError
from kdcore.plugin import nearest, normalised, role_of

if TYPE_CHECKING:
    from kdcore.plugin import Plugins

License = Literal["MIT", "Apache-2.0"]
KINDS: Final[tuple[str, ...]] = tuple(PLUGIN_KINDS)
LICENSES: Final[tuple[str, ...]] = get_args(License)
TEMPLATES: Final = Path(__file__).parent / "templates"

_LONGEST: Final = 64  # it is part of the names of files and folders, of which some systems take 255 bytes
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_IMPORT = re.compile(r"^ *(?:from \S+ )?import (.+)$", re.MULTILINE)
_ENDS: Final = ("", "Options", "Adapter")  # of the templates' classes
_DEVICES: Final = frozenset(("con", "prn", "aux", "nul"))  # no names of files on Windows
_TAKEN: Final = ("plugin", "options", "adapter", "conformance", "__init__")
_THING = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")
_ALL_FORMATS: Final = "all"
_WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")  # what is written on a command line, or in a link


@dataclass(frozen=True)
class PluginNames:
    """What a new plugin's parts are called.

    Attributes:
        distribution: what pip installs, and the entry point.
        module: the package that is imported.
        thing: what specs, or a command line, call the thing that it declares.
        file: the module with its code.
        cls: its class.
    """

    distribution: str
    module: str
    thing: str
    file: str
    cls: str


def choose_names(distribution: str, kind: str, thing: str | None, plugins: Plugins) -> PluginNames:
    """Names from what the user said.

    Raises:
        UserError: a name cannot be used, or something installed has it.
    """
    problems: list[Problem] = []
    _check_length("NAME", distribution)
    if thing is not None:
        _check_length("--thing", thing)
    if not _DISTRIBUTION.fullmatch(distribution):
        allowed = "letters, digits, '.', '_' and '-', a letter or digit at both ends, such as 'kd-swd'"
        raise UserError(Problem("NAME", "this cannot be the name of a package", distribution, allowed))
    distribution = normalised(distribution)
    module = distribution.replace("-", "_")
    thing = thing or distribution.removeprefix("kd-")
    file = thing.replace("-", "_")
    cls = "".join(part.capitalize() for part in re.split(r"[-_]", thing))
    if not module.isidentifier() or keyword.iskeyword(module) or module in sys.stdlib_module_names | _DEVICES:
        message = f"its package would be '{module}', which Python cannot import or has itself"
        problems.append(Problem("NAME", message, distribution, hint="begin it with 'kd-'"))
    elif any(distribution in info.candidate.names for info in plugins.infos):
        problems.append(Problem("NAME", "a plugin of this name is installed", distribution))
    elif find_spec(module) is not None:
        problems.append(Problem("NAME", f"there is a package '{module}' already", distribution))
    if kind in ("command", "report-section") and not _WORDS.fullmatch(thing):
        allowed = "small letters and digits, in words with '-' between them"
        problems.append(Problem("--thing", f"this cannot be the name of a {kind}", thing, allowed))
    elif not _THING.fullmatch(thing):
        allowed = "small letters, digits, '_' and '-', a letter first, a letter or digit last"
        problems.append(Problem("--thing", f"this cannot be the name of a {kind}", thing, allowed))
    elif PLUGIN_KINDS[kind].has_class and (name := _reserved(cls)):
        message = (
            f"its class would be called '{name}', which Python or kdcore has itself, or its files import"
        )
        problems.append(Problem("--thing", message, thing, hint="say another one"))
    elif keyword.iskeyword(file) or not file.isidentifier() or file in _TAKEN:
        problems.append(Problem("--thing", f"its file '{file}.py' would have a reserved name", thing))
    elif taken := _known(thing, kind, plugins):
        problems.append(Problem("--thing", taken, thing, hint="say another one"))
    if problems:
        raise UserError(problems)
    return PluginNames(distribution, module, thing, file, cls)


def _check_length(where: str, name: str) -> None:
    if len(name) > _LONGEST:
        allowed = f"up to {_LONGEST} characters"
        raise UserError(Problem(where, f"this name has {len(name)} characters", name, allowed))


def check_choice(where: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises UserError if `value` is not allowed."""
    if value not in allowed:
        near = nearest(value, allowed)
        raise UserError(Problem(where, "it is not one of the choices", value, ", ".join(allowed), near))


def _reserved(cls: str) -> str | None:
    """The class of the new plugin that would have a name which its files need for something else."""
    if keyword.iskeyword(cls):
        return cls
    return next((cls + end for end in _ENDS if cls + end in dir(kdcore) or cls + end in imported()), None)


@cache
def imported() -> frozenset[str]:
    """The names that the templates import."""
    lines = [
        line
        for path in TEMPLATES.rglob("*.py.jinja")
        for line in _IMPORT.findall(path.read_text(encoding="utf-8"))
    ]
    return frozenset(part.split()[-1] for line in lines for part in line.split(","))


def _known(thing: str, kind: str, plugins: Plugins) -> str | None:
    """What has this name already."""
    # a new model comes with an adapter
    for role in ("model", "adapter") if kind == "model" else (kind.replace("-", " "),):
        labels = [
            provided.plugin.label
            for provided in plugins.everything()
            if provided.entry.name == thing and role_of(provided.entry).name == role
        ]
        if labels:
            article = "an" if role in ("adapter", "exporter") else "a"
            return f"there is {article} {role} of this name: {' and '.join(labels)}"
    if kind == "model" and _in_timm(thing):
        return "timm has a model of this name"
    if kind == "exporter" and thing == _ALL_FORMATS:
        return f"'--to {thing}' means every format"
    return None


def _in_timm(name: str) -> bool:
    from kdcore.inspect import find_model

    try:
        return find_model(name) is not None
    except UserError:
        return False
