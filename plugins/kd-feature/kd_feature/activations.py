"""Where a stage's map is before the activation that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from torch import nn

from kd_feature.stages import StagePair
from kdcore import Stage, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore import ModelInfo

# The modules whose output is stage n: ResNet and its relatives, and RegNet.
_GROUPS: Final = ("layer{}", "s{}")
# The last activation of a block and the norm before it: timm's bottleneck and basic blocks, and torchvision's.
_ENDS: Final = (("act3", "bn3"), ("act3", "conv3.bn"), ("act2", "bn2"), ("relu", "bn3"), ("relu", "bn2"))


class BlockEnd(NamedTuple):
    """The end of a stage: the input of its last activation, and the norm of the branch before the sum.

    Attributes:
        stage: a module path `PATH:in`.
        norm: the path of the norm.
    """

    stage: str
    norm: str


def block_end(model: ModelInfo, stage: Stage) -> BlockEnd | None:
    """The end of a numbered stage; None if the stage does not end with a ReLU that is a module of the last block.

    Known are the networks of residual blocks with a ReLU after the sum: timm's and torchvision's ResNet, ResNeXt,
    SE-ResNet and RegNet.
    """
    if not isinstance(stage, int):
        return None
    for group in _GROUPS:
        path = group.format(stage)
        blocks = _module(model, path)
        names = [name for name, _ in blocks.named_children()] if blocks is not None else []
        if not names:
            continue
        block = f"{path}.{names[-1]}"
        for activation, norm in _ENDS:
            found = _module(model, f"{block}.{activation}")
            if isinstance(found, nn.ReLU) and _module(model, f"{block}.{norm}") is not None:
                return BlockEnd(f"{block}.{activation}:in", f"{block}.{norm}")
    return None


def before_activation(model: ModelInfo, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Each stage before its last ReLU, if it has one that is known; otherwise the stage itself.

    Maps of other networks, such as ConvNeXt, ViT and MobileNetV2, end with no activation. Module paths stay as they
    are.
    """
    ends = {stage: end.stage for stage in stages if (end := block_end(model, stage)) is not None}
    model.measure([*ends, *ends.values()])  # all of them in one pass

    def same(stage: Stage, inner: Stage) -> bool:
        ours, theirs = model.stage(stage), model.stage(inner)
        return (ours.channels, ours.grid) == (theirs.channels, theirs.grid)

    return tuple(ends[stage] if stage in ends and same(stage, ends[stage]) else stage for stage in stages)


def pairs_before_activation(
    pairs: Sequence[StagePair], student: ModelInfo, teacher: ModelInfo
) -> tuple[StagePair, ...]:
    """Pairs of stages, each before its last ReLU as `before_activation` says."""
    ours = before_activation(student, [pair.student for pair in pairs])
    theirs = before_activation(teacher, [pair.teacher for pair in pairs])
    return tuple(map(StagePair, ours, theirs))


def _module(model: ModelInfo, path: str) -> nn.Module | None:
    try:
        return model.module(path)
    except (UserError, ValueError):  # no such module, or a model that has none, such as a table of outputs
        return None
