"""Shared by the tests: the paper's formulas in plain Python floats, and models that are nothing but shapes."""

from __future__ import annotations

import math

import pytest
import torch
from kdcore import FeatureMap, ModelInfo, ModelOutput, Setup, StageInfo


class Oracle:
    """The authors' code, element by element, on nested lists `[C][H][W]` of one sample."""

    def pooled(self, channel, side):
        rows, columns = len(channel), len(channel[0])
        return [
            [
                mean(
                    channel[y][x]
                    for y in range(i * rows // side, -(-(i + 1) * rows // side))
                    for x in range(j * columns // side, -(-(j + 1) * columns // side))
                )
                for j in range(side)
            ]
            for i in range(side)
        ]

    def hcl(self, student, teacher):
        """Both `[B][C][H][W]`."""
        height, width = len(student[0][0]), len(student[0][0][0])
        terms = [(1.0, apart(student, teacher))]
        for side in (4, 2, 1):
            if side < height and side < width:
                both = [
                    [[self.pooled(c, side) for c in sample] for sample in maps] for maps in (student, teacher)
                ]
                terms.append((terms[-1][0] / 2, apart(*both)))
        return sum(factor * term for factor, term in terms) / sum(factor for factor, _ in terms)

    def nearest(self, sample, height, width):
        return [
            [[c[i * len(c) // height][j * len(c[0]) // width] for j in range(width)] for i in range(height)]
            for c in sample
        ]

    def convolution(self, sample, weight, bias=None):
        """3x3 with padding 1, or 1x1; `weight` is `[C'][C][k][k]`."""
        half = len(weight[0][0]) // 2
        height, width = len(sample[0]), len(sample[0][0])

        def at(channel, y, x):
            return channel[y][x] if 0 <= y < height and 0 <= x < width else 0.0

        return [
            [
                [
                    sum(
                        kernel[dy][dx] * at(channel, y + dy - half, x + dx - half)
                        for kernel, channel in zip(kernels, sample, strict=True)
                        for dy in range(len(kernel))
                        for dx in range(len(kernel))
                    )
                    + (bias[number] if bias else 0.0)
                    for x in range(width)
                ]
                for y in range(height)
            ]
            for number, kernels in enumerate(weight)
        ]

    def normalised(self, sample, state, prefix):
        """Batch norm in evaluation mode."""
        names = ("running_mean", "running_var", "weight", "bias")
        numbers = zip(*(state[f"{prefix}.{name}"] for name in names), strict=True)
        return [
            [[(v - m) / math.sqrt(var + 1e-5) * w + b for v in row] for row in channel]
            for channel, (m, var, w, b) in zip(sample, numbers, strict=True)
        ]

    def fusion(self, state, features, deeper, teacher_grid):
        """The map for the loss and the fused one, of one sample."""
        fused = self.normalised(self.convolution(features, state["reduce.0.weight"]), state, "reduce.1")
        if deeper is not None:
            deeper = self.nearest(deeper, len(fused[0]), len(fused[0][0]))
            weight, bias = state["attention.weight"], state["attention.bias"]
            first, second = self.convolution([*fused, *deeper], weight, bias)
            fused = [
                [
                    [v * sigmoid(first[y][x]) + d[y][x] * sigmoid(second[y][x]) for x, v in enumerate(row)]
                    for y, row in enumerate(channel)
                ]
                for channel, d in zip(fused, deeper, strict=True)
            ]
        fused = self.nearest(fused, *teacher_grid)
        return self.normalised(self.convolution(fused, state["expand.0.weight"]), state, "expand.1"), fused


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def flat(value):
    return [x for one in value for x in flat(one)] if isinstance(value, list) else [value]


def apart(first, second):
    return mean((a - b) ** 2 for a, b in zip(flat(first), flat(second), strict=True))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.fixture(scope="session")
def oracle():
    return Oracle()


@pytest.fixture
def draw():
    """Normal numbers of a shape, in float64."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def model_info(name, channels, grids, dim):
    stages = {n: StageInfo(n, c, grid) for n, (c, grid) in enumerate(zip(channels, grids, strict=True), 1)}
    stages["block.sum"] = StageInfo("block.sum", channels[1], grids[1])
    return ModelInfo(
        name,
        num_parameters=1,
        classifier=None,
        probe=lambda refs: tuple(stages[ref] for ref in refs),
        probe_embedding=lambda: dim,
    )


@pytest.fixture
def setup():
    """A student of small maps, and a teacher of larger ones with other channels."""
    return Setup(
        student=model_info("student", (2, 3, 4, 5), [(8, 6), (4, 3), (2, 2), (1, 1)], 6),
        teacher=model_info("teacher", (3, 4, 5, 7), [(8, 8), (8, 8), (4, 4), (2, 2)], 8),
        num_classes=5,
        train_size=40,
        train_labels=None,
        generator=torch.Generator(),
    )


@pytest.fixture
def output(draw):
    """What a forward pass of such a model might give."""

    def make(info, stages, samples=3):
        features = {}
        for stage in stages:
            shape = info.stage(stage)
            features[stage] = FeatureMap(draw(samples, shape.channels, *shape.grid))
        return ModelOutput(draw(samples, 5), features, draw(samples, info.embedding_dim))

    return make
