"""State that kd and its caller share in one process: locked for one call, set as kd needs it, and restored."""

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
_at_work: list[str] = []  # the calls of the thread that holds the lock, from the outermost


def _forget() -> None:
    """Reset the lock in a forked process: the thread that holds it may not exist there."""
    global _lock
    _lock = threading.RLock()
    _at_work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def own_surroundings(call: str) -> Iterator[None]:
    """Run one call of kd: no other thread runs one at the same time, and the caller's state is restored afterwards.

    All threads of a process share torch's generators, so two calls would change each other's numbers. During the
    call, gradients are on, the default dtype is float32 and the default device is the CPU. Restored afterwards are:
    the states of the generators of torch, NumPy and Python, default dtype and device, gradient mode, threads,
    deterministic flags, warnings filters, and the levels and handlers of loggers. A nested call belongs to the outer
    call.

    Args:
        call: the name of the called function, for the message.

    Raises:
        UserError: another thread is in a call, or autocast is on.
    """
    lock = _lock
    if not lock.acquire(blocking=False):
        other = _at_work[0] if _at_work else "another call of kdcore"
        raise UserError(
            Problem(
                call,
                f"{other} is running in another thread of this process; both would draw from the same random "
                "generators and get different numbers",
                hint="run one call after the other, or each in its own process",
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
        if _at_work:  # empty if a forked process ends its parent's call
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
                    hint="call it outside the 'with torch.autocast(...)' block; train.precision sets the precision",
                )
            )
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    if torch.empty(0).device.type != "cpu":
        stack.enter_context(torch.device("cpu"))
    torch.set_default_dtype(torch.float32)


def _saved() -> Iterator[Restore]:
    """Functions that each restore one part of the caller's state."""
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
        return  # a launcher started this process for this run alone; do not initialise the first one's GPU
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
    """The state of a caller's own `Accelerator`: kd makes another one, and all of them share their state."""
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
    # not imported here: not every call needs it
    return getattr(sys.modules.get("accelerate.state"), name, None)


def _warnings_filters() -> Restore:
    kept, show = list(warnings.filters), warnings.showwarning

    def restore() -> None:
        warnings.showwarning = show
        if list(warnings.filters) != kept:
            warnings.filters[:] = kept  # type: ignore[index]
            changed = getattr(warnings, "_filters_mutated", None)
            if changed is not None:  # forget which warnings were shown with the other filters
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
