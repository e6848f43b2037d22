"""Shared by the tests: the papers' formulas in plain Python floats, and what a distiller is built from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from kd_dev.testing.values import logits_and_target, model_of_shapes, setup_of, terms_of

from kdcore import Setup

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
    """Logits of student and teacher `[B, K]` with a given spread, and class indices `[B]`."""
    return logits_and_target


@pytest.fixture
def setup() -> Setup:
    """Without stages and embedding: a logit method must not ask for them."""
    return setup_of(model_of_shapes("small"), model_of_shapes("large"))


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
        return terms_of(distiller, student, teacher, target=target, epoch=epoch)

    return call
