"""Shared by the tests: the loss in plain Python floats, models as a distiller sees them, and features for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from kd_dev.testing.values import Shape, logits_and_target, model_of_shapes, output_of, setup_of, terms_of

from kdcore import ModelInfo, ModelOutput, Setup, Stage

Rows = list[list[float]]


class Oracle:
    """OFA's loss as its authors write it, class by class in float64, with nothing shared with the package."""

    def log_softmax(self, row: list[float], temperature: float) -> list[float]:
        top = max(row)
        total = math.fsum(math.exp((value - top) / temperature) for value in row)
        return [(value - top) / temperature - math.log(total) for value in row]

    def ofa(
        self, student: Rows, teacher: Rows, target: list[int], *, eps: float, temperature: float
    ) -> float:
        losses = []
        for a, b, y in zip(student, teacher, target, strict=True):
            log_ps = self.log_softmax(a, temperature)
            pt = [math.exp(value) for value in self.log_softmax(b, temperature)]
            terms = []
            for i in range(len(a)):
                mask = 1.0 if i == y else 0.0
                terms.append(((pt[i] + mask) ** eps - mask) * log_ps[i])
            losses.append(-math.fsum(terms))
        return math.fsum(losses) / len(losses)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Logits of student and teacher `[B, K]` with a given spread, and class indices `[B]`."""
    return logits_and_target


@pytest.fixture(scope="session")
def model() -> Callable[..., ModelInfo]:
    """A model from `(channels, (h, w), prefix tokens)` for each stage; `paths` has other stages in the same form."""

    def make(
        stages: Sequence[Shape] = (),
        embedding: int | None = 16,
        name: str = "some_net",
        paths: dict[str, Shape] | None = None,
    ) -> ModelInfo:
        return model_of_shapes(name, {**dict(enumerate(stages, 1)), **(paths or {})}, embedding)

    return make


FAMILIES: dict[str, list[Shape]] = {
    "conv": [(4, (8, 8), 0), (8, (4, 4), 0), (12, (2, 2), 0), (16, (1, 1), 0)],
    "vit": [(16, (14, 14), 1)] * 4,
    "mlp": [(16, (14, 14), 0)] * 4,
    "swin": [(4, (8, 8), 0), (8, (4, 4), 0), (12, (2, 2), 0), (16, (1, 1), 0)],
}


@pytest.fixture(scope="session")
def families() -> dict[str, list[Shape]]:
    """Small students of the four families, with an embedding of 16."""
    return FAMILIES


@pytest.fixture(scope="session")
def setup_for(model: Callable[..., ModelInfo]) -> Callable[..., Setup]:
    """What a distiller is built from, for a student and a teacher with this embedding."""

    def make(student: ModelInfo, teacher_embedding: int | None = 24, num_classes: int = 5) -> Setup:
        return setup_of(
            student, model(embedding=teacher_embedding, name="teacher_net"), num_classes=num_classes
        )

    return make


@pytest.fixture(scope="session")
def output() -> Callable[..., ModelOutput]:
    """A student's output for a batch: random logits and features of the shapes in its `ModelInfo`."""

    def make(student: ModelInfo, stages: Sequence[Stage] = (1, 2, 3, 4), **given: int) -> ModelOutput:
        return output_of(student, stages, gradient=True, **given)

    return make


@pytest.fixture(scope="session")
def step() -> Callable[..., dict[str, torch.Tensor]]:
    """Calls a distiller with the student's output, the teacher's logits and a target."""

    def call(
        distiller: torch.nn.Module, student: ModelOutput, teacher: torch.Tensor, target: Any
    ) -> dict[str, torch.Tensor]:
        return terms_of(distiller, student, teacher, target=target)

    return call
