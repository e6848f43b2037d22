"""An error that nobody foresaw: its traceback, and the plugin whose code it came from."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from kdcore.plugins import get_plugins
from kdcore.plugins.switches import CORE, DISABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kdcore.plugins import PluginInfo


def print_unexpected(error: BaseException) -> None:
    """Print the traceback on stderr, and a line about the plugin that it runs through, if any."""
    traceback.print_exception(error, file=sys.stderr)
    # no discovery here: it may be what failed
    infos = get_plugins().infos if get_plugins.cache_info().currsize else ()
    plugin = blamed(error, infos)
    if plugin is not None:
        without = f"{DISABLE}={plugin.distribution}"
        print(f"This happened in plugin {plugin.label}; to go on without it, set {without}", file=sys.stderr)


def blamed(error: BaseException, infos: Iterable[PluginInfo]) -> PluginInfo | None:
    """The plugin whose package has the innermost frame of the traceback, or of those of its causes."""
    owners = {_package(info.value): info for info in infos if info.name != CORE}
    for module in _modules(error):
        if _package(module) in owners:
            return owners[_package(module)]
    return None


def _package(name: str) -> str:
    return name.partition(":")[0].partition(".")[0].strip()


def _modules(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = [frame for frame, _ in traceback.walk_tb(current.__traceback__)]
        yield from (frame.f_globals.get("__name__", "") for frame in reversed(frames))
        current = current.__cause__ or current.__context__
