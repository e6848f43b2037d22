"""Private parts of torch, timm, accelerate and other libraries, and what their errors look like, in one place.

Each has a test in `tests/test_compat.py` that fails when the library changes.
"""

from __future__ import annotations

import errno
import re
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

_PEER_LOST: Final = re.compile(r"gloo/transport|connection (closed|reset) by peer", re.IGNORECASE)


def reset_accelerate() -> None:
    """Let the next `Accelerator` of this process choose its own precision; accelerate keeps the first one's."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state()
    GradientState._reset_state()


def leave_out_of_ddp(module: nn.Module, buffers: Sequence[str]) -> None:
    """Let DDP leave these buffers alone; it has no public way to say so."""
    from torch.nn.parallel import DistributedDataParallel

    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, buffers)  # type: ignore[no-untyped-call]


def is_full_disk(error: BaseException) -> bool:
    """Whether the disk or the quota is used up; safetensors raises an error of its own then."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in str(error)


def is_dead_loader_process(error: BaseException) -> bool:
    """Whether a loader process died; torch raises a plain RuntimeError from a signal handler, wherever the run is."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the accelerator's memory is full; for MPS, cuBLAS and cuDNN torch raises a plain RuntimeError."""
    import torch

    words = ("MPS backend out of memory", "_STATUS_ALLOC_FAILED")
    full = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return full or isinstance(error, torch.OutOfMemoryError)


def keep_loader_queues(iterator: object) -> None:
    """Let a DataLoader's iterator end its processes at once when it is collected as a part of a cycle.

    There, Python calls the finalizers of its queues first. The request to end then goes through a closed queue, and
    the collection waits 10 s for each process. A queue that something else holds is not a part of the cycle.
    """
    queues = (getattr(iterator, "_index_queues", None), getattr(iterator, "_worker_result_queue", None))
    weakref.finalize(iterator, _nothing, *queues).atexit = False


def _nothing(*_: object) -> None:
    pass


def is_lost_peer(error: BaseException) -> bool:
    """Whether another process of the run is gone; gloo raises a plain RuntimeError."""
    if not isinstance(error, RuntimeError):
        return False
    return type(error).__name__.startswith("Dist") or bool(_PEER_LOST.search(str(error)))
