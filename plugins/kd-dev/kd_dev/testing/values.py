"""Values for the tests of losses and distillers: models that are only shapes, outputs, logits, and one call.

They need no network and no weights, so a test that uses them takes milliseconds. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

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

CLASSES: Final = 5
Shape = tuple[int, tuple[int, int], int]
"""Channels, grid `(h, w)` and prefix tokens of a stage."""


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> Tensor:
    """Normal numbers of a shape: the same ones for the same seed, whatever the type."""
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)


def logits_and_target(
    samples: int, classes: int, scale: float = 2.0, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of student and teacher `[B, K]` with a given spread, and class indices `[B]`."""
    generator = torch.Generator().manual_seed(seed)
    student = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    teacher = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (samples,), generator=generator)
    return student.to(dtype), teacher.to(dtype), target


def model_of_shapes(
    name: str, stages: Mapping[Stage, Shape] | Sequence[Shape] = (), embedding: int | None = None
) -> ModelInfo:
    """A model as a distiller sees it, with the shapes of its stages and no module behind them.

    Args:
        name: the model's name.
        stages: the shape of each stage: all of 1..4 or none of them, and any module paths; a sequence is 1..4.
        embedding: D of its embedding; None: it has none.

    Returns:
        What raises `UserError` if a distiller asks for a stage, or an embedding, that the model does not have.
    """
    shapes: dict[Stage, Shape] = {}
    shapes.update(stages if isinstance(stages, Mapping) else enumerate(stages, 1))

    def probe(refs: Sequence[Stage]) -> tuple[StageInfo, ...]:
        missing = [ref for ref in refs if ref not in shapes]
        if missing:
            raise UserError(Problem(name, f"there is no stage {missing[0]}"))
        return tuple(StageInfo(ref, *shapes[ref]) for ref in refs)

    def probe_embedding() -> int:
        if embedding is None:
            raise UserError(Problem(name, "no feature adapter knows its embedding"))
        return embedding

    return ModelInfo(name, num_parameters=1, classifier=None, probe=probe, probe_embedding=probe_embedding)


def setup_of(
    student: ModelInfo,
    teacher: ModelInfo | None,
    *,
    num_classes: int = CLASSES,
    train_size: int = 100,
    train_labels: Tensor | None = None,
    seed: int = 0,
) -> Setup:
    """What a distiller is built from."""
    return Setup(
        student=student,
        teacher=teacher,
        num_classes=num_classes,
        train_size=train_size,
        train_labels=train_labels,
        generator=torch.Generator().manual_seed(seed),
    )


def output_of(
    model: ModelInfo,
    stages: Sequence[Stage] = (),
    *,
    samples: int = 4,
    classes: int = CLASSES,
    embedding: bool = False,
    gradient: bool = False,
    seed: int = 0,
) -> ModelOutput:
    """What a forward pass of a model might give: random numbers of the model's shapes.

    Args:
        model: whose shapes.
        stages: the stages whose feature maps are given.
        samples: B.
        classes: K.
        embedding: give the embedding `[B, D]` too.
        gradient: the tensors record gradients, as those of a student do.
        seed: the same numbers for the same seed.
    """
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape: int) -> Tensor:
        return torch.randn(samples, *shape, generator=generator).requires_grad_(gradient)

    features = {}
    for stage in stages:
        shape = model.stage(stage)
        prefix = tensor(shape.prefix_tokens, shape.channels) if shape.prefix_tokens else None
        features[stage] = FeatureMap(tensor(shape.channels, *shape.grid), prefix)
    return ModelOutput(tensor(classes), features, tensor(model.embedding_dim) if embedding else None)


def terms_of(
    distiller: nn.Module,
    student: ModelOutput | Tensor,
    teacher: ModelOutput | Tensor,
    *,
    target: Tensor | None = None,
    index: Tensor | None = None,
    epoch: float = 0.0,
) -> dict[str, Tensor]:
    """The loss terms of a distiller for one batch; a tensor is the logits `[B, K]` of a model without features."""
    outputs = [ModelOutput(one) if isinstance(one, Tensor) else one for one in (student, teacher)]
    logits = next(one.logits for one in outputs if one.logits is not None)
    batch = Batch(images=torch.zeros(len(logits), 3, 2, 2), target=target, index=index)
    progress = Progress(epoch=epoch, step=0, total_steps=10, total_epochs=1)
    terms: dict[str, Tensor] = distiller(*outputs, batch, progress)
    return terms
