"""Continue from a checkpoint: all processes from the same one, and only if the inputs of the run are unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list, gather_object

from kdcore.errors import RunFailed, UserError
from kdcore.run.changes import Changes, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator

    from kdcore.run.context import RunContext
    from kdcore.run.loop import Training
    from kdcore.rundir.checkpoints import Checkpoints


def resume(training: Training, context: RunContext) -> None:
    """Restore a training from its newest complete checkpoint, if there is one. Writes nothing.

    Raises:
        UserError: an input that results depend on changed since then, and the change was not accepted.
        RunFailed: the processes found different checkpoints.
    """
    display, checkpoints = context.display, training.saver.checkpoints
    content = _newest(training.accelerator, checkpoints, display.warn)
    _check_same(training.accelerator, -1 if content is None else content["position"]["step"])
    if content is None:
        if checkpoints.any:
            display.warn("no checkpoint is complete: the run starts again")
        return
    changes = _changes(training, context, content)
    training.saver.load(content)
    state = training.state
    if changes is not None and changes.problems:
        state.accept(changes)
    where = f"epoch {state.epoch}" + (f", batch {state.batch}" if state.batch else "")
    display.note(f"continuing from the checkpoint after {where} (step {state.step})")


def _newest(
    accelerator: Accelerator, checkpoints: Checkpoints, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The newest complete checkpoint: the main process finds and checks it, the others read the same one."""
    content = None
    if accelerator.is_main_process:  # it also removes what a killed process left
        content = checkpoints.load(warn, together=False)
    if accelerator.num_processes == 1:
        return content
    step = broadcast_object_list([None if content is None else content["position"]["step"]])[0]
    if accelerator.is_main_process or step is None:
        return content
    return checkpoints.at(step)


def _changes(training: Training, context: RunContext, content: dict[str, Any]) -> Changes | None:
    accelerator, before = training.accelerator, content.get("fingerprint")
    # then only the end is repeated
    complete = content["position"]["epoch"] >= training.spec.train.epochs or content.get("ended") is not None
    found: list[Changes | None] = [None]
    if accelerator.is_main_process and before is not None and not complete:
        assert training.state.fingerprint is not None
        found = [compare(before, training.state.fingerprint)]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    changes = found[0]
    if changes is None:
        return None
    for note in changes.notes:
        context.display.note(note)
    if changes.problems and not context.accept_changes:
        raise UserError(changes.problems)
    for problem in changes.problems:
        context.display.warn(f"accepted: {problem.where}: {problem.message}")
    return changes


def _check_same(accelerator: Accelerator, step: int) -> None:
    """Check that all processes continue from the same checkpoint.

    Raises:
        RunFailed: they found different ones.
    """
    if accelerator.num_processes == 1:
        return
    steps = gather_object([step])
    if len(set(steps)) > 1:
        found = ", ".join("none" if one < 0 else f"step {one}" for one in steps)
        raise RunFailed(
            f"the processes found different checkpoints ({found}): all of them must share the folder 'output'"
        )
