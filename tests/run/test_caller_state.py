"""A run works alike whatever its caller has set in torch, leaves it as it was, and is the only one in the process."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from kdcore import Distillation, RunFailed, UserError, compat, run, validate
from kdcore.run.caller_state import own_surroundings


@contextlib.contextmanager
def _default_dtype() -> Any:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def _default_device() -> Any:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


AROUND: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default dtype": _default_dtype,
    "default device": _default_device,
    "device": lambda: torch.device("meta"),
}


def state() -> dict[str, Any]:
    """All that a caller may have set."""
    root, other = logging.getLogger(), logging.getLogger("matplotlib")
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(one) for one in np.random.get_state()],
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "logging": [(one.level, list(one.handlers), one.disabled) for one in (root, other)],
        "accelerate": dict(AcceleratorState._shared_state),
    }


def test_a_run_is_the_same_whatever_is_around_it_and_leaves_it_as_it_was(spec_file):
    alone = run(spec_file("alone"), quiet=True).metrics
    for number, (name, around) in enumerate(AROUND.items()):
        torch.manual_seed(7)
        with around():
            before = state()
            found = run(spec_file(f"around-{number}"), quiet=True).metrics
            assert state() == before, name
        for one, other in zip(alone, found, strict=True):
            assert {**one, "images_per_second": 0} == {**other, "images_per_second": 0}, name


def test_a_run_that_fails_leaves_the_surroundings_as_they_were(spec_file, monkeypatch):
    compat.reset_accelerate()  # a test before this one may have chosen a precision
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    logging.getLogger("matplotlib").setLevel(logging.INFO)

    def disturb(self: Distillation, *args: Any, **options: Any) -> Any:
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        warnings.simplefilter("ignore")
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        logging.getLogger().addHandler(logging.NullHandler())
        logging.disable(logging.ERROR)
        raise RunFailed("on purpose")

    monkeypatch.setattr(Distillation, "forward", disturb)
    before = state()
    with pytest.raises(RunFailed, match="on purpose"):
        run(spec_file(), quiet=True)
    assert state() == before
    assert logging.root.manager.disable == 0
    assert accelerator.mixed_precision == "no"  # its state is there again


def _in_a_thread(call: Callable[[], Any]) -> Any:
    found: list[Any] = []

    def target() -> None:
        try:
            found.append(call())
        except UserError as error:
            found.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return found[0]


def test_a_second_run_in_another_thread_is_refused_in_words(spec_file):
    path = spec_file()
    with own_surroundings("kdcore.run"):
        for call, name in ((lambda: run(path, quiet=True), "run"), (lambda: validate(path), "validate")):
            refused = _in_a_thread(call)
            assert isinstance(refused, UserError)
            assert refused.exit_code == 2
            assert str(refused).startswith(f"kdcore.{name}: kdcore.run is running in another thread")
        with own_surroundings("kdcore.evaluate"):  # a call within the call
            pass
        assert isinstance(_in_a_thread(lambda: run(path, quiet=True)), UserError)
    assert _in_a_thread(lambda: run(path, quiet=True)).summary["status"] == "finished"


def _code(child: int) -> int:
    """The exit code of a forked process, which is killed if it does not end."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_may_run_although_another_thread_of_its_parent_does():
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with own_surroundings("kdcore.run"):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, about forking with threads
        child = os.fork()
    if child == 0:
        try:
            with own_surroundings("kdcore.run"):
                os._exit(0)
        finally:
            os._exit(1)
    leave.set()
    thread.join()
    assert _code(child) == 0


def test_autocast_around_a_run_is_refused(spec_file):
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(UserError, match=r"train\.precision"):
        run(spec_file(), quiet=True)
