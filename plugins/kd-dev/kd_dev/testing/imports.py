"""The packages that a plugin imports when it is found: checked in a new process without other imports."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from kd_dev.testing.check import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kdcore import PluginInfo

_CODE = "from kd_dev.testing.imports import _report; _report()"
_SECONDS = 120


def heavy_imports(plugin: PluginInfo) -> dict[str, list[str]]:
    """The heavy packages that the plugin's declarations import, and those that each of its options modules imports.

    Raises:
        Violation: importing them failed.
    """
    options = tuple(
        dict.fromkeys((getattr(entry, "options", None) or "").partition(":")[0] for entry in plugin.entries)
    )
    return _looked(plugin.value, tuple(filter(None, options)), tuple(sys.path))


def heavy_when_imported(module: str) -> list[str]:
    """The heavy packages that importing a module imports.

    Raises:
        Violation: importing it failed.
    """
    return _looked("", (module,), tuple(sys.path))[module]


@cache
def _looked(value: str, options: tuple[str, ...], path: tuple[str, ...]) -> dict[str, list[str]]:
    done = subprocess.run(  # noqa: S603  # this Python
        [sys.executable, "-c", _CODE],
        input=json.dumps({"path": path, "value": value, "options": options}),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Violation(f"importing {value or options[0]} in a new process failed: {lines[-1]}")
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _report() -> None:
    """In the new process: import step by step, and print the heavy packages of each step."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a plugin's own output must not mix with the answer
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    from kdcore.plugin import HEAVY, cause, import_named

    found: dict[str, list[str]] = {}
    before = set(sys.modules)
    plugin = import_named(asked["value"])[1] if asked["value"] else None
    for name, hook in _declaring(plugin):
        try:
            hook()
        except BaseException as error:  # also SystemExit, which would look like success
            sys.exit(f"{name}() raised {cause(error)}")
    for name in filter(None, (asked["value"], *asked["options"])):
        import_named(name)
        found[name] = [heavy for heavy in sorted(HEAVY) if heavy in sys.modules and heavy not in before]
        before = set(sys.modules)
    print(json.dumps(found), file=answers, flush=True)


def _declaring(plugin: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """The hooks that declare things: those that take no arguments."""
    for name in dir(plugin):
        hook = inspect.getattr_static(plugin, name)
        if hasattr(hook, "kdcore_impl"):  # the mark of `kdcore.hookimpl`
            bound = getattr(plugin, name)
            if not inspect.signature(bound).parameters:
                yield name, bound
