"""An error that nobody foresaw: its traceback, and the plugin whose code it came from."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from kdcore.cli.output import say
from kdcore.entries import RecipeEntry
from kdcore.plugins import get_plugins
from kdcore.plugins.importing import cause
from kdcore.plugins.roles import role_of
from kdcore.plugins.switches import CORE, DISABLE
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kdcore.entries import AnyEntry
    from kdcore.plugins import PluginInfo


def print_unexpected(error: BaseException) -> None:
    """Print the traceback on stderr, and whose code it runs through, if it is a plugin's."""
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(printable(text, lines=True))
    print_blamed(error)


def print_blamed(error: BaseException, *, reported: BaseException | None = None) -> None:
    """Print on stderr in which plugin the error arose, where that is, and how to do without it.

    Nothing is printed if that plugin's own code reported the error as `reported`: its message says what is wrong.
    """
    # no discovery here: it may be what failed
    infos = get_plugins().infos if get_plugins.cache_info().currsize else ()
    found = blamed(error, infos)
    if found is None:
        return
    plugin, module = found
    if reported is not None and _raised_by(reported, infos) == plugin:
        return
    things = [
        f"{role_of(entry).name} '{entry.name}'" for entry in plugin.entries if module_of(entry) == module
    ]
    within = f", {' or '.join(things)}" if things else ""
    say(
        f"This happened in plugin {plugin.label}{within}: {cause(error)}\n"
        f"    to see where it is: kd plugins {plugin.name}\n"
        f"    to go on without it: {DISABLE}={plugin.distribution}",
        err=True,
    )


def blamed(error: BaseException, infos: Iterable[PluginInfo]) -> tuple[PluginInfo, str] | None:
    """The plugin with the innermost frame of the traceback, or of those of its causes, and that frame's module.

    A plugin's modules are those of the packages that it names: its entry point's, and its targets'. Of several plugins
    in one (namespace) package it is the one that shares most of the dotted name.
    """
    owners = _owners(infos)
    for module in _modules(error):
        info = _owner(module, owners)
        if info is not None:
            return info, module
    return None


def _raised_by(error: BaseException, infos: Iterable[PluginInfo]) -> PluginInfo | None:
    """The plugin whose code raised an error itself."""
    module = next(_modules(error), None)
    return None if module is None else _owner(module, _owners(infos))


def _owners(infos: Iterable[PluginInfo]) -> list[tuple[str, PluginInfo]]:
    return [
        (named, info)
        for info in infos
        if info.name != CORE
        for named in {_module(info.value), *(module_of(entry) for entry in info.entries)}
    ]


def _owner(module: str, owners: Iterable[tuple[str, PluginInfo]]) -> PluginInfo | None:
    sharing = [(_shared(module, named), info) for named, info in owners]
    most, info = max(sharing, key=lambda one: one[0], default=(0, None))
    return info if most else None


def _shared(one: str, other: str) -> int:
    """How many parts two dotted names have in common from the start; none where `other` is of kdcore's own."""
    if other.partition(".")[0] == CORE:
        return 0
    count = 0
    for mine, theirs in zip(one.split("."), other.split("."), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def module_of(entry: AnyEntry) -> str:
    """The module of a thing's code, or of its file."""
    return _module(entry.path if isinstance(entry, RecipeEntry) else entry.target)


def _module(name: str) -> str:
    return name.partition(":")[0].strip()


def _modules(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = [frame for frame, _ in traceback.walk_tb(current.__traceback__)]
        yield from (frame.f_globals.get("__name__", "") for frame in reversed(frames))
        current = current.__cause__ or current.__context__
