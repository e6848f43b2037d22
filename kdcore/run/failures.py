"""Errors that explain why a run failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import compat
from kdcore.errors import Interrupted, RunFailed

if TYPE_CHECKING:
    from kdcore.distill.distillation import Distillation
    from kdcore.run.signals import StopRequest
    from kdcore.rundir.directory import RunDirectory


def explained(
    error: Exception, directory: RunDirectory, distillation: Distillation | None = None
) -> Exception:
    """Return a clear error with a hint for common failures; return any other error unchanged."""
    if distillation is not None and compat.is_second_backward(error):
        from kdcore.distill.kept_graphs import kept_graphs  # imports torch

        found = kept_graphs(distillation)
        if found:
            return RunFailed(
                f"{' and '.join(found)} from step to step with its gradient, so the second step computes the gradient "
                "of the first one again: call .detach() on what is kept. This is a bug in the plugin of this distiller"
            )
    if compat.is_full_disk(error):
        return RunFailed(
            "the disk is full: free some space; the same command then continues from the last checkpoint"
        )
    if isinstance(error, OSError) and str(error.filename).startswith(str(directory.path)):
        return RunFailed(f"the run directory cannot be written: {error.strerror}: {error.filename}")
    if compat.is_dead_loader_process(error):
        return RunFailed(f"a loader process died: {str(error).splitlines()[0]}")
    if compat.is_lost_peer(error):
        first = str(error).partition("\n")[0][:200]
        return RunFailed(
            f"another process of this run ended or cannot be reached; see its own message ({first})"
        )
    if compat.is_out_of_memory(error):
        return RunFailed(
            "the GPU is out of memory. Lower train.batch_size (and raise train.accumulate) or "
            "data.image_size, or set train.precision to 'bf16'"
        )
    return error


def stopped_with_loaders(error: Exception, stop: StopRequest, saved: int | None) -> Interrupted | None:
    """An interruption, if a loader process died after the run was asked to stop: the same signal may have ended it.

    Args:
        error: why the run cannot continue.
        stop: whether the run was asked to stop.
        saved: step of the last checkpoint; None: there is none.
    """
    causes = (error, error.__cause__)
    if stop.signal is None or not any(one and compat.is_dead_loader_process(one) for one in causes):
        return None
    next_time = "begins again" if saved is None else f"continues from the checkpoint of step {saved}"
    message = f"stopped by {stop.signal.name}, and a loader process died before a checkpoint was written"
    return Interrupted(f"{message}: the same command {next_time}", stop.exit_code)
