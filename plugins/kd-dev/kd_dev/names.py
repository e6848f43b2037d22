"""The names of a new plugin, checked before anything is written."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
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

_LONGEST: Final = 64  # it is part of the names of files and folders, of which some systems take 255 bytes
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# names of kdcore, and what the templates import in addition
_CLASSES: Final = frozenset((*dir(kdcore), "Tensor", "Module", "Image", "Dataset", "Any", "Path"))
_DEVICES: Final = frozenset(("con", "prn", "aux", "nul"))  # no names of files on Windows
_TAKEN: Final = ("plugin", "options", "adapter", "__init__")
_THING = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")
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
    elif PLUGIN_KINDS[kind].has_class and (keyword.iskeyword(cls) or cls in _CLASSES):
        message = f"its class would be called '{cls}', which Python or kdcore has itself"
        problems.append(Problem("--thing", message, thing, hint="say another one"))
    elif keyword.iskeyword(file) or not file.isidentifier() or file in _TAKEN:
        problems.append(Problem("--thing", f"its file '{file}.py' would have a reserved name", thing))
    elif thing in (known := _known(kind, plugins)):
        message = f"there is a {kind} of this name: {' and '.join(known[thing])}"
        problems.append(Problem("--thing", message, thing, hint="say another one"))
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


def _known(kind: str, plugins: Plugins) -> dict[str, list[str]]:
    """The plugins that have a thing of this kind, by its name."""
    found: dict[str, list[str]] = {}
    for provided in plugins.everything():
        if role_of(provided.entry).name == kind.replace("-", " "):
            found.setdefault(provided.entry.name, []).append(provided.plugin.label)
    return found
