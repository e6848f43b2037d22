"""Find and build a launcher; an error in a plugin's launcher is reported with the plugin's name and version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore import JobEnd, KdError, LauncherEntry, Problem, RunFailed, UserError
from kdcore.inspect import read_values, resolve_options
from kdcore.plugin import cause, key_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kdcore import LaunchJob, LaunchSetup, Provided
    from kdcore.plugin import Plugins

LOCAL: Final = "local"
WHERE: Final = "--launcher"
OPTION: Final = "--launcher-option"
_METHODS: Final = ("start", "attach", "ended", "stop")
_ERRORS: Final = (Exception, SystemExit)


class NamedLauncher:
    """A plugin's launcher. Whatever goes wrong in its code becomes RunFailed, which names the plugin.

    Attributes:
        name: as it was found: `name`, or `plugin/name`.
    """

    def __init__(self, launcher: Any, provided: Provided[LauncherEntry]) -> None:
        self._launcher = launcher
        self._label = label(provided)
        self.name = provided.entry.name

    def start(self, job: LaunchJob) -> str | None:
        """See `kdcore.Launcher`."""
        handle = self._call("start", job)
        if handle is not None and not isinstance(handle, str):
            raise self._wrong("start", "text or None", handle)
        return handle

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """See `kdcore.Launcher`."""
        return bool(self._call("attach", job, handle))

    def ended(self) -> list[JobEnd]:
        """See `kdcore.Launcher`."""
        ends = self._call("ended")
        try:
            found = list(ends)
        except TypeError:
            raise self._wrong("ended", "a sequence of kdcore.JobEnd", ends) from None
        for end in found:
            if not isinstance(end, JobEnd) or type(end.code) is not int:
                raise self._wrong("ended", "a sequence of kdcore.JobEnd", end)
        return found

    def stop(self, names: Sequence[str]) -> None:
        """See `kdcore.Launcher`."""
        self._call("stop", names)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._launcher, method)(*arguments)
        except _ERRORS as error:
            raise RunFailed(f"{self._label} failed in {method}(): {_said(error)}") from error

    def _wrong(self, method: str, wanted: str, value: Any) -> RunFailed:
        return RunFailed(f"{self._label}: {method}() must return {wanted}, not {value!r}")


def find_launcher(
    name: str, options: Iterable[str] | Mapping[str, Any], plugins: Plugins
) -> Callable[[LaunchSetup], NamedLauncher]:
    """The launcher `name`, or `plugin/name`, with these options: to be built with a setup.

    Raises:
        UserError: there is none, its code cannot be imported, or an option is wrong.
    """
    provided = plugins.find(LauncherEntry, name, WHERE)
    values = options if isinstance(options, Mapping) else parse_options(options, provided.entry.name)
    checked = resolve_options(provided, values, plugins, OPTION)
    if checked is None and values:
        message = f"{label(provided)} has no options"
        raise UserError(Problem(OPTION, message, ", ".join(values)))
    target = plugins.load(provided, WHERE)

    def build(setup: LaunchSetup) -> NamedLauncher:
        try:
            launcher = target(checked, setup)
        except KdError:
            raise
        except _ERRORS as error:
            raise UserError(
                Problem(WHERE, f"{label(provided)} cannot be used: {_said(error)}", name)
            ) from error
        missing = [method for method in _METHODS if not callable(getattr(launcher, method, None))]
        if missing:
            message = f"{label(provided)}: {provided.entry.target} has no method {', '.join(missing)}"
            raise UserError(Problem(WHERE, message, name, hint="this is a mistake in the plugin"))
        return NamedLauncher(launcher, provided)

    return build


def parse_options(texts: Iterable[str], launcher: str = "") -> dict[str, Any]:
    """Options from `key=value`, where a value is JSON or text, and from TOML files. Later ones replace earlier ones.

    Args:
        texts: the options and the files.
        launcher: the table of a file that has the options; without such a table, the whole file has them.

    Raises:
        UserError: with every text that has another form; or a file cannot be read.
    """
    values, problems = dict[str, Any](), list[Problem]()
    for text in [texts] if isinstance(texts, str) else texts:
        if text.endswith(".toml") and ("=" not in text or Path(text).is_file()):
            values |= _of_file(Path(text), launcher)
            continue
        try:
            values |= key_values([text], OPTION, "partition=gpu, or FILE.toml")
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    return values


def _of_file(path: Path, launcher: str) -> dict[str, Any]:
    values, wrong = read_values(path)
    table = values.get(launcher, values)
    if not isinstance(table, dict):
        wrong.append(Problem(f"{path}: {launcher}", "this must be a table of the launcher's options", table))
    if wrong:
        raise UserError(wrong)
    return dict(table)


def label(provided: Provided[LauncherEntry]) -> str:
    """For messages: `launcher 'slurm' of plugin kd-slurm 1.0`."""
    return f"launcher '{provided.entry.name}' of plugin {provided.plugin.label}"


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, KdError) else cause(error)
