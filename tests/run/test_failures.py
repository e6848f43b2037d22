"""Ends that users meet, in words."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from kdcore.errors import RunFailed
from kdcore.run.failures import explained
from kdcore.rundir.directory import RunDirectory

RUN = RunDirectory(Path("/runs/a"))
GLOO = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:28376. This is "
    "typically caused by a remote worker crashing."
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            r"Lower train\.batch_size",
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.95 GB)"), r"Lower train\.batch_size"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full: free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk is full"),
        (SafetensorError('I/O error: Os { message: "No space left on device" }'), "disk is full"),
        (
            OSError(errno.EACCES, "Permission denied", "/runs/a/checkpoints"),
            "cannot be written: Permission denied",
        ),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.\nmore"),
            "a loader process died",
        ),
        (RuntimeError(GLOO), r"another process .* ended .*\(.*gloo"),
        (torch.distributed.DistNetworkError("The client socket has timed out"), "cannot be reached"),
    ],
)
def test_what_users_meet(error: Exception, words: str):
    found = explained(error, RUN)
    assert isinstance(found, RunFailed)
    assert found.exit_code == 1
    with pytest.raises(RunFailed, match=words):
        raise found


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), KeyError("a"), OSError(errno.EIO, "I/O error")]
)
def test_anything_else_stays_what_it_is(error: Exception):
    assert explained(error, RUN) is error
