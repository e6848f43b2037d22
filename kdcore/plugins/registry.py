"""Register plugins. This is the only module that uses pluggy's hook relay."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Final

import pluggy

from kdcore import hookspecs
from kdcore.errors import nearest
from kdcore.plugins.importing import PluginError, guarded
from kdcore.plugins.pip_hint import pip_upgrade
from kdcore.plugins.roles import HOOKS
from kdcore.version import PLUGIN_API, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore.entries import AnyEntry


class Registry:
    """The registered plugins' hooks."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("kdcore")
        self._manager.add_hookspecs(hookspecs)
        self._specified: Final = {
            name: tuple(inspect.signature(getattr(hookspecs, name)).parameters)
            for name in vars(hookspecs)
            if name.startswith("kd_")
        }

    @contextlib.contextmanager
    def registered(self, plugin: Any, name: str) -> Iterator[None]:
        """Register a plugin; if the block raises, unregister it.

        Raises:
            PluginError: the plugin cannot be registered.
        """
        before = self._manager.get_name(plugin)
        if before is not None:
            raise PluginError(f"it names the same object as plugin {before!r}")
        try:
            self._manager.register(plugin, name=name)
            self._check(plugin)
            yield
        except pluggy.PluginValidationError as error:
            self._take_out(plugin)
            raise PluginError(self._describe(error)) from error
        except BaseException:
            self._take_out(plugin)
            raise

    def hooks_of(self, plugin: Any) -> tuple[str, ...]:
        """The hooks that a registered plugin implements, sorted."""
        return tuple(sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ()))

    def declare(self, plugin: Any, hook: str) -> tuple[AnyEntry, ...]:
        """The records that one declaring hook of a registered plugin returns.

        Raises:
            PluginError: the hook raises, or returns something other than a list or tuple of its records.
        """
        found: list[AnyEntry] = []
        for implementation in self._implementations(hook):
            if implementation.plugin is plugin:
                with guarded(f"{hook}() raised "):
                    returned = implementation.function()
                found.extend(_checked(hook, returned))
        return tuple(found)

    def call(self, hook: str, name: str, values: Mapping[str, Any]) -> Any:
        """Call one hook of one plugin; None if the plugin does not implement it.

        Raises:
            PluginError: the plugin raised.
        """
        for implementation in self._implementations(hook):
            if implementation.plugin_name == name:
                arguments = {argument: values[argument] for argument in implementation.argnames}
                with guarded(f"{hook}() raised "):
                    return implementation.function(**arguments)
        return None

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return list(caller.get_hookimpls())

    def _check(self, plugin: Any) -> None:
        callers = self._manager.get_hookcallers(plugin) or []
        for caller in callers:
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin:
                    self._check_one(caller.name, implementation)
        if not callers:
            bare = [name for name in self._specified if callable(inspect.getattr_static(plugin, name, None))]
            if bare:
                raise PluginError(f"its {bare[0]}() lacks the decorator @kdcore.hookimpl")
            raise PluginError("it has no hooks: no function in it is marked with @kdcore.hookimpl")

    def _check_one(self, name: str, implementation: pluggy.HookImpl) -> None:
        if name not in self._specified:
            if implementation.optionalhook:
                return
            near = nearest(name, self._specified)
            meant = (
                f"; did you mean '{near}'?"
                if near
                else f"; the hooks are {', '.join(sorted(self._specified))}"
            )
            raise PluginError(f"kd does not have a hook {name!r}{meant}")
        if implementation.wrapper or implementation.hookwrapper:
            raise PluginError(f"its {name}() is a hook wrapper, which kd does not call")
        if implementation.kwargnames:
            given = ", ".join(implementation.kwargnames)
            raise PluginError(f"its {name}() has a default for {given}, so kd would not pass it")
        for parameter in inspect.signature(implementation.function).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.KEYWORD_ONLY):
                place = "before '/'" if parameter.kind == parameter.POSITIONAL_ONLY else "after '*'"
                raise PluginError(f"its {name}() has {parameter.name} {place}, so kd cannot pass it")
        kind = None if name in HOOKS else _deferred(implementation.function)
        if kind is not None:
            raise PluginError(
                f"its {name}() is {kind}: a call of it runs nothing, so it must be a plain function"
            )

    def _describe(self, error: pluggy.PluginValidationError) -> str:
        lines = str(error).splitlines()
        for name, arguments in self._specified.items():
            if f"hook {name!r}" not in lines[0] and (len(lines) == 1 or f"hook {name!r}" not in lines[1]):
                continue
            takes = ", ".join(arguments) or "nothing"
            given = inspect.signature(getattr(error.plugin, name)).parameters
            wrong = next((argument for argument in given if argument not in arguments), None)
            if wrong is None:
                return f"its {name}() has an argument that kd does not pass; kd passes {takes} ({lines[-1].strip()})"
            near = nearest(wrong, arguments)
            meant = f"; did you mean {near!r}?" if near else ""
            return f"its {name}() has an argument {wrong!r} that kd does not pass; kd passes {takes}{meant}"
        return " ".join(line.strip() for line in lines)

    def _take_out(self, plugin: Any) -> None:
        # pluggy's register is not atomic in every version, and unregister fails if nothing was registered
        if self._manager.get_name(plugin) is not None:
            self._manager.unregister(plugin)


def _deferred(function: Any) -> str | None:
    """What kind of function it is, if a call does not run its code; None: a plain one."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "an async function"
    return "a generator function (it has a 'yield')" if inspect.isgeneratorfunction(function) else None


def check_api(plugin: Any, module: Any, distribution: str) -> None:
    """Check that the plugin is for this version of the plugin interface; a plugin without `PLUGIN_API` is accepted.

    Raises:
        PluginError: its `PLUGIN_API` is a different one.
    """
    asked = getattr(plugin, "PLUGIN_API", None)
    asked = getattr(module, "PLUGIN_API", None) if asked is None else asked
    if asked is None:
        return
    have = f"kdcore {__version__} has {PLUGIN_API}"
    if isinstance(asked, bool) or not isinstance(asked, int):
        raise PluginError(f"its PLUGIN_API is {asked!r}, which is not an integer; {have}")
    if asked > PLUGIN_API:
        raise PluginError(f"it needs plugin API {asked}; {have}", pip_upgrade("kdcore"))
    if asked < PLUGIN_API:
        raise PluginError(f"it is made for plugin API {asked}; {have}", pip_upgrade(distribution))


def _checked(hook: str, returned: Any) -> list[AnyEntry]:
    wanted = HOOKS[hook].entry
    if not isinstance(returned, list | tuple):
        raise PluginError(f"{hook}() returned {_what(returned)}, not a list of kdcore.{wanted.__name__}")
    names: set[str] = set()
    for entry in returned:
        if not isinstance(entry, wanted):
            raise PluginError(f"{hook}() returned a list with {_what(entry)}, not kdcore.{wanted.__name__}")
        if entry.name in names:
            raise PluginError(f"{hook}() returned {entry.name!r} twice")
        names.add(entry.name)
    return list(returned)


def _what(value: Any) -> str:
    if value is None:
        return "None"
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{type(value).__name__} {' '.join(text.split())}"
