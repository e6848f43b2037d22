"""Shared by the tests: the papers' formulas in plain Python floats, and models that are nothing but shapes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import torch
from kd_dev.testing.values import Shape, model_of_shapes, numbers, output_of, setup_of, terms_of

from kdcore import ModelInfo, ModelOutput, Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Vector = list[float]
Grid = list[list[float]]


class Oracle:
    """Each loss as its paper and its authors' code have it, element by element, sharing nothing with the package."""

    def mean(self, values: Any) -> float:
        values = list(values)
        return sum(values) / len(values)

    def dot(self, a: Vector, b: Vector) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    def unit(self, a: Vector, least: float = 1e-12) -> Vector:
        norm = max(math.sqrt(self.dot(a, a)), least)
        return [x / norm for x in a]

    def flat(self, value: Any) -> Vector:
        return [x for one in value for x in self.flat(one)] if isinstance(value, list) else [value]

    def smooth_l1(self, a: float, b: float) -> float:
        apart = abs(a - b)
        return apart**2 / 2 if apart < 1 else apart - 0.5

    def pooled(self, grid: Grid, height: int, width: int) -> Grid:
        """One channel averaged: cell i reads rows from floor(i H / h) up to ceil((i + 1) H / h)."""
        rows, columns = len(grid), len(grid[0])
        return [
            [
                self.mean(
                    grid[y][x]
                    for y in range(i * rows // height, -(-(i + 1) * rows // height))
                    for x in range(j * columns // width, -(-(j + 1) * columns // width))
                )
                for j in range(width)
            ]
            for i in range(height)
        ]

    def aligned(self, a: list[list[Grid]], b: list[list[Grid]]) -> tuple[Any, Any]:
        height = min(len(a[0][0]), len(b[0][0]))
        width = min(len(a[0][0][0]), len(b[0][0][0]))
        return tuple([[self.pooled(c, height, width) for c in sample] for sample in maps] for maps in (a, b))

    def hint(self, s: Any, t: Any) -> float:
        return self.mean((a - b) ** 2 for a, b in zip(self.flat(s), self.flat(t), strict=True))

    def at(self, s: Any, t: Any, power: float = 2.0) -> float:
        def attention(sample: list[Grid]) -> Vector:
            channels = [self.flat(channel) for channel in sample]
            return self.unit(
                [self.mean(abs(c[i]) ** power for c in channels) for i in range(len(channels[0]))]
            )

        s, t = self.aligned(s, t)
        return self.mean(
            (a - b) ** 2
            for x, y in zip(s, t, strict=True)
            for a, b in zip(attention(x), attention(y), strict=True)
        )

    def nst(self, s: Any, t: Any) -> float:
        s, t = self.aligned(s, t)
        losses = []
        for x, y in zip(s, t, strict=True):
            x, y = ([self.unit(self.flat(channel)) for channel in sample] for sample in (x, y))
            ss, tt, st = (
                self.mean(self.dot(a, b) ** 2 for a in p for b in q) for p, q in ((x, x), (y, y), (x, y))
            )
            losses.append(ss + tt - 2 * st)
        return self.mean(losses)

    def vid(self, s: Any, t: Any, log_scale: Vector) -> float:
        losses = []
        for x, y in zip(s, t, strict=True):
            for c, scale in enumerate(log_scale):
                variance = math.log(1 + math.exp(scale)) + 1e-5
                for a, b in zip(self.flat(x[c]), self.flat(y[c]), strict=True):
                    losses.append(0.5 * ((a - b) ** 2 / variance + math.log(variance)))
        return self.mean(losses)

    def sp(self, s: Any, t: Any) -> float:
        def table(samples: Any) -> Grid:
            rows = [self.flat(sample) for sample in samples]
            return [self.unit([self.dot(a, b) for b in rows]) for a in rows]

        return self.hint(table(s), table(t))

    def distance(self, s: Any, t: Any) -> float:
        def table(samples: Any) -> Vector:
            rows = [self.flat(sample) for sample in samples]
            all_of_them = [
                0.0 if i == j else math.sqrt(max(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)), 1e-12))
                for i, a in enumerate(rows)
                for j, b in enumerate(rows)
            ]
            mean = self.mean(d for d in all_of_them if d > 0)
            return [d / mean for d in all_of_them]

        return self.mean(self.smooth_l1(a, b) for a, b in zip(table(s), table(t), strict=True))

    def angle(self, s: Any, t: Any) -> float:
        def cosines(samples: Any) -> Vector:
            rows = [self.flat(sample) for sample in samples]
            found = []
            for here in rows:
                towards = [self.unit([x - y for x, y in zip(there, here, strict=True)]) for there in rows]
                found += [self.dot(a, b) for a in towards for b in towards]
            return found

        return self.mean(self.smooth_l1(a, b) for a, b in zip(cosines(s), cosines(t), strict=True))

    def pkt(self, s: Any, t: Any) -> float:
        def neighbours(samples: Any) -> Vector:
            rows = []
            for sample in samples:
                flat = self.flat(sample)
                norm = math.sqrt(self.dot(flat, flat)) + 1e-7
                rows.append([x / norm for x in flat])
            table = [[(self.dot(a, b) + 1) / 2 for b in rows] for a in rows]
            return [x / sum(row) for row in table for x in row]

        return self.mean(
            b * math.log((b + 1e-7) / (a + 1e-7)) for a, b in zip(neighbours(s), neighbours(t), strict=True)
        )

    def cc(self, s: Grid, t: Grid) -> float:
        apart = [[abs(a - b) for a, b in zip(x, y, strict=True)] for x, y in zip(s, t, strict=True)]
        return self.mean(self.dot(a, b) for a, b in pairwise(apart))


class CRDOracle:
    """CRD over several steps: both memories, both normalisers, and the loss as a quotient and a logarithm."""

    def __init__(
        self, student_memory: Grid, teacher_memory: Grid, temperature: float, momentum: float
    ) -> None:
        self.memory = {
            "student": [list(r) for r in student_memory],
            "teacher": [list(r) for r in teacher_memory],
        }
        self.normalizer: dict[str, float] = {}
        self.temperature, self.momentum = temperature, momentum

    def step(self, student: Grid, teacher: Grid, index: list[int], chosen: list[list[int]]) -> float:
        loss = self.direction("student", student, self.memory["teacher"], chosen)
        loss += self.direction("teacher", teacher, self.memory["student"], chosen)
        for name, embeddings in (("student", student), ("teacher", teacher)):
            for i, new in zip(index, embeddings, strict=True):
                m = self.momentum
                mixed = [m * a + (1 - m) * b for a, b in zip(self.memory[name][i], new, strict=True)]
                norm = math.sqrt(sum(x * x for x in mixed))
                self.memory[name][i] = [x / norm for x in mixed]
        return loss

    def direction(self, name: str, embeddings: Grid, memory: Grid, chosen: list[list[int]]) -> float:
        total = len(memory)
        powers = [
            [math.exp(sum(x * y for x, y in zip(e, memory[i], strict=True)) / self.temperature) for i in row]
            for e, row in zip(embeddings, chosen, strict=True)
        ]
        everything = [p for row in powers for p in row]
        z = self.normalizer.setdefault(name, sum(everything) / len(everything) * total)
        loss, negatives, eps = 0.0, len(chosen[0]) - 1, 1e-7
        noise = negatives / total
        for own, *others in powers:
            loss -= math.log(own / z / (own / z + noise + eps))
            loss -= sum(math.log(noise / (p / z + noise + eps)) for p in others)
        return loss / len(powers)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="session")
def crd_oracle() -> type[CRDOracle]:
    return CRDOracle


@pytest.fixture(scope="session")
def draw() -> Callable[..., torch.Tensor]:
    """Normal numbers of a shape."""
    return numbers


def _pyramid(name: str, channels: Sequence[int], grids: Sequence[tuple[int, int]], dim: int) -> ModelInfo:
    shapes: dict[int | str, Shape] = {
        stage: (c, grid, 0) for stage, c, grid in zip(range(1, 5), channels, grids, strict=True)
    }
    return model_of_shapes(name, {**shapes, "layer2.conv": shapes[2]}, dim)


_SQUARES = [(8, 8), (4, 4), (2, 2), (1, 1)]
MODELS = {
    "cnn": _pyramid("cnn", (4, 6, 8, 10), _SQUARES, 10),
    "wide": _pyramid("wide", (5, 9, 12, 14), _SQUARES, 14),
    "fine": _pyramid("fine", (3, 4, 5, 6), [(16, 16), (8, 8), (4, 4), (2, 2)], 6),
    "oblong": _pyramid("oblong", (3, 5, 7, 9), [(9, 6), (5, 3), (3, 2), (2, 1)], 9),
    "vit": model_of_shapes(
        "vit",
        {**dict.fromkeys(range(1, 5), (12, (4, 4), 1)), "attention:blocks.3.attn": (3, (17, 17), 0)},
        12,
    ),
    "tokens": model_of_shapes(
        "tokens",
        dict.fromkeys((1, 2, 3, 4, "blocks.0", "blocks.1", "norm"), (6, (3, 3), 1)),
        6,
    ),
    "mixer": model_of_shapes("mixer", [(11, (4, 4), 0)] * 4, 11),
}


@pytest.fixture(scope="session")
def model() -> Callable[[str], ModelInfo]:
    """A model that is only shapes: `cnn`, `wide`, `fine`, `oblong`, `vit`, `tokens` or `mixer`."""
    return lambda name: MODELS[name]


@pytest.fixture
def make_setup() -> Callable[..., Setup]:
    """What a distiller is built from, for two of the models."""

    def make(
        student: str = "cnn",
        teacher: str | None = "wide",
        *,
        train_size: int = 40,
        labels: torch.Tensor | None = None,
        seed: int = 0,
    ) -> Setup:
        return setup_of(
            MODELS[student],
            None if teacher is None else MODELS[teacher],
            train_size=train_size,
            train_labels=labels,
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def output() -> Callable[..., ModelOutput]:
    """What a forward pass of one of the models might give, for what is asked for."""

    def make(
        info: ModelInfo,
        stages: Sequence[int | str],
        *,
        samples: int = 4,
        seed: int = 0,
        embedding: bool = True,
        grad: bool = False,
    ) -> ModelOutput:
        return output_of(info, stages, samples=samples, seed=seed, embedding=embedding, gradient=grad)

    return make


@pytest.fixture(scope="session")
def step() -> Callable[..., dict[str, torch.Tensor]]:
    """Calls a distiller for a batch."""

    def call(
        distiller: torch.nn.Module,
        student: ModelOutput,
        teacher: ModelOutput,
        index: torch.Tensor | None = None,
        *,
        target: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        return terms_of(distiller, student, teacher, index=index, target=target)

    return call
