"""A pair of models and what they see: batches that lie in memory, so that no loader is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.device import device

if TYPE_CHECKING:
    from torch import Tensor, nn

TEMPERATURE = 4.0
TASK_WEIGHT, KD_WEIGHT = 0.1, 0.9  # weights of the ground truth and of KD, in every contender
LR, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4


@dataclass(frozen=True)
class Workload:
    """Teacher and student by name, and what one step sees.

    Attributes:
        batches: different ones, used in turn.
        options: arguments of both models' sections in a spec.
    """

    name: str
    teacher: str
    student: str
    pixels: int
    batch: int
    classes: int = 10
    batches: int = 8
    options: dict[str, Any] = field(default_factory=dict)

    def model(self, name: str) -> nn.Module:
        """One of the two, on the device; every contender begins with the same weights."""
        torch.manual_seed(1)
        if not self.options and not name.startswith("cifar_"):
            import timm

            return timm.create_model(name, num_classes=self.classes).to(device())
        from kdcore.models import build_model
        from kdcore.plugins import get_plugins
        from kdcore.spec.models import ModelSpec

        built = build_model(
            ModelSpec(model=name, **self.options),
            num_classes=self.classes,
            in_chans=3,
            image_size=self.pixels,
            plugins=get_plugins(),
            where="model",
        )
        return built.model.to(device())

    def teacher_passes(self) -> nn.Module:
        """The teacher as every contender has it: in eval mode, without gradients."""
        return self.model(self.teacher).eval().requires_grad_(False)

    def images(self) -> list[tuple[Tensor, Tensor]]:
        """Images `[B, 3, H, W]` and their classes `[B]`."""
        draw = torch.Generator().manual_seed(0)
        shape = (self.batch, 3, self.pixels, self.pixels)
        return [
            (
                torch.randn(shape, generator=draw).to(device()),
                torch.randint(self.classes, (self.batch,), generator=draw).to(device()),
            )
            for _ in range(self.batches)
        ]


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """What every contender but kd, which has the same by its spec, steps with."""
    return torch.optim.SGD(
        model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
