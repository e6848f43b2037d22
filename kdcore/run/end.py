"""The end of a run: steps that are done once each, and repeated by the next start if a process was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.errors import RunFailed
from kdcore.run.notify import notify

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.run.display import Display
    from kdcore.rundir.directory import RunDirectory

NOTIFY: Final = "notify"
_PLUGIN: Final = "plugin "


def end_is_missing(directory: RunDirectory, plugins: Plugins) -> bool:
    """Whether a step of a finished run's end is not done yet; told without importing anything heavy."""
    loaded = {_PLUGIN + info.name for info in plugins.infos if info.status == "loaded"}
    return not {*loaded, NOTIFY} <= directory.steps_done()


def complete(directory: RunDirectory, plugins: Plugins, display: Display) -> bool:
    """Do what the end of a finished run still lacks: each plugin's `kd_run_finished`, then the notification.

    A step is done at least once: a process that is killed right after a step repeats it at the next start. A hook that
    raised, or returned False, is called again as well.

    Args:
        directory: the run directory, whose summary says that the run is finished.
        plugins: the plugins of the run.
        display: shows what is done.

    Returns:
        Whether anything was done.
    """
    summary, before = directory.summary() or {}, directory.steps_done()

    def done(plugin: str, lines: list[str]) -> None:
        for line in lines:
            display.note(line)
        directory.step_done(_PLUGIN + plugin)

    called = {step.removeprefix(_PLUGIN) for step in before if step.startswith(_PLUGIN)}
    plugins.run_finished(directory, summary, skip=called, done=done)
    if NOTIFY not in before:
        try:
            notify(directory, summary)
        except RunFailed as error:
            display.warn(f"{error}; the run is finished")
        directory.step_done(NOTIFY)
    return directory.steps_done() != before
