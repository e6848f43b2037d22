"""What kd and its caller share in one process: taken for one call at a time, set as kd needs it, and put back."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Restore = Callable[[], object]

_lock = threading.RLock()
_at_work: list[str] = []  # the calls of the thread that has the lock, from the outermost


def _forget() -> None:
    """In a forked process, where the thread that has the lock may not exist."""
    global _lock
    _lock = threading.RLock()
    _at_work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def own_surroundings(call: str) -> Iterator[None]:
    """One call of kd: no other thread has one at the same time, and afterwards all is as the caller had it.

    All threads of a process share torch's generators, so that two calls would change each other's numbers. Inside,
    gradients are on, the default dtype is float32 and the default device the CPU, whatever the caller has set.
    Put back are: the states of the generators of torch, NumPy and Python, default dtype and device, gradient mode,
    threads, deterministic flags, warnings filters and the levels and handlers of loggers. A call within a call
    belongs to it.

    Args:
        call: what is called, for the message.

    Raises:
        UserError: another thread has a call, or autocast is on.
    """
    lock = _lock
    if not lock.acquire(blocking=False):
        other = _at_work[0] if _at_work else "another call of kdcore"
        raise UserError(
            Problem(
                call,
                f"{other} is running in another thread of this process; both would draw from the same random "
                "generators and get other numbers",
                hint="call one after the other, or start each in a process of its own",
            )
        )
    try:
        _at_work.append(call)
        if len(_at_work) > 1:
            yield
            return
        with contextlib.ExitStack() as stack:
            for restore in _saved():
                stack.callback(restore)
            _enter_usual_modes(call, stack)
            yield
    finally:
        if _at_work:  # else a forked process ends the call of its parent
            _at_work.pop()
        lock.release()


def _enter_usual_modes(call: str, stack: contextlib.ExitStack) -> None:
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    for kind in ("cpu", *(() if accelerator is None else (accelerator.type,))):
        if torch.is_autocast_enabled(kind):
            raise UserError(
                Problem(
                    call,
                    f"it was called inside torch.autocast('{kind}'), which would change the precision that the spec "
                    "says",
                    hint="call it outside of the 'with torch.autocast(...)' block; train.precision sets the precision",
                )
            )
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    if torch.empty(0).device.type != "cpu":
        stack.enter_context(torch.device("cpu"))
    torch.set_default_dtype(torch.float32)


def _saved() -> Iterator[Restore]:
    """What puts each thing back."""
    import torch

    state = torch.get_rng_state()
    yield lambda: torch.set_rng_state(state)
    yield from _device_generators()
    python = random.getstate()
    yield lambda: random.setstate(python)
    if "numpy" in sys.modules:
        import numpy as np

        legacy = np.random.get_state()  # what old code draws from
        yield lambda: np.random.set_state(legacy)
    yield from _settings()
    yield from _accelerate()
    yield _warnings_filters()
    for name in (None, *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        yield _logger(logger)
    disabled = logging.root.manager.disable
    yield lambda: logging.disable(disabled)


def _device_generators() -> Iterator[Restore]:
    import torch

    if not torch.accelerator.is_available():
        return
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or "LOCAL_RANK" in os.environ:
        return  # of several processes each has been started for this run; none is to wake up the first one's GPU
    module: Any = torch.get_device_module(accelerator)
    if accelerator.type == "cuda":
        module.init()
        states = [generator.get_state() for generator in module.default_generators]

        def restore() -> None:
            for generator, state in zip(module.default_generators, states, strict=True):
                generator.set_state(state)

        yield restore
        return
    state = module.get_rng_state()
    yield lambda: module.set_rng_state(state)


def _settings() -> Iterator[Restore]:
    import torch

    pairs: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.get_num_threads, torch.set_num_threads),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.is_grad_enabled, torch._C._set_grad_enabled),
        (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    )
    for get, put in pairs:
        yield _put_back(get, put)
    for name in ("benchmark", "deterministic", "allow_tf32"):
        yield _put_back(
            partial(getattr, torch.backends.cudnn, name), partial(setattr, torch.backends.cudnn, name)
        )


def _put_back(get: Callable[[], Any], put: Callable[[Any], object]) -> Restore:
    value = get()

    def restore() -> None:
        if get() != value:
            put(value)

    return restore


def _accelerate() -> Iterator[Restore]:
    """A caller's own `Accelerator`: kd makes one of its own, and all share their state."""
    for name in ("AcceleratorState", "GradientState"):
        cls = _accelerates(name)
        kept = {} if cls is None else dict(cls._shared_state)

        def restore(name: str = name, kept: dict[str, Any] = kept) -> None:
            cls = _accelerates(name)
            if cls is not None:
                cls._shared_state.clear()
                cls._shared_state.update(kept)

        yield restore


def _accelerates(name: str) -> Any:
    # not imported for this: not every call needs it
    return getattr(sys.modules.get("accelerate.state"), name, None)


def _warnings_filters() -> Restore:
    kept, show = list(warnings.filters), warnings.showwarning

    def restore() -> None:
        warnings.showwarning = show
        if list(warnings.filters) != kept:
            warnings.filters[:] = kept  # type: ignore[index]
            changed = getattr(warnings, "_filters_mutated", None)
            if changed is not None:  # forget which warnings were shown under the other filters
                changed()

    return restore


def _logger(logger: logging.Logger) -> Restore:
    level, handlers = logger.level, list(logger.handlers)
    disabled, propagate = logger.disabled, logger.propagate

    def restore() -> None:
        if logger.level != level:
            logger.setLevel(level)
        if logger.handlers != handlers:
            logger.handlers[:] = handlers
        logger.disabled, logger.propagate = disabled, propagate

    return restore
