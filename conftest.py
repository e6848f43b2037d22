"""What all tests share: no reports, one thread where several processes share the cores, and cheap writes and passes."""

from __future__ import annotations

import gc
import os

import pytest

# many small trainings: a report at the end of each would cost more than they do
os.environ.setdefault("KD_NO_REPORT", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


_MEMORY = 4 * 2**30  # of a worker and the processes that it starts


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors, if the memory allows it: a quarter of the time tests wait for something."""
    import psutil

    cores = psutil.cpu_count() or 1
    return max(1, min(cores + 1, psutil.virtual_memory().total // _MEMORY))


def pytest_collection_finish() -> None:
    """Leave torch, timm and thousands of tests out of garbage collection, whose full passes would be slow."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Give everything back, so that libraries find no leaks at their end."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _unsynced() -> None:
    """No test cuts the power: a third of the time of a tiny run would be waiting for the disk."""
    os.fsync = lambda handle: None
