"""Shared by the tests: the loss in plain Python floats, models as a distiller sees them, and features for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from kdcore import (
    Batch,
    FeatureMap,
    ModelInfo,
    ModelOutput,
    Problem,
    Progress,
    Setup,
    Stage,
    StageInfo,
    UserError,
)

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


@pytest.fixture(scope="session")
def model() -> Callable[..., ModelInfo]:
    """A model from `(channels, (h, w), prefix tokens)` per stage; `paths` names other stages likewise."""

    def make(
        stages: Sequence[tuple[int, tuple[int, int], int]] = (),
        embedding: int | None = 16,
        name: str = "some_net",
        paths: dict[str, tuple[int, tuple[int, int], int]] | None = None,
    ) -> ModelInfo:
        shapes: dict[Stage, tuple[int, tuple[int, int], int]] = {
            **dict(enumerate(stages, 1)),
            **(paths or {}),
        }

        def probe(refs: Sequence[Stage]) -> tuple[StageInfo, ...]:
            missing = [ref for ref in refs if ref not in shapes]
            if missing:
                raise UserError(Problem(name, f"there is no stage {missing[0]}"))
            return tuple(StageInfo(ref, *shapes[ref]) for ref in refs)

        def probe_embedding() -> int:
            if embedding is None:
                raise UserError(Problem(name, "no feature adapter knows its embedding"))
            return embedding

        return ModelInfo(
            name, num_parameters=1, classifier=None, probe=probe, probe_embedding=probe_embedding
        )

    return make


FAMILIES: dict[str, list[tuple[int, tuple[int, int], int]]] = {
    "conv": [(4, (8, 8), 0), (8, (4, 4), 0), (12, (2, 2), 0), (16, (1, 1), 0)],
    "vit": [(16, (14, 14), 1)] * 4,
    "mlp": [(16, (14, 14), 0)] * 4,
    "swin": [(4, (8, 8), 0), (8, (4, 4), 0), (12, (2, 2), 0), (16, (1, 1), 0)],
}


@pytest.fixture(scope="session")
def families() -> dict[str, list[tuple[int, tuple[int, int], int]]]:
    """Small students of the four families, with an embedding of 16."""
    return FAMILIES


@pytest.fixture(scope="session")
def setup_for(model: Callable[..., ModelInfo]) -> Callable[..., Setup]:
    """What a distiller is built from, for a student and a teacher with this embedding."""

    def make(student: ModelInfo, teacher_embedding: int | None = 24, num_classes: int = 5) -> Setup:
        return Setup(
            student=student,
            teacher=model(embedding=teacher_embedding, name="teacher_net"),
            num_classes=num_classes,
            train_size=100,
            train_labels=None,
            generator=torch.Generator().manual_seed(0),
        )

    return make


@pytest.fixture(scope="session")
def output() -> Callable[..., ModelOutput]:
    """A student's output for a batch: random logits and features of the shapes that its `ModelInfo` tells."""

    def make(
        student: ModelInfo,
        stages: Sequence[Stage] = (1, 2, 3, 4),
        samples: int = 4,
        classes: int = 5,
        seed: int = 0,
    ) -> ModelOutput:
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator).requires_grad_()

        features: dict[Stage, FeatureMap] = {}
        for stage in stages:
            info = student.stage(stage)
            tokens = info.prefix_tokens
            features[stage] = FeatureMap(
                random(samples, info.channels, *info.grid),
                random(samples, tokens, info.channels) if tokens else None,
            )
        return ModelOutput(random(samples, classes), features)

    return make


@pytest.fixture(scope="session")
def step() -> Callable[..., dict[str, torch.Tensor]]:
    """Calls a distiller with the student's output, the teacher's logits and a target."""

    def call(
        distiller: torch.nn.Module, student: ModelOutput, teacher: torch.Tensor, target: Any
    ) -> dict[str, torch.Tensor]:
        batch = Batch(images=torch.zeros(len(teacher), 3, 2, 2), target=target)
        progress = Progress(epoch=0.0, step=0, total_steps=10, total_epochs=1)
        terms: dict[str, torch.Tensor] = distiller(student, ModelOutput(teacher), batch, progress)
        return terms

    return call
