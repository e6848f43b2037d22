"""A training step in two processes: kd's own loop compared with one with DDP, and how it asks whether to stop."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rounds import Case

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.groups import Cases
    from benchmarks.rounds import Step
    from benchmarks.steps.kd import KdRun
    from benchmarks.steps.workload import Workload

WORLD: Final = 2
BARE: Final = "bare loop, DDP"
CONTENDERS: Final = (BARE, "kd", "kd, asks after each step")


def cases() -> Cases:
    """Models that cost next to nothing, and a pair."""
    from benchmarks.steps.cases import TINY, WORKLOADS

    (pair,) = (one for one in WORKLOADS if one.name == "resnet34 -> resnet18 for 32 px")
    return {one.name: partial(two_processes, one) for one in (TINY, pair)}


def two_processes(workload: Workload) -> Case:
    """Each contender in the same two processes, which do a step of it at the same time."""
    context = multiprocessing.get_context("spawn")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    pipes: list[Connection] = []
    for rank in range(WORLD):
        ours, theirs = context.Pipe()
        context.Process(target=_work, args=(rank, port, workload, theirs), daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    steps = {name: partial(_together, pipes, name) for name in CONTENDERS}
    title = f"2 processes: {workload.name}"
    return Case(
        title,
        BARE,
        steps,
        close=partial(_together, pipes, None),
        cpu=False,  # the time is that of other processes
        differences=workload.batch <= 2,
    )


def _together(pipes: list[Connection], name: str | None) -> None:
    for pipe in pipes:
        pipe.send(name)
    for pipe in pipes:
        pipe.recv()


def _work(rank: int, port: int, workload: Workload, pipe: Connection) -> None:
    """One of the processes: a step of a contender for each name that arrives."""
    os.environ |= {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(WORLD),
        "LOCAL_WORLD_SIZE": str(WORLD),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    import torch

    torch.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        live, asking = _kd(stack, workload), _kd(stack, workload)
        # as if each step were the one after which the processes ask
        agreement: Any = asking.training.agreement
        agreement.between_steps = agreement.now
        steps: dict[str, Step] = {
            BARE: _bare(workload),
            CONTENDERS[1]: live.step(),
            CONTENDERS[2]: asking.step(),
        }
        pipe.send(None)
        while (name := pipe.recv()) is not None:
            steps[name]()
            pipe.send(None)
        torch.distributed.destroy_process_group()
    pipe.send(None)


def _kd(stack: contextlib.ExitStack, workload: Workload) -> KdRun:
    from benchmarks.steps.cases import begin

    run = begin(stack, workload, train__batch_size=WORLD * workload.batch)
    run.training.train_data.batch_size = WORLD * workload.batch
    return run


def _bare(workload: Workload) -> Step:
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.steps.bare import bare_loop

    return bare_loop(workload, parallel=DistributedDataParallel)
