from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdcore import FeatureMap, ModelOutput, StageInfo
from kdcore.spec.models import TeacherCacheSpec
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.identity import Identity
from kdcore.teacher_cache.rows import Rows

SAMPLES = 12
STAGES = (StageInfo(2, 3, (4, 5)), StageInfo("blocks.1.mlp", 6, (2, 2), prefix_tokens=2))
FULL = Rows(num_classes=7, embedding_dim=5, stages=STAGES)
PLAIN = Rows(num_classes=7, embedding_dim=None, stages=())

Opened = Callable[..., TeacherCache]


def identity(seed: int = 0) -> Identity:
    return Identity({"teacher": {"model": "toy/net", "weights": "00"}, "seed": seed}, dataset="toys")


def settings(**changes: object) -> TeacherCacheSpec:
    return TeacherCacheSpec(**{"augmentations": 2, "dtype": "float32", **changes})


def outputs(count: int, *, seed: int = 0, scale: float = 1.0) -> ModelOutput:
    """What a teacher with all of FULL's features gives for so many samples."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return scale * torch.randn(count, *shape, generator=generator)

    features = {
        info.stage: FeatureMap(
            draw(info.channels, *info.grid),
            draw(info.prefix_tokens, info.channels) if info.prefix_tokens else None,
        )
        for info in STAGES
    }
    return ModelOutput(draw(7), features, draw(5))


def tensors(output: ModelOutput) -> list[Tensor]:
    """All tensors of an output."""
    found = [output.logits]
    for one in output.features.values():
        found += [one.map] if one.prefix is None else [one.map, one.prefix]
    return found if output.embedding is None else [*found, output.embedding]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens the cache of a toy teacher in a folder of the test's own."""

    def open_cache(
        rows: Rows = FULL, *, seed: int = 0, create: bool = True, **changes: object
    ) -> TeacherCache:
        return TeacherCache.open(tmp_path, identity(seed), rows, settings(**changes), SAMPLES, create=create)

    return open_cache
