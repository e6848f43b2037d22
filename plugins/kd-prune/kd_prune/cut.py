"""Remove channels from a copy of a model, with the dependency graph and the scores of Torch-Pruning."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kd_prune.choose import Layer, counts
from kd_prune.compat import all_groups, blocks_of, layer_of, torch_pruning, without_channels
from kd_prune.layers import classifiers, heads_of, kept_layers, set_widths
from kd_prune.record import fill_with_places
from kdcore import Problem, UserError

if TYPE_CHECKING:
    from kd_prune.options import PruneOptions


@dataclass(frozen=True)
class Cut:
    """A pruned copy of a model, and what was removed, in the words of Torch-Pruning."""

    model: nn.Module
    history: list[Any]


def cut(model: nn.Module, images: Tensor, options: PruneOptions, share: float) -> Cut:
    """Remove a share of the channels from a copy of a model.

    Args:
        model: in evaluation mode.
        images: of the model's size, `[B, C, H, W]`; their values make no difference.
        options: how.
        share: the share of channels that is removed.

    Raises:
        UserError: the options do not fit the model.
        Exception: Torch-Pruning cannot follow the model.
    """
    tp = torch_pruning()
    pruned = copy.deepcopy(model)
    names = {module: name for name, module in pruned.named_modules()}
    kept = [*classifiers(pruned, images), *kept_layers(pruned, options.keep)]
    importance = _importance(tp, options.importance)
    pruner = tp.pruner.BasePruner(
        pruned,
        images,
        importance=importance,
        ignored_layers=kept,
        num_heads=dict(heads_of(pruned)),
        in_channel_groups={},
        out_channel_groups={},
    )
    layers = []
    for group in all_groups(pruner):
        scores = importance(group)
        if scores is None:
            continue
        blocks = blocks_of(pruner, group)
        mean = scores.detach().float().reshape(blocks, -1).mean(0)
        layers.append(Layer(names[layer_of(group)], group, blocks, mean))
    if not layers:
        raise UserError(_nothing(options))
    lost = counts(layers, options, share)
    with torch.no_grad():
        for layer, count in zip(layers, lost, strict=True):
            if count:
                without_channels(pruner, layer.group, layer.removed(count)).prune()
    set_widths(model, pruned, images)
    return Cut(pruned, pruner.pruning_history())


def places(model: nn.Module, images: Tensor, history: list[Any]) -> nn.Module:
    """A copy of a model from which the same is removed, where each value is its index in the flat tensor before."""
    tp = torch_pruning()
    twin = copy.deepcopy(model)
    graph = tp.DependencyGraph().build_dependency(twin, example_inputs=images)
    fill_with_places(twin)
    with torch.no_grad():
        graph.load_pruning_history(history)
    return twin


def _importance(tp: Any, name: str) -> Any:
    kinds = {
        "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2),
        "bn-scale": tp.importance.BNScaleImportance,
        "lamp": tp.importance.LAMPImportance,
        "random": tp.importance.RandomImportance,
    }
    return kinds[name]()


def _nothing(options: PruneOptions) -> Problem:
    if options.importance == "bn-scale":
        message = "no layer that can lose channels has a batch norm, whose scale could be compared"
        return Problem("importance", message, options.importance, "magnitude, lamp, random")
    hint = "remove some of the paths in 'keep'" if options.keep else None
    return Problem("", "this model has no layer that can lose channels", hint=hint)
