"""Private parts of other libraries that kd uses: each test fails when the library changes what kd relies on."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset

from kdcore import compat


def test_a_second_accelerator_may_have_another_precision():
    compat.reset_accelerate()
    assert Accelerator(cpu=True, mixed_precision="bf16").mixed_precision == "bf16"
    compat.reset_accelerate()
    assert Accelerator(cpu=True, mixed_precision="no").mixed_precision == "no"
    compat.reset_accelerate()


def test_where_modules_keep_their_forward_hooks():
    found = {name for name in vars(torch.nn.Module()) if "_forward_" in name and "hooks" in name}
    assert found == set(compat.FORWARD_HOOKS)


def test_ddp_reads_the_names_that_are_left_out():
    module = torch.nn.BatchNorm1d(3)
    compat.leave_out_of_ddp(module, ["running_mean"])
    names = module._ddp_params_and_buffers_to_ignore  # what DDP's constructor reads
    assert set(names) == {"running_mean"}


class _Dies(Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_dead_loader_process_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(_Dies(), num_workers=1, multiprocessing_context="fork"))
    assert compat.is_dead_loader_process(caught.value)
    assert not compat.is_dead_loader_process(RuntimeError("something else"))


@pytest.mark.parametrize("server", [False, True])
def test_a_loader_process_asks_whether_the_run_is_there(server, monkeypatch):
    from torch.utils.data._utils import worker

    assert "ManagerWatchdog" in worker._worker_loop.__code__.co_names
    assert worker.ManagerWatchdog().is_alive()
    monkeypatch.setattr(worker, "ManagerWatchdog", worker.ManagerWatchdog)  # put back at the end
    parent = SimpleNamespace(pid=-1 if server else os.getppid(), is_alive=lambda: "the run is there")
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    compat.watch_the_run()
    assert worker.ManagerWatchdog().is_alive() == ("the run is there" if server else True)


class _Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return index


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("kept", [True, False])
def test_a_collected_cycle_ends_the_processes_of_a_loader(kept, monkeypatch):
    loader = DataLoader(_Numbers(), num_workers=1, multiprocessing_context="fork", persistent_workers=True)
    iterator = iter(loader)
    if kept:
        compat.keep_loader_queues(iterator)
    workers = list(iterator._workers)
    exit_codes = []
    # what torch does where a process did not end by itself
    monkeypatch.setattr(type(workers[0]), "terminate", lambda self: exit_codes.append("forced"))
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 2.0)
    cycle = [iterator]
    cycle.append(cycle)
    del loader, iterator, cycle
    gc.collect()
    ended = not workers[0].is_alive()
    workers[0].kill()
    # if this fails with False, torch ends them by itself, and `keep_loader_queues` may go
    assert (ended, exit_codes) == ((True, []) if kept else (False, ["forced"]))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_recognised():
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "w") as file:  # noqa: PTH123
        file.write("x")
        file.flush()
    assert compat.is_full_disk(caught.value)
    # safetensors' own error, as a full tmpfs gives it
    assert compat.is_full_disk(SafetensorError("I/O error: No space left on device (os error 28)"))
    assert not compat.is_full_disk(OSError(errno.EACCES, "denied"))


def test_a_second_backward_pass_is_recognised():
    loss = torch.ones(2, requires_grad=True).square().sum()
    loss.backward()
    with pytest.raises(RuntimeError) as caught:
        loss.backward()
    assert compat.is_second_backward(caught.value)
    assert not compat.is_second_backward(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (
            RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
            True,
        ),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("connection closed by peer"), False),
    ],
)
def test_a_lost_process_is_recognised(error: Exception, lost: bool):
    assert compat.is_lost_peer(error) is lost


def test_whole_numbers_are_variables_of_a_compiled_function():
    seen = []

    def backend(graph, _):
        seen.append(graph)
        return graph.forward

    def times(values, number):
        return values * (number / 2)

    torch._dynamo.reset()
    compiled = torch.compile(times, backend=backend)
    for number in range(4):
        with compat.dynamic_numbers(["number"]):
            assert compiled(torch.ones(2), number).tolist() == [number / 2] * 2
    assert len(seen) == 1
    assert torch.compiler.config.dynamic_sources == ""


def test_a_break_of_a_graph_is_recorded():
    def breaks(values):
        torch._dynamo.graph_break()
        return values + 1

    torch._dynamo.reset()
    with compat.CompileEvents() as events:
        torch.compile(breaks, backend="eager")(torch.ones(1))
    ((place, reason),) = events.breaks
    assert place.startswith(__file__)
    assert "graph_break" in reason
    assert events.too_often == events.failed == []
    assert not torch._dynamo.config.suppress_errors


def test_what_is_compiled_too_often_is_recorded():
    def each_time(values, text):
        return values * int(text)

    torch._dynamo.reset()
    with compat.CompileEvents() as events:
        compiled = torch.compile(each_time, backend="eager")
        for number in range(12):
            compiled(torch.ones(1), str(number))
    assert len(events.too_often) == 1
    assert events.breaks == events.failed == []


def test_what_the_compiler_cannot_do_is_recorded_and_runs():
    def backend(*_):
        raise NotImplementedError("not this graph")

    torch._dynamo.reset()
    with compat.CompileEvents() as events:
        assert torch.compile(lambda values: values + 1, backend=backend)(torch.ones(1)).item() == 2
    (text,) = events.failed
    assert "not this graph" in text
