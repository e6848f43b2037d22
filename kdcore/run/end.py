"""The end of a run: steps that are done once each, and repeated by the next call where a process was killed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdcore.inspect.open_run import OpenedRun
    from kdcore.plugins import Plugins
    from kdcore.run.display import Display
    from kdcore.run.loop import Training
    from kdcore.run.prepare import Prepared, Splits
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.load import LoadedSpec

SWITCH: Final = "KD_NO_REPORT"
"""Set to 1, no run makes a report by itself, whatever its spec says: for tests and for sweeps."""
REPORT: Final = "report"
HOOKS: Final = "hooks"


def missing_steps(loaded: LoadedSpec, directory: RunDirectory) -> tuple[str, ...]:
    """The steps that a finished run has not done yet, in their order."""
    done = directory.steps_done()
    report = loaded.spec.report is not False and os.environ.get(SWITCH, "") in ("", "0")
    wanted = (REPORT, HOOKS) if report else (HOOKS,)
    return tuple(step for step in wanted if step not in done)


def complete(
    loaded: LoadedSpec,
    plugins: Plugins,
    directory: RunDirectory,
    display: Display,
    open_it: Callable[[int], OpenedRun] | None = None,
) -> None:
    """Do what the end of a finished run still lacks: its report, and the hooks `kd_run_finished` of plugins.

    A hook is called at least once: a process that is killed right after its hooks calls them again next time.

    Args:
        loaded: the run's spec.
        plugins: the plugins of the run.
        directory: the run directory, whose summary says that the run is finished.
        display: shows what is done.
        open_it: opens the run for its report; None: from the run directory.
    """
    for step in missing_steps(loaded, directory):
        if step == HOOKS:
            plugins.run_finished(directory, directory.summary() or {})
        else:
            from kdcore.run.report import report_at_the_end

            opener = open_it or _opener(directory, plugins)
            if not report_at_the_end(loaded, plugins, directory, display, opener):
                continue  # the next call tries again
        directory.step_done(step)


def _opener(directory: RunDirectory, plugins: Plugins) -> Callable[[int], OpenedRun]:
    def open_it(most: int) -> OpenedRun:
        from kdcore.inspect.open_run import open_run

        return open_run(directory.path, most=most, plugins=plugins)

    return open_it


@dataclass(frozen=True)
class OpenedAtTheEnd:
    """Opens the run that has just been trained, from the models and images that are in memory."""

    loaded: LoadedSpec
    plugins: Plugins
    directory: RunDirectory
    prepared: Prepared
    splits: Splits
    training: Training

    def __call__(self, most: int) -> OpenedRun:
        """The run, for at most so many images."""
        if self.training.shards is not None:  # the teacher's weights may still be spread over several devices
            from kdcore.inspect.open_run import open_run

            device = self.training.accelerator.device
            return open_run(self.directory.path, most=most, device=device, plugins=self.plugins)
        from kdcore.run.report import opened_at_hand

        return opened_at_hand(
            self.loaded, self.plugins, self.directory, self.prepared, self.splits, self.training, most
        )
