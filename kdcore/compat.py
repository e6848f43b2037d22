"""Private parts of torch, timm, accelerate and other libraries, and what their errors look like, in one place.

Each has a test in `tests/test_compat.py` that fails when the library changes.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import re
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import traceback
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

MOST_COMPILED: Final = 8
"""Times that torch compiles one function before it gives up, as by default."""
FORWARD_HOOKS: Final = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
)
"""The dicts in which a module keeps its forward hooks."""
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


def is_second_backward(error: BaseException) -> bool:
    """Whether a backward pass went into the graph of an earlier one; torch raises a plain RuntimeError."""
    return isinstance(error, RuntimeError) and "backward through the graph a second time" in str(error)


def keep_loader_queues(iterator: object) -> None:
    """Let a DataLoader's iterator end its processes at once when it is collected as a part of a cycle.

    There, Python calls the finalizers of its queues first. The request to end then goes through a closed queue, and
    the collection waits 10 s for each process. A queue that something else holds is not a part of the cycle.
    """
    queues = (getattr(iterator, "_index_queues", None), getattr(iterator, "_worker_result_queue", None))
    weakref.finalize(iterator, _nothing, *queues).atexit = False


def watch_the_run() -> None:
    """In a loader process that a fork server started: let torch look whether the run has ended, not the server.

    A signal to the whole process group also ends the server, and torch's processes would end with it.
    """
    from torch.utils.data._utils import worker

    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        worker.ManagerWatchdog = lambda: parent  # type: ignore[assignment, misc, return-value]


def _nothing(*_: object) -> None:
    pass


def is_lost_peer(error: BaseException) -> bool:
    """Whether another process of the run is gone; gloo raises a plain RuntimeError."""
    if not isinstance(error, RuntimeError):
        return False
    return type(error).__name__.startswith("Dist") or bool(_PEER_LOST.search(str(error)))


@contextlib.contextmanager
def dynamic_numbers(names: Iterable[str]) -> Iterator[None]:
    """Within it, `torch.compile` takes whole numbers in arguments of these names as variables from the first call on.

    Otherwise it compiles a function for the first value, and again for the second.
    """
    import torch

    before = torch.compiler.config.dynamic_sources
    added = [f"L['{name}']" for name in names]
    sources = ",".join([*filter(None, [before]), *added])
    with torch.compiler.config.patch(dynamic_sources=sources):  # type: ignore[attr-defined]
        yield


def no_warning_at_breaks() -> None:
    """Silence a warning of torch's own code: after a break of a graph, it looks at `grad` of computed tensors."""
    warnings.filterwarnings(
        "ignore", message=r"The \.grad attribute of a Tensor that is not a leaf", module=r"torch\."
    )


class CompileEvents:
    """Records what `torch.compile` does not compile within it, and runs that as usual; torch says so only in its log.

    Attributes:
        breaks: the breaks of graphs: the place in the code, and torch's reason.
        too_often: the functions that were compiled too often, and the condition that changed last.
        failed: what torch says of functions that it cannot compile.
    """

    def __init__(self) -> None:
        self.breaks: list[tuple[str, str]] = []
        self.too_often: list[tuple[str, str]] = []
        self.failed: list[str] = []

    def __enter__(self) -> CompileEvents:
        from torch._dynamo import config
        from torch._dynamo.utils import counters, graph_break_reasons

        self._first = len(graph_break_reasons)
        self._missed = counters["frames"]["total"] - counters["frames"]["ok"]
        self._log = logging.getLogger("torch._dynamo.convert_frame")
        self._log.addFilter(self._seen)
        # other libraries, such as timm's optimizers, raise the limit for all code
        self._errors = config.patch(suppress_errors=True, recompile_limit=MOST_COMPILED)
        self._errors.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        from torch._dynamo.utils import counters, graph_break_reasons

        self._errors.__exit__(None, None, None)
        self._log.removeFilter(self._seen)
        for one in graph_break_reasons[self._first :]:
            self.breaks.append((_place(one.user_stack), one.reason))
        missed = counters["frames"]["total"] - counters["frames"]["ok"]
        if missed > self._missed and not (self.breaks or self.failed or self.too_often):
            # its log may be off
            self.too_often.append(("a part of the step", "torch's log, which would name it, is off"))

    def _seen(self, record: logging.LogRecord) -> bool:
        """Keep the lines of torch's log that say it, and do not show them."""
        text = str(record.msg)
        if text.startswith("WON'T CONVERT"):
            self.failed.append(text)
            return False
        if "torch._dynamo hit config" not in text or len(record.args or ()) < 4:
            return True
        _, _, function, reason, *_ = cast("tuple[object, ...]", record.args)
        self.too_often.append((str(function), str(reason)))
        return False


def _place(stack: Sequence[traceback.FrameSummary]) -> str:
    """File and line of the innermost call that is not in torch's own code."""
    import torch

    own = str(Path(torch.__file__).parent)
    frame = next((one for one in reversed(stack) if not one.filename.startswith(own)), None)
    return "an unknown place" if frame is None else f"{frame.filename}:{frame.lineno}"
