"""Plugins: discovery step by step, and typed methods for everything that was found."""

from __future__ import annotations

import copy
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

from kdcore.errors import Problem, UserError
from kdcore.plugins import switches
from kdcore.plugins.find import find_candidates
from kdcore.plugins.importing import PluginError, guarded, heavy_loaded, import_named, reinstall
from kdcore.plugins.lookup import Index
from kdcore.plugins.pip_hint import pip_uninstall
from kdcore.plugins.records import Candidate, EntryT, PluginInfo, Provided, Status, normalised
from kdcore.plugins.registry import Registry, check_api
from kdcore.plugins.roles import HOOKS, ROLES
from kdcore.plugins.targets import load_options, load_target
from kdcore.stop_training import StopTraining
from kdcore.text import message
from kdcore.version import __version__

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kdcore.entries import AnyEntry, DistillerEntry
    from kdcore.options import DistillerOptions
    from kdcore.rundir.directory import RunDirectory

Warn = Callable[[str], None]
_CORE = Candidate(
    switches.CORE, "kdcore.builtin", "kdcore", __version__, str(Path(__file__).parents[1] / "builtin.py")
)


def warn_on_stderr(line: str) -> None:
    """Print a warning line."""
    if sys.stderr is not None:  # None if the caller closed it
        print(f"warning: {message(line)}", file=sys.stderr, flush=True)


class Plugins:
    """The discovered plugins. Create it with `Plugins.discover`.

    Attributes:
        infos: every plugin with its status, sorted by name, including the core's own.
        notes: one line for each name in `KD_DISABLE_PLUGINS` that disables nothing.
    """

    def __init__(
        self, infos: Sequence[PluginInfo], registry: Registry, notes: Sequence[str], disabled: Sequence[str]
    ) -> None:
        self.infos = tuple(sorted(infos, key=lambda info: (info.name, normalised(info.distribution))))
        self._registry = registry
        self.notes = tuple(notes)
        disabling = f"{switches.DISABLE}={','.join(disabled)}"
        self._indexes: dict[type[Any], Index[Any]] = {
            kind: Index(role, kind, self.infos, disabling) for kind, role in ROLES.items()
        }

    @classmethod
    def discover(
        cls,
        candidates: Sequence[Candidate] | None = None,
        *,
        disabled: Sequence[str] | None = None,
        strict: bool | None = None,
    ) -> Plugins:
        """Find, filter, load and register plugins one by one, so that a broken one does not affect the others.

        By default, read the entry points of the installed distributions, and the environment variables.

        Raises:
            UserError: a plugin is broken, and `strict` makes that an error.
        """
        candidates = find_candidates() if candidates is None else tuple(candidates)
        disabled = switches.disabled_names() if disabled is None else tuple(disabled)
        strict = switches.strict() if strict is None else strict
        registry = Registry()
        infos = [_load(_CORE, registry)]
        active = [item for item in candidates if not switches.is_disabled(item, disabled)]
        for candidate in candidates:
            if candidate not in active:
                infos.append(_info(candidate, "disabled"))
            elif (rivals := _rivals(candidate, active)) is not None:
                infos.append(rivals)
            else:
                infos.append(_load(candidate, registry))
        found = cls(infos, registry, switches.unmatched(disabled, candidates), disabled)
        if strict and found.broken:
            raise UserError(
                Problem(f"plugin {info.label}", f"the plugin is broken: {info.error}", hint=info.fix)
                for info in found.broken
            )
        return found

    @property
    def broken(self) -> tuple[PluginInfo, ...]:
        """The broken plugins."""
        return tuple(info for info in self.infos if info.status == "broken")

    def warnings(self) -> tuple[str, ...]:
        """One line for each broken plugin, and the notes."""
        return (*(info.warning for info in self.broken), *self.notes)

    def all(self, kind: type[EntryT]) -> tuple[Provided[EntryT], ...]:
        """All things of one role, sorted by name; if two have the same name, both are listed.

        Args:
            kind: the type of the role's records, such as `DistillerEntry`.
        """
        index: Index[EntryT] = self._indexes[kind]
        return index.everything

    def find(self, kind: type[EntryT], ref: str, where: str) -> Provided[EntryT]:
        """The thing of one role with the name `ref` of a spec or a flag: `name` or `plugin/name`.

        Raises:
            UserError: with a problem at `where`, if no plugin has it, or two have it.
        """
        index: Index[EntryT] = self._indexes[kind]
        return index.find(ref, where)

    def everything(self) -> tuple[Provided[Any], ...]:
        """Everything that the loaded plugins declare, by role."""
        return tuple(item for index in self._indexes.values() for item in index.everything)

    def load(self, provided: Provided[Any], where: str) -> Any:
        """Import the target of an entry.

        Raises:
            UserError: the import fails; the message names the plugin, its version and the cause.
        """
        return load_target(provided, where)

    @overload
    def load_options(self, provided: Provided[DistillerEntry], where: str) -> type[DistillerOptions]: ...

    @overload
    def load_options(self, provided: Provided[Any], where: str) -> type[BaseModel] | None: ...

    def load_options(self, provided: Provided[Any], where: str) -> type[BaseModel] | None:
        """Import the options model of a thing; None if it declares none, which a distiller always does.

        Raises:
            UserError: the import fails, or the object is not a pydantic model, lacks the field `weight` (distillers),
                or accepts unknown keys (all others).
        """
        return load_options(provided, where)

    def run_started(self, run: RunDirectory, warn: Warn = warn_on_stderr) -> None:
        """Call every plugin at the start of a run."""
        for name, returned in self._call("kd_run_started", {"run": run}, warn):
            _check_returned("kd_run_started", name, returned, warn)

    def epoch_ended(
        self, run: RunDirectory, metrics: dict[str, Any], warn: Warn = warn_on_stderr
    ) -> str | None:
        """Call every plugin after an epoch was trained and evaluated.

        Returns:
            Why the training ends after this epoch, if a plugin asks for it: the first one's reason with its name.
        """
        reasons = []
        for name, returned in self._call("kd_epoch_ended", {"run": run, "metrics": metrics}, warn):
            _check_returned("kd_epoch_ended", name, returned, warn)
            if isinstance(returned, StopTraining):
                reasons.append(f"plugin {name}: {returned.reason}")
        return next(iter(reasons), None)

    def run_finished(
        self,
        run: RunDirectory,
        summary: dict[str, Any],
        warn: Warn = warn_on_stderr,
        *,
        skip: Collection[str] = (),
        done: Callable[[str, list[str]], None] | None = None,
    ) -> None:
        """Call every plugin when a run is complete.

        Args:
            run: the run directory.
            summary: the content of `summary.json`.
            warn: receives a message for each plugin that fails.
            skip: names of plugins that are not called.
            done: called after each plugin that completed its work, with its name and the lines that it shows; not
                called for a plugin that raised an error, or returned False to be called again.
        """
        for name, returned in self._call("kd_run_finished", {"run": run, "summary": summary}, warn, skip):
            _check_returned("kd_run_finished", name, returned, warn)
            if done is not None and returned is not False:
                done(name, returned.splitlines() if isinstance(returned, str) else [])

    def run_failed(self, run: RunDirectory, summary: dict[str, Any], warn: Warn = warn_on_stderr) -> None:
        """Call every plugin when a run has failed."""
        for name, returned in self._call("kd_run_failed", {"run": run, "summary": summary}, warn, then=""):
            _check_returned("kd_run_failed", name, returned, warn)

    def _call(
        self,
        hook: str,
        values: dict[str, Any],
        warn: Warn,
        skip: Collection[str] = (),
        then: str = "; the run continues",
    ) -> Iterator[tuple[str, Any]]:
        labels = {info.name: info.label for info in self.infos if info.status == "loaded"}
        for name in sorted(labels.keys() - set(skip)):
            # each plugin gets its own copy: watching a run must not change it
            own = {
                key: copy.deepcopy(value) if isinstance(value, dict) else value
                for key, value in values.items()
            }
            try:
                yield name, self._registry.call(hook, name, own)
            except PluginError as broken:
                warn(f"plugin {labels[name]}: {broken.error}{then}")


_MAY_RETURN: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "kd_run_started": ((), "None"),
    "kd_epoch_ended": ((StopTraining,), "a StopTraining or None"),
    "kd_run_finished": ((str, bool), "a text, False or None"),
    "kd_run_failed": ((), "None"),
}
"""What each run hook may return apart from None: the types, and the words of a message."""


def _check_returned(hook: str, plugin: str, returned: object, warn: Warn) -> None:
    """Warn of what a run hook must not return; nothing is done with it."""
    types, words = _MAY_RETURN[hook]
    if returned is None or isinstance(returned, types):
        return
    then = "" if hook == "kd_run_failed" else "; the run continues"
    warn(f"plugin {plugin}: {hook}() returned {type(returned).__name__}; it may return {words}{then}")


def _info(candidate: Candidate, status: Status, **fields: Any) -> PluginInfo:
    return PluginInfo(
        candidate.name,
        candidate.distribution,
        candidate.version,
        candidate.value,
        fields.pop("location", candidate.location),
        status,
        **fields,
    )


def _rivals(candidate: Candidate, active: Sequence[Candidate]) -> PluginInfo | None:
    """The candidate as broken, if another plugin has its name or the name is not allowed."""
    same = [other for other in active if normalised(other.name) == normalised(candidate.name)]
    if normalised(candidate.name) == switches.CORE:
        error = "the plugin name 'kdcore' is reserved for the core"
        return _info(candidate, "broken", error=error, fix=pip_uninstall(candidate.distribution))
    if "/" in candidate.name:
        return _info(
            candidate, "broken", error="a plugin's name must not contain '/'", fix=reinstall(candidate)
        )
    if len(same) == 1:
        return None
    owners = sorted({f"{other.distribution} {other.version}" for other in same})
    if len(owners) == 1:
        error = f"{owners[0]} has the plugin name {candidate.name!r} {len(same)} times; none is loaded"
        return _info(candidate, "broken", error=error, fix=reinstall(candidate))
    error = f"{' and '.join(owners)} have the same plugin name {candidate.name!r}; none is loaded"
    choices = " or ".join(sorted({f"{switches.DISABLE}={other.distribution}" for other in same}))
    return _info(candidate, "broken", error=error, fix=f"disable one by its distribution: {choices}")


def _load(candidate: Candidate, registry: Registry) -> PluginInfo:
    location = candidate.location
    heavy_before = heavy_loaded()
    declared: list[AnyEntry] = []
    hooks: tuple[str, ...] = ()
    try:
        with warnings.catch_warnings():  # a plugin's filters would affect everything else
            module, plugin = import_named(candidate.value)
        location = getattr(module, "__file__", None) or location
        if isinstance(plugin, type):
            raise PluginError(f"it names the class {plugin.__name__}; it must name a module or an instance")
        with guarded("looking at it raised "):
            check_api(plugin, module, candidate.distribution)
        with guarded("registering it raised "), registry.registered(plugin, candidate.name):
            hooks = registry.hooks_of(plugin)
            _declare(plugin, hooks, registry, declared)
    except PluginError as broken:
        return _info(
            candidate,
            "broken",
            location=location,
            error=broken.error,
            traceback=_traceback(broken),
            fix=broken.fix or reinstall(candidate),
            entries=tuple(declared),
            hooks=hooks,
        )
    heavy = tuple(sorted(heavy_loaded() - heavy_before))
    return _info(candidate, "loaded", location=location, entries=tuple(declared), hooks=hooks, heavy=heavy)


def _declare(plugin: Any, hooks: Sequence[str], registry: Registry, declared: list[AnyEntry]) -> None:
    # all hooks are called, even after one failed: the other entries help later messages
    failure: PluginError | None = None
    for hook in hooks:
        if hook in HOOKS:
            try:
                declared += registry.declare(plugin, hook)
            except PluginError as broken:
                failure = failure or broken
    if failure is not None:
        raise failure


def _traceback(broken: PluginError) -> str | None:
    if broken.__cause__ is None:
        return None
    return "".join(traceback.format_exception(broken.__cause__))
