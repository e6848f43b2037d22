"""CRD compared with RepDistiller's formulation: forward, backward and the update of both memories."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.device import device
from benchmarks.rounds import Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from kd_feature import CRDLoss
    from torch import Tensor

    from benchmarks.groups import Cases

TEMPERATURE, MOMENTUM, EPS = 0.07, 0.5, 1e-7
PEER = "RepDistiller's formulation"
BATCHES = 4
"""The number of batches that are used in turn, so that the rows of a batch are not still in the cache."""


@dataclass(frozen=True)
class Size:
    """N samples in C classes, B of them in a batch, K negatives for each, vectors of D numbers."""

    samples: int = 50_000
    classes: int = 100
    batch: int = 64
    negatives: int = 16_384
    dim: int = 128

    def __str__(self) -> str:
        return f"N = {self.samples:,}, K = {self.negatives:,}, B = {self.batch}"


CIFAR, IMAGENET = Size(), Size(1_281_167, 1000)


def cases() -> Cases:
    """The loss alone at both data sets' sizes, with drawing, how exact it is, then what the cost model is held to."""
    found: Cases = {}
    for size in (CIFAR, IMAGENET):
        found[f"CRD loss, {size}"] = partial(losses, size)
        found[f"CRD loss and drawing, {size}"] = partial(drawing, size)
        found[f"CRD exactness, {size}"] = partial(exactness, size)
    for samples in (10_000, 100_000, 200_000, 400_000, 800_000):
        size = Size(samples)
        found[f"CRD crossover, {size}"] = partial(losses, size, "crossover")
    for negatives, batch in ((1024, 64), (4096, 64), (16_384, 16), (4096, 256)):
        for samples in (50_000, 200_000):
            size = Size(samples, batch=batch, negatives=negatives)
            found[f"CRD crossover, {size}"] = partial(losses, size, "crossover")
    return found


class Bench:
    """Two memories, which all contenders share, and batches."""

    def __init__(self, size: Size) -> None:
        import torch
        from kd_feature import CRDLoss
        from kd_feature.negatives import NegativeSampler
        from torch.nn import functional as F

        self.size, self.device = size, device()
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(size.classes, (size.samples,), generator=generator)
        self.labels = labels
        self.sampler = NegativeSampler(size.samples, labels, size.negatives, 0).to(self.device)
        torch.manual_seed(0)
        loss = CRDLoss(size.dim, size.samples, self.sampler.negatives, TEMPERATURE, MOMENTUM)
        self.loss: CRDLoss = loss.to(self.device)
        self.batches = []
        for _ in range(BATCHES):
            index = torch.randperm(size.samples, generator=generator)[: size.batch].to(self.device)
            pair = torch.randn(2, size.batch, size.dim, generator=generator).to(self.device)
            student, teacher = (F.normalize(one, dim=1).requires_grad_() for one in pair)
            self.batches.append((student, teacher, index, self.sampler(index)))
        self.loss(*self.batches[0])  # sets the normalisers
        self.normalizers = (
            self.loss.student_log_normalizer.exp().item(),
            self.loss.teacher_log_normalizer.exp().item(),
        )

    def step(
        self, loss: Callable[..., Tensor], draw: Callable[[Tensor], Tensor] | None = None
    ) -> Callable[[], float]:
        """Forward, backward and update on the next batch; with a way to draw the negatives, drawing them too."""
        turn = itertools.cycle(self.batches)

        def run() -> float:
            student, teacher, index, chosen = next(turn)
            student.grad = teacher.grad = None
            loss(student, teacher, index, chosen if draw is None else draw(index)).backward()  # type: ignore[no-untyped-call]
            return 0.0

        return run

    def kd(self, *batch: Tensor, all_rows: bool | None = None) -> Tensor:
        """The loss of kd, by the way of its own choice or by the one that is said."""
        if all_rows is None:
            value: Tensor = self.loss(*batch)
            return value
        from kd_feature import crd_loss

        with patch.object(crd_loss, "_score_all", lambda *_: all_rows):
            return self.kd(*batch)

    def peer(self, student: Tensor, teacher: Tensor, index: Tensor, chosen: Tensor) -> Tensor:
        """RepDistiller's: the chosen rows of both memories as `[B, 1 + K, D]`, ratios of exponentials, autograd."""
        import torch

        memories = self.loss.teacher_memory, self.loss.student_memory
        total = student.new_zeros(())
        for embedding, memory, normalizer in zip((student, teacher), memories, self.normalizers, strict=True):
            total = total + ratio_of_exponentials(embedding, memory, chosen, normalizer)
        with torch.no_grad():
            for memory, embedding in zip(reversed(memories), (student, teacher), strict=True):
                mixed = memory.index_select(0, index).mul_(MOMENTUM).add_(embedding, alpha=1 - MOMENTUM)
                memory.index_copy_(0, index, mixed / mixed.pow(2).sum(1, keepdim=True).sqrt())
        return total


def ratio_of_exponentials(embedding: Tensor, memory: Tensor, chosen: Tensor, normalizer: float) -> Tensor:
    """One direction as RepDistiller writes it: P/(P + c), then its logarithm."""
    import torch

    rows = memory.index_select(0, chosen.reshape(-1)).view(*chosen.shape, -1)
    p = (torch.bmm(rows, embedding.unsqueeze(2)).squeeze(2) / TEMPERATURE).exp() / normalizer
    noise = (chosen.shape[1] - 1) / len(memory)
    own, others = p[:, 0], p[:, 1:]
    of_own = (own / (own + noise + EPS)).log()
    of_others = (torch.full_like(others, noise) / (others + noise + EPS)).log()
    return -(of_own.sum() + of_others.sum()) / len(chosen)


def losses(size: Size, title: str = "loss") -> Case:
    """The negatives are given."""
    bench = Bench(size)
    steps = {
        PEER: bench.step(bench.peer),
        "kd": bench.step(bench.kd),
        "kd, all rows": bench.step(partial(bench.kd, all_rows=True)),
        "kd, chosen rows": bench.step(partial(bench.kd, all_rows=False)),
    }
    from kd_feature import crd_loss

    student, _, _, chosen = bench.batches[0]
    way = "all rows" if crd_loss._score_all(student, bench.loss.teacher_memory, chosen) else "chosen rows"
    return Case(f"CRD {title}, {size}; kd takes {way}", PEER, steps)


def drawing(size: Size) -> Case:
    """The negatives are drawn in the step."""
    import numpy as np
    import torch

    bench = Bench(size)
    labels = bench.labels.numpy()
    draws = torch.Generator(bench.device)
    probability = torch.ones(size.samples, device=bench.device)
    alias = torch.zeros(size.samples, dtype=torch.long, device=bench.device)

    def by_alias(index: Tensor) -> Tensor:
        at = torch.randint(
            size.samples, (len(index), 1 + size.negatives), device=index.device, generator=draws
        )
        keep = torch.rand(at.shape, device=at.device, generator=draws) < probability[at]
        at = torch.where(keep, at, alias[at])
        at[:, 0] = index
        return at

    steps = {
        f"{PEER}, alias method": bench.step(bench.peer, by_alias),
        "kd": bench.step(bench.kd, bench.sampler),
    }
    notes = {f"{PEER}, alias method": "draws from all samples, the own class too, and some twice"}
    name = f"{PEER}, a list for each class"
    if size.samples * size.classes <= 10_000_000:
        others = [np.flatnonzero(labels != one) for one in range(size.classes)]
        numbers = np.random.default_rng(0)
        notes[name] = "as RepDistiller's data set draws, there in the loader's processes"

        def by_lists(index: Tensor) -> Tensor:
            own = index.cpu().numpy()
            rows = [[one, *numbers.choice(others[labels[one]], size.negatives, replace=False)] for one in own]
            return torch.from_numpy(np.array(rows)).to(index.device)

        steps[name] = bench.step(bench.peer, by_lists)
    else:
        gigabytes = 8e-9 * size.samples * (size.classes - 1)
        notes[name] = f"not run: the lists take {gigabytes:.1f} GB"
    return Case(f"CRD loss and drawing, {size}", f"{PEER}, alias method", steps, notes=notes)


def exactness(size: Size) -> Case:
    """How far each formulation is from the value in float64."""
    import torch

    bench = Bench(size)

    def error(loss: Callable[..., Tensor]) -> Callable[[], float]:
        turn = itertools.cycle(bench.batches)

        def run() -> float:
            batch = next(turn)
            expected = exact(bench, *batch)
            with torch.no_grad():
                found = float(loss(*batch))
            return max(abs(found - expected) / expected, 2.0**-53)

        return run

    steps = {
        PEER: error(bench.peer),
        "kd, all rows": error(partial(bench.kd, all_rows=True)),
        "kd, chosen rows": error(partial(bench.kd, all_rows=False)),
    }
    return Case(f"CRD exactness, {size}", PEER, steps, unit="relative error")


def exact(bench: Bench, student: Tensor, teacher: Tensor, index: Tensor, chosen: Tensor) -> float:
    """The loss in float64, sample by sample."""
    total, memories = 0.0, (bench.loss.teacher_memory, bench.loss.student_memory)
    noise = bench.sampler.negatives / bench.size.samples
    for embedding, memory, normalizer in zip((student, teacher), memories, bench.normalizers, strict=True):
        for vector, at in zip(embedding.detach().double(), chosen, strict=True):
            p = (memory[at].double() @ vector / TEMPERATURE - math.log(normalizer)).exp()
            total += ((p[0] + noise + EPS) / p[0]).log().item()
            total += ((p[1:] + noise + EPS) / noise).log().sum().item()
    return total / len(index)
