"""What kd-prune uses of Torch-Pruning that is not documented; tests/test_compat.py notices its changes."""

from __future__ import annotations

import importlib
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kdcore import Problem, UserError
from kdcore.plugin import pip_install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def torch_pruning() -> Any:
    """The module `torch_pruning`, which has no types.

    Raises:
        UserError: it is not installed; the hint is the command that installs it.
    """
    try:
        return importlib.import_module("torch_pruning")
    except ModuleNotFoundError as error:
        if error.name != "torch_pruning":
            raise
        message = "to prune a student, kd needs the library Torch-Pruning, which is not installed"
        hint = pip_install("kd-prune", extra="torch-pruning")
        raise UserError(Problem("name", message, "prune", hint=hint)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of Torch-Pruning: of parameters outside of layers, which it removes from, as it should."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def all_groups(pruner: Any) -> list[Any]:
    """The groups of layers that share channels; each starts with the layer that gives the channels."""
    graph = pruner.DG
    found = list(
        graph.get_all_groups(ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types)
    )
    usable = []
    for group in found:
        attention, _ = pruner._is_atten_group(group)
        # a layer after the attention counts its channels once, and not for queries, keys and values
        usable.append(pruner._downstream_node_as_root_if_attention(group) if attention else group)
    return [group for group in usable if group is not None]


def blocks_of(pruner: Any, group: Any) -> int:
    """In how many blocks of one size the group's channels are, such as the heads of an attention; otherwise 1."""
    count: int = pruner._get_channel_groups(group)
    return count


def without_channels(pruner: Any, group: Any, indices: list[int]) -> Any:
    """The same group, to remove these channels of its first layer."""
    first = group[0].dep
    return pruner.DG.get_pruning_group(first.target.module, first.handler, indices)


def layer_of(group: Any) -> nn.Module:
    """The first layer of a group."""
    module: nn.Module = group[0].dep.target.module
    return module
