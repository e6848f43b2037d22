"""Errors that explain why a run failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import compat
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from kdcore.rundir.directory import RunDirectory


def explained(error: Exception, directory: RunDirectory) -> Exception:
    """Return a clear error with a hint for common failures; return any other error unchanged."""
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
