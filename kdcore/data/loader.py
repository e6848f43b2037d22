"""torch's DataLoader with kd's settings and one-sentence errors."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch.utils.data import DataLoader, Dataset

from kdcore import compat
from kdcore.data.guard import require_guarded_script
from kdcore.data.memory import processes_here, shared_with_loaders
from kdcore.data.samples import Columns, SampleFailure, same
from kdcore.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from kdcore.data.samples import KeyedSamples

MOST_WORKERS = 8
_LINGER = 30  # seconds
_running: WeakSet[Any] = WeakSet()  # iterators with their own processes
_processes: WeakSet[Any] = WeakSet()  # of these iterators, and of earlier ones
_HANGUP = {signal.SIGHUP} if hasattr(signal, "SIGHUP") else set()  # Windows does not have it
_SIGNALS = {signal.SIGINT, signal.SIGTERM, *_HANGUP}


def worker_count(workers: int | None, samples: KeyedSamples, world: int, device_type: str) -> int:
    """Loader processes per process of the run; by default, chosen from the CPUs and the processes of this machine.

    The default is 0 if the images are already in memory. Images that are kept once they are decoded need so little time
    that on a CPU, which also trains, extra processes would only compete; a GPU waits less with them.
    """
    if workers is not None:
        return workers
    if samples.source.in_memory:
        return 0
    if samples.memory is not None and (device_type == "cpu" or not shared_with_loaders()):
        return 0
    return default_workers(world)


def default_workers(world: int) -> int:
    """Loader processes per process of the run, from the CPUs and the processes of this machine."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cpus // processes_here(world))


def make_loader(dataset: Dataset[Any], *, workers: int, device_type: str, **options: Any) -> DataLoader[Any]:
    """A loader of finished batches; `options` are those of DataLoader."""
    if workers:
        require_guarded_script()
        options = {"worker_init_fn": _start_worker, **options}
    else:
        options.pop("persistent_workers", None)
    with _many_workers():
        return DataLoader(
            dataset,
            num_workers=workers,
            collate_fn=same,
            pin_memory=device_type == "cuda",
            # its own generator: the loader draws a number each epoch, by default from the run's global generator
            generator=options.pop("generator", None) or torch.Generator(),
            **options,
        )


def passed(loader: DataLoader[Any]) -> Iterator[Columns]:
    """One pass over a loader; its processes start at once.

    Raises:
        RunFailed: an image cannot be read, or a loader process died.
    """
    with _many_workers(), _signals_wait() if loader.num_workers else nullcontext():
        iterator = iter(loader)
    if loader.num_workers and iterator not in _running:
        _running.add(iterator)
        _processes.update(getattr(iterator, "_workers", ()))
        compat.keep_loader_queues(iterator)
    return _passed(iterator)


@contextmanager
def loaders_end() -> Iterator[None]:
    """At the end of this block, the loader processes end that began in it, also those that would be used again."""
    before = WeakSet(_running)
    try:
        yield
    finally:
        _end_workers(but=before)


def _passed(iterator: Iterator[Any]) -> Iterator[Columns]:
    # Dropping this generator closes the iterator: an exception must not keep processes alive.
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            if not compat.is_dead_loader_process(error):
                raise
            raise RunFailed(
                f"a loader process died: {str(error).splitlines()[0]}\n"
                "    The usual cause is too little memory (in a container: /dev/shm). Try --set data.workers=1, or 0."
            ) from error
        if isinstance(batch, SampleFailure):
            raise batch.error()
        yield batch


@contextmanager
def _many_workers() -> Iterator[None]:
    # torch warns about more processes than CPUs, but the user asked for them
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    # a process that is forked here begins without a signal that is meant for the run; see `_start_worker`
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if multiprocessing.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        # it starts here otherwise, and every process that the caller starts later would begin without these signals
        forkserver.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_workers(but: Collection[Any] = ()) -> None:
    for iterator in list(_running):
        if iterator not in but:
            iterator._shutdown_workers()


def _end_processes() -> None:
    _end_workers()
    for process in list(_processes):
        if process.is_alive():  # in an image that takes very long
            process.kill()


# An exception's traceback may keep a loader until Python ends. There, multiprocessing sends its processes SIGTERM
# and waits, so they would linger. The function that is registered last is called first.
atexit.register(_end_processes)


def _start_worker(worker: int) -> None:
    # Ctrl-C, and SIGTERM from a cluster's scheduler, reach the whole process group, and so does SIGHUP from a terminal
    # that is closed. The run decides how it ends and needs its loaders until then, which may take minutes: the step, an
    # evaluation, the checkpoint. They end with it, or by themselves after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # not on Windows
        signal.signal(signal.SIGALRM, _look_at_parent)
        for number in (signal.SIGTERM, *_HANGUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # with nohup, SIGHUP is ignored
                signal.signal(number, _look_later)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    compat.watch_the_run()


def _look_later(*_: object) -> None:
    signal.alarm(_LINGER)


def _look_at_parent(*_: object) -> None:
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(0)
    signal.alarm(_LINGER)
