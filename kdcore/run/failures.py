"""How a run fails, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import compat
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from kdcore.rundir.directory import RunDirectory


def explained(error: Exception, directory: RunDirectory) -> Exception:
    """The failures that users meet, with what to do; any other error as it is."""
    import torch

    if compat.is_full_disk(error):
        return RunFailed("the disk is full: make room, and the same command goes on from the last checkpoint")
    if isinstance(error, OSError) and str(error.filename).startswith(str(directory.path)):
        return RunFailed(f"the run directory cannot be written: {error.strerror}: {error.filename}")
    if compat.is_dead_loader_process(error):
        return RunFailed(f"a loader process died: {str(error).splitlines()[0]}")
    if compat.is_lost_peer(error):
        first = str(error).partition("\n")[0][:200]
        return RunFailed(
            f"another process of this run has ended or cannot be reached: its own message says why ({first})"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return RunFailed(
            "the GPU's memory is full. What to lower: train.batch_size (train.accumulate keeps the sum), "
            "data.image_size; or set train.precision to 'bf16'"
        )
    return error
