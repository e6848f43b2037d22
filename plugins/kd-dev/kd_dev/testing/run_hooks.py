"""The checks of what a plugin does during runs: they call its hooks with a tiny run."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, Final

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.plugin import PluginSubject
from kd_dev.testing.tiny_run import contents, difference, tiny_run
from kdcore import RunDirectory, StopTraining
from kdcore.plugin import cause, import_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kd_dev.testing.check import Rule

_HOOKS: Final = ("kd_run_started", "kd_epoch_ended", "kd_run_finished", "kd_run_failed")
_OWN: Final = (
    "spec.json",
    "environment.json",
    "metrics.jsonl",
    "summary.json",
    "checkpoints",
    "student",
    "student-ema",
)
_RETURNED: Final[dict[str, tuple[type, ...]]] = {
    "kd_epoch_ended": (StopTraining,),
    "kd_run_finished": (str, bool),
}
_FAILED: Final = {"status": "failed", "error": "the loss is NaN in step 3"}


class HookSubject(PluginSubject):
    """A plugin, and a copy of a tiny run for its hooks."""

    def hooks(self) -> Iterator[tuple[str, Any]]:
        """The hooks that it has, by name.

        Raises:
            unittest.SkipTest: it is not loaded, or it has none of them.
        """
        plugin = import_named(self.loaded().value)[1]
        found = [(name, getattr(plugin, name)) for name in _HOOKS if hasattr(plugin, name)]
        if not found:
            skip("it does nothing during runs")
        yield from found

    def calls(self) -> Iterator[tuple[str, Any, dict[str, Any], Path]]:
        """Each hook with its arguments as kd passes them, and the run directory, which is a copy."""
        for name, hook in self.hooks():
            place = tiny_run()
            run = RunDirectory(place)
            given: dict[str, Any] = {"run": run, "summary": run.summary(), "metrics": run.metrics()[-1]}
            if name == "kd_run_failed":
                given["summary"] = {**given["summary"], **_FAILED}
            taken = inspect.signature(hook).parameters
            yield name, hook, {key: given[key] for key in given if key in taken}, place


@rule(
    "run hook",
    summary="For a run of one epoch, finished or failed, none of its hooks raises an error.",
    why="A hook that fails is a warning in every run of every user who has the plugin. A failed run has no student and "
    "few values in its summary.",
    fix="Read values of the summary with `.get`, and do nothing if what you need is missing.",
)
def raises_nothing(subject: HookSubject) -> None:
    for name, hook, arguments, _ in subject.calls():
        try:
            hook(**arguments)
        except Exception as error:
            raise Violation(f"{name}() raised {cause(error)}") from error


@rule(
    "run hook",
    summary="Its hooks return None. `kd_epoch_ended` may return a `StopTraining` instead, and `kd_run_finished` text "
    "for the user, or False to be called again.",
    why="A `StopTraining` ends the training, and kd shows the text at the end of the run. kd warns of anything else.",
    fix="Remove other `return` statements.",
)
def returns(subject: HookSubject) -> None:
    for name, hook, arguments, _ in subject.calls():
        try:
            returned = hook(**arguments)
        except Exception:
            skip(f"{name}() raises an error: see the check 'raises_nothing'")
        allowed = returned is None or isinstance(returned, _RETURNED.get(name, ()))
        if not allowed:
            raise Violation(f"{name}() returned {type(returned).__name__}")


@rule(
    "run hook",
    summary="Its hooks change neither the metrics, the summary nor kd's own files of the run.",
    why="Other plugins get the same values, and a run whose files were changed cannot be resumed or trusted.",
    fix="Copy a value before you change it, and write files with names of your own.",
)
def run_unchanged(subject: HookSubject) -> None:
    for name, hook, arguments, place in subject.calls():
        before, given = contents(place), copy.deepcopy({**arguments, "run": None})
        try:
            hook(**arguments)
        except Exception:
            skip(f"{name}() raises an error: see the check 'raises_nothing'")
        if {**arguments, "run": None} != given:
            raise Violation(f"{name}() changed its arguments")
        # files of the plugin itself are there already: it was installed when the tiny run was made
        own = {file for file in before if file.partition("/")[0] in _OWN}
        changed = [file for file in difference(before, contents(place)) if file in own]
        if changed:
            raise Violation(f"{name}() changed {changed[0]} in the run directory")


RULES: Final[tuple[Rule[HookSubject], ...]] = (raises_nothing, returns, run_unchanged)
