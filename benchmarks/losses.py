"""Each loss function alone, forward and backward, compared with its authors' formulation: time and peak extra memory.

The authors' formulations are written here from the papers and from the results of their published code.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.device import device, synchronize
from benchmarks.formulations import FORMULATIONS
from benchmarks.rounds import Case, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmarks.groups import Cases

BATCH = 128
CLASSES = (10, 100, 1000, 21_841)
PEER = "its authors' formulation"


@dataclass(frozen=True)
class Loss:
    """A loss of kd's and what it is called with.

    Attributes:
        target: module and function.
        options: its keyword arguments.
        shape: of both features, without the batch; None for logits.
        labels: whether it takes them.
    """

    target: str
    options: dict[str, Any]
    shape: tuple[int, ...] | None = None
    labels: bool = False


EMBEDDING, MAP, NARROW = (512,), (256, 14, 14), (64, 8, 8)
LOSSES = {
    "kd": Loss("kd_classic:kd_loss", {"temperature": 4.0}),
    "dkd": Loss("kd_classic:dkd_loss", {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, labels=True),
    "nkd": Loss("kd_classic:nkd_loss", {"gamma": 1.5, "temperature": 1.0}, labels=True),
    "dist": Loss("kd_classic:dist_loss", {"beta": 1.0, "gamma": 1.0, "temperature": 4.0}),
    "ofa": Loss("kd_ofa:ofa_loss", {"eps": 1.5, "temperature": 1.0}, labels=True),
    "rkd, distances": Loss("kd_feature:rkd_distance_loss", {}, EMBEDDING),
    "rkd, angles": Loss("kd_feature:rkd_angle_loss", {}, EMBEDDING),
    "pkt": Loss("kd_feature:pkt_loss", {}, EMBEDDING),
    "cc": Loss("kd_feature:cc_loss", {}, EMBEDDING),
    "at": Loss("kd_feature:at_loss", {}, MAP),
    "sp": Loss("kd_feature:sp_loss", {}, MAP),
    "fitnet": Loss("kd_feature:hint_loss", {}, MAP),
    "vid": Loss("kd_feature.vid:vid_loss", {}, MAP),
    "nst": Loss("kd_feature:nst_loss", {}, NARROW),
}


def cases() -> Cases:
    """Time and memory of each loss; of those on logits for each number of classes."""
    found: Cases = {}
    for name, loss in LOSSES.items():
        for shape in [(classes,) for classes in CLASSES] if loss.shape is None else [loss.shape]:
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
    student.requires_grad_()
    inputs = [student, teacher]
    if loss.labels:
        inputs.append(torch.randint(shape[0], (batch,), generator=generator).to(device()))
    if name == "vid":
        inputs.append(torch.ones(shape[0], device=device(), requires_grad=True))

    def step(formulation: Callable[..., Tensor]) -> None:
        formulation(*inputs, **loss.options).backward()  # type: ignore[no-untyped-call]
        for one in inputs:
            one.grad = None

    kd = getattr(import_module(module), function)
    return {PEER: partial(step, FORMULATIONS[name]), "kd": partial(step, kd)}


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
