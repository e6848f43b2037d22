"""Ends that users meet, in words."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from kdcore import Interrupted, run
from kdcore.errors import RunFailed
from kdcore.run import loop
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


class Averages(torch.nn.Module):
    """A distiller that forgot to detach the average that it keeps."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, logits):
        self.mean = 0.9 * self.mean + 0.1 * logits
        return (logits * self.mean).sum()


def test_a_distiller_that_keeps_the_graph_of_a_step_is_named():
    averages, logits = Averages(), torch.ones(3, requires_grad=True)
    distillation = SimpleNamespace(names=("mine",), distillers=[averages])
    averages(logits).backward()
    with pytest.raises(RuntimeError) as caught:
        averages(logits).backward()
    found = explained(caught.value, RUN, distillation)
    assert isinstance(found, RunFailed)
    assert str(found).startswith("distiller 'mine' keeps 'mean' from step to step with its gradient")
    assert explained(
        caught.value, RUN, SimpleNamespace(names=("other",), distillers=[torch.nn.Linear(2, 2)])
    ) is (caught.value)


@pytest.mark.parametrize(("step", "next_time"), [(1, "begins again"), (3, "continues from .* step 2")])
def test_a_loader_process_that_dies_from_the_request_to_stop_is_no_failure(
    spec_file, monkeypatch, step: int, next_time: str
):
    real = loop.Training.take_step

    def dies(self: loop.Training) -> None:
        if self.state.step == step:
            self.context.stop.signal = signal.SIGHUP
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Hangup.")
        real(self)

    monkeypatch.setattr(loop.Training, "take_step", dies)
    path = spec_file()  # two steps an epoch
    with pytest.raises(Interrupted, match=f"^stopped by SIGHUP, .*: the same command {next_time}") as caught:
        run(path, quiet=True)
    assert caught.value.exit_code == 129
    assert RunDirectory(path.parent / "runs" / "tiny").summary()["status"] == "interrupted"
