"""The end of a run: each step is done once; the next start repeats it if a process was killed."""

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
    """Whether the end of a finished run is incomplete; imports nothing heavy."""
    loaded = {_PLUGIN + info.name for info in plugins.infos if info.status == "loaded"}
    return not {*loaded, NOTIFY} <= directory.steps_done()


def leave_out(directory: RunDirectory, plugins: Plugins) -> None:
    """Record all steps as done, for a run directory at whose end nothing is to happen."""
    directory.step_done(NOTIFY, *(_PLUGIN + info.name for info in plugins.infos if info.status == "loaded"))


def complete(directory: RunDirectory, plugins: Plugins, display: Display) -> bool:
    """Do the missing steps at the end of a finished run: each plugin's `kd_run_finished`, then the notification.

    Each step is done at least once: if a process is killed right after a step, the next start repeats it. A hook that
    raised an error or returned False is called again as well.

    Args:
        directory: the run directory; its summary says that the run is finished.
        plugins: the plugins of the run.
        display: shows what is done.

    Returns:
        Whether any step was done.
    """
    summary, before = directory.summary() or {}, directory.steps_done()

    def done(plugin: str, lines: list[str]) -> None:
        for line in lines:
            display.note(line)
        directory.step_done(_PLUGIN + plugin)

    called = {step.removeprefix(_PLUGIN) for step in before if step.startswith(_PLUGIN)}
    loaded = [info for info in plugins.infos if info.status == "loaded"]
    # those that do nothing here are recorded in one write
    idle = {info.name for info in loaded if "kd_run_finished" not in info.hooks}
    plugins.run_finished(directory, summary, skip=called | idle, done=done)
    if NOTIFY not in before:
        try:
            notify(directory, summary)
        except RunFailed as error:
            display.warn(f"{error}; the run is finished")
    if NOTIFY not in before or not idle <= called:
        directory.step_done(NOTIFY, *(_PLUGIN + name for name in idle))
    return directory.steps_done() != before
