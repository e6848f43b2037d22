"""Import a plugin's code: everything that goes wrong becomes one exception with a message of one line."""

from __future__ import annotations

import contextlib
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.plugins.pip_hint import pip_editable, pip_reinstall, pip_uninstall
from kdcore.plugins.restore import process_restored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.plugins.records import Candidate

HEAVY = ("torch", "timm", "torchvision", "numpy", "accelerate")


class PluginError(Exception):
    """A plugin cannot be used: the reason in one line, and how to fix it."""

    def __init__(self, error: str, fix: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.fix = fix


@contextlib.contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Run a plugin's code: its prints go to stderr, and every exception becomes `PluginError`.

    This includes `SystemExit`: a plugin must not be able to end kd. Only Ctrl-C passes. Changes to the process, such as
    the current folder and signal handlers, are undone.
    """
    try:
        with process_restored(), contextlib.redirect_stdout(sys.stderr):
            yield
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:
        raise PluginError(f"{doing}{cause(error)}") from error


def import_named(value: str) -> tuple[Any, Any]:
    """The module and the object that `package.module:object` names; without an object, the module twice.

    Raises:
        PluginError: there is no such module or object, or importing it failed.
    """
    module_name, _, attributes = (part.strip() for part in value.partition(":"))
    with guarded(""):
        try:
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            raise PluginError(_missing(error, module_name)) from error
        found: Any = module
        for attribute in filter(None, attributes.split(".")):
            try:
                found = getattr(found, attribute)
            except AttributeError as error:
                place = (
                    f"{module_name} ({getattr(module, '__file__', None) or 'a folder without __init__.py'})"
                )
                raise PluginError(f"{place} does not have {attribute!r}") from error
    return module, found


def cause(error: BaseException) -> str:
    """An exception in one line: its type, its first line, and where in the code it was raised."""
    text = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{line} ({Path(error.filename).name}, line {error.lineno})" if "line" not in line else line
    own = [frame for frame in frames if frame.filename != __file__ and not frame.filename.startswith("<")]
    inner = own[-1] if own else None
    return line if inner is None else f"{line} ({Path(inner.filename).name}, line {inner.lineno})"


def reinstall(candidate: Candidate) -> str:
    """The command that fixes most broken installations."""
    from kdcore.plugins.direct_url import editable_folder  # only needed if something is broken

    name = candidate.distribution
    folder = editable_folder(name)
    if folder is None:
        return pip_reinstall(name)
    return pip_editable(str(folder)) if folder.is_dir() else pip_uninstall(name)  # it may have been moved


def heavy_loaded() -> frozenset[str]:
    """The slow packages that are already imported."""
    return frozenset(name for name in HEAVY if name in sys.modules)


def _missing(error: ModuleNotFoundError, wanted: str) -> str:
    name = error.name or ""
    if name == wanted or wanted.startswith(f"{name}."):
        return f"its module {wanted!r} does not exist" + ("" if name == wanted else f": {name!r} is missing")
    if name:
        return f"it needs the module {name!r}, which is not installed"
    return cause(error)
