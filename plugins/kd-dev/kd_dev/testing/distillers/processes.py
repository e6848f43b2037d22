"""The check with two processes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.processes import Unreachable, ask
from kd_dev.testing.trace import SAMPLES, WORLD, trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from kd_dev.testing.subject import DistillerSubject

_TOLERANCE = 1e-3  # rounding in float32 is smaller; a loss that sees half of the samples differs more


@rule(
    "distiller",
    summary="Two processes with half of the batch each have the same terms, gradients and buffers as one with the "
    "whole batch.",
    why="A run on several GPUs should learn the same as a run on one. If the mean of the half batches' terms equals "
    "the whole batch's and there are no buffers, this holds, and no process is started.",
    fix="Take means over the batch. A loss between samples, a memory bank or a running statistic needs "
    "`Requires(whole_batch=True)`: every process then sees all samples.",
)
def two_processes(subject: DistillerSubject) -> None:
    if not (dist.is_available() and dist.is_gloo_available()):
        skip("this build of torch does not have gloo")
    if dist.is_initialized():
        skip("this process already belongs to a process group")
    rig = subject.rig()
    rig.step()
    rig.require_no_graph()
    if not _needs_processes(subject):
        return
    if _terms(subject, slice(None)) != _terms(subject, slice(None), seed=1):
        skip("its terms depend on random draws, which differ between processes")
    with tempfile.TemporaryDirectory() as folder:
        try:
            ask(_job(subject, folder))
        except Unreachable as reason:
            skip(str(reason))
        apart = [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    together = trace(subject.rig(samples=SAMPLES), slice(None))
    declared = f"(requires.whole_batch is {subject.rig().distillation.requires.whole_batch})"
    for name, wanted in together["terms"].items():
        found = torch.stack([one["terms"][name] for one in apart]).mean()
        _require_near(f"the term {name}", found, wanted, wanted.abs().item(), declared)
    for what in ("gradients", "buffers"):
        largest = max((value.abs().max().item() for value in together[what].values()), default=0.0)
        for name, wanted in together[what].items():
            for one in apart:
                _require_near(
                    f"the {what.removesuffix('s')} {name}", one[what][name], wanted, largest, declared
                )


def _needs_processes(subject: DistillerSubject) -> bool:
    rig = subject.rig(samples=SAMPLES)
    if rig.distillation.requires.whole_batch or any(True for _ in rig.distiller.buffers()):
        return True
    whole = _terms(subject, slice(None))
    half = SAMPLES // 2
    parts = [_terms(subject, rows) for rows in (slice(half), slice(half, None))]
    try:
        for name, term in whole.items():
            average = sum(part[name] for part in parts) / len(parts)
            _require_near(name, torch.tensor(average), torch.tensor(term), abs(term), "")
    except (Violation, KeyError):
        return True
    return False


def _terms(subject: DistillerSubject, rows: slice, seed: int = 0) -> Mapping[str, float]:
    rig = subject.rig(samples=SAMPLES)
    rig.seed += seed
    return {name: term.item() for name, term in rig.step(rows=rows).items()}


def _job(subject: DistillerSubject, folder: str) -> dict[str, Any]:
    factory, model = subject.factory, type(subject.options)
    for one in (factory, model):
        if "<locals>" in one.__qualname__ or one.__module__ == "__main__":
            skip(f"{one.__qualname__} cannot be imported by another process: move it to a module")
    return {
        "path": sys.path,
        "target": f"{factory.__module__}:{factory.__qualname__}",
        "model": f"{model.__module__}:{model.__qualname__}",
        "options": subject.options.model_dump_json(),
        "folder": folder,
    }


def _require_near(what: str, found: Tensor, wanted: Tensor, scale: float, declared: str) -> None:
    worst = (found - wanted).abs().max().item() if found.numel() else 0.0
    if not worst <= _TOLERANCE * scale + 1e-6:
        if found.dim() == 0:
            seen = f"is {found.item():.6g} with two processes, {wanted.item():.6g} with one"
        else:
            seen = f"differs by up to {worst:.3g} between two processes and one, where values go up to {scale:.3g}"
        raise Violation(f"{what} {seen} {declared}")
