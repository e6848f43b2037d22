"""Shared by the tests: the papers' formulas in plain Python floats, and what a distiller is built from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from kdcore import Batch, ModelInfo, ModelOutput, Progress, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = list[list[float]]


class Oracle:
    """Each loss as its paper writes it, sample by sample in float64, with nothing shared with the package."""

    def softmax(self, row: list[float], temperature: float = 1.0) -> list[float]:
        top = max(row)
        powers = [math.exp((value - top) / temperature) for value in row]
        return [power / sum(powers) for power in powers]

    def kl(self, p: list[float], q: list[float]) -> float:
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)

    def mean(self, values: list[float]) -> float:
        return sum(values) / len(values)

    def drop(self, row: list[float], y: int) -> list[float]:
        return [value for i, value in enumerate(row) if i != y]

    def kd(self, student: Rows, teacher: Rows, *, temperature: float) -> float:
        t = temperature
        return self.mean(
            [
                t * t * self.kl(self.softmax(b, t), self.softmax(a, t))
                for a, b in zip(student, teacher, strict=True)
            ]
        )

    def dkd(
        self,
        student: Rows,
        teacher: Rows,
        target: list[int],
        *,
        alpha: float,
        beta: float,
        temperature: float,
    ) -> float:
        losses = []
        for a, b, y in zip(student, teacher, target, strict=True):
            ps, pt = self.softmax(a, temperature), self.softmax(b, temperature)
            tckd = self.kl([pt[y], sum(self.drop(pt, y))], [ps[y], sum(self.drop(ps, y))])
            # the paper's p-hat: the other classes' probabilities over their sum
            other_s, other_t = self.drop(ps, y), self.drop(pt, y)
            hat_s = [p / sum(other_s) for p in other_s]
            hat_t = [p / sum(other_t) for p in other_t]
            losses.append(temperature**2 * (alpha * tckd + beta * self.kl(hat_t, hat_s)))
        return self.mean(losses)

    def nkd(
        self, student: Rows, teacher: Rows, target: list[int], *, gamma: float, temperature: float
    ) -> float:
        losses = []
        for a, b, y in zip(student, teacher, target, strict=True):
            target_term = -self.softmax(b)[y] * math.log(self.softmax(a)[y])
            hat_s = self.softmax(self.drop(a, y), temperature)
            hat_t = self.softmax(self.drop(b, y), temperature)
            cross_entropy = -sum(p * math.log(q) for p, q in zip(hat_t, hat_s, strict=True))
            losses.append(target_term + gamma * temperature**2 * cross_entropy)
        return self.mean(losses)

    def pearson(self, a: list[float], b: list[float], eps: float) -> float:
        ma, mb = self.mean(a), self.mean(b)
        covariance = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
        norms = math.sqrt(sum((x - ma) ** 2 for x in a)) * math.sqrt(sum((y - mb) ** 2 for y in b))
        return covariance / (norms + eps)

    def dist(
        self,
        student: Rows,
        teacher: Rows,
        *,
        beta: float,
        gamma: float,
        temperature: float,
        eps: float = 1e-8,
    ) -> float:
        ps = [self.softmax(row, temperature) for row in student]
        pt = [self.softmax(row, temperature) for row in teacher]
        inter = 1 - self.mean([self.pearson(a, b, eps) for a, b in zip(ps, pt, strict=True)])
        columns = range(len(ps[0]))
        intra = 1 - self.mean([self.pearson([r[k] for r in ps], [r[k] for r in pt], eps) for k in columns])
        return temperature**2 * (beta * inter + gamma * intra)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Logits of student and teacher `[B, K]` of a given spread, and class indices `[B]`."""

    def make(
        samples: int, classes: int, scale: float = 2.0, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        student = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
        teacher = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
        target = torch.randint(classes, (samples,), generator=generator)
        return student.to(dtype), teacher.to(dtype), target

    return make


@pytest.fixture
def setup() -> Setup:
    def no_features(stages: object) -> tuple[()]:
        raise AssertionError("a logit method must not ask for features")

    def no_embedding() -> int:
        raise AssertionError("a logit method must not ask for the embedding")

    def info(name: str) -> ModelInfo:
        return ModelInfo(
            name, num_parameters=1, classifier=None, probe=no_features, probe_embedding=no_embedding
        )

    return Setup(
        student=info("small"),
        teacher=info("large"),
        num_classes=5,
        train_size=100,
        train_labels=None,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.fixture(scope="session")
def step() -> Callable[..., dict[str, torch.Tensor]]:
    """Calls a distiller with logits and a target, at an epoch."""

    def call(
        distiller: torch.nn.Module,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: torch.Tensor | None,
        epoch: float = 1000.0,
    ) -> dict[str, torch.Tensor]:
        batch = Batch(images=torch.zeros(student.shape[0], 3, 2, 2), target=target)
        progress = Progress(epoch=epoch, step=0, total_steps=10, total_epochs=1)
        terms: dict[str, torch.Tensor] = distiller(
            ModelOutput(student), ModelOutput(teacher), batch, progress
        )
        return terms

    return call
