"""Each loss function alone, forward and backward, compared with its authors' formulation: time and peak extra memory.

The authors' formulations are in `formulations`, written from the papers and from the results of their published code.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.device import device, synchronize
from benchmarks.formulations import LOSSES
from benchmarks.rounds import Case, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmarks.formulations.loss import Loss
    from benchmarks.groups import Cases

BATCH = 128
CLASSES = (10, 100, 1000, 21_841)
PEER = "its authors' formulation"


def cases() -> Cases:
    """Time and memory of each loss; of those on logits for each number of classes."""
    found: Cases = {}
    for name, loss in LOSSES.items():
        sizes = [
            (classes,) for classes in CLASSES if loss.most_classes is None or classes <= loss.most_classes
        ]
        for shape in sizes if loss.shape is None else [loss.shape]:
            title = f"{name}, {_words(loss, shape)}"
            found[title] = partial(timed, title, name, shape)
            found[f"{title}, memory"] = partial(remembered, f"{title}, peak extra memory", name, shape)
    return found


def timed(title: str, name: str, shape: tuple[int, ...], batch: int = BATCH) -> Case:
    """Milliseconds of each formulation."""
    return Case(title, PEER, _steps(name, shape, batch))


def remembered(title: str, name: str, shape: tuple[int, ...], batch: int = BATCH) -> Case:
    """MiB that are allocated at most beyond what was there before, the gradient included."""
    steps: dict[str, Step] = {who: partial(_peak, step) for who, step in _steps(name, shape, batch).items()}
    return Case(title, PEER, steps, unit="MiB")


def _steps(name: str, shape: tuple[int, ...], batch: int) -> dict[str, Step]:
    from importlib import import_module

    import torch

    loss = LOSSES[name]
    module, _, function = loss.target.partition(":")
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(batch, *shape, generator=generator).to(device()) for _ in range(2))
    if loss.given is not None:
        student, teacher = loss.given(student), loss.given(teacher)
    student.requires_grad_()
    inputs = [student, teacher]
    if loss.labels:
        inputs.append(torch.randint(shape[0], (batch,), generator=generator).to(device()))
    if loss.channels:
        inputs.append(torch.ones(shape[0], device=device(), requires_grad=True))
    torch.manual_seed(0)
    more = {} if loss.more is None else loss.more(shape, batch)
    options = {**loss.options, **{name: value.to(device()) for name, value in more.items()}}

    def step(formulation: Callable[..., Tensor]) -> None:
        formulation(*inputs, **options).backward()  # type: ignore[no-untyped-call]
        for one in inputs:
            one.grad = None

    kd = getattr(import_module(module), function)
    return {PEER: partial(step, loss.formulation), "kd": partial(step, kd)}


def _peak(step: Step) -> float:
    import torch

    step()  # what is allocated once
    if device().type == "cuda":
        synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with (
        _without_stderr(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as found,
    ):
        step()
    most = now = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most / 2**20


@contextmanager
def _without_stderr() -> Iterator[None]:
    """The profiler writes each start and stop to stderr, for any log level."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _words(loss: Loss, shape: tuple[int, ...]) -> str:
    if loss.shape is None:
        return f"{shape[0]:,} classes"
    return f"[{', '.join(str(size) for size in (BATCH, *shape))}]"
