"""What kd-prune relies on in Torch-Pruning."""

from __future__ import annotations

import inspect

import pytest

tp = pytest.importorskip("torch_pruning", reason="needs kd-prune[torch-pruning]")


def test_the_parts_of_the_pruner_are_there():
    pruner = tp.pruner.BasePruner
    for name in ("_is_atten_group", "_downstream_node_as_root_if_attention", "_get_channel_groups"):
        assert list(inspect.signature(getattr(pruner, name)).parameters) == ["self", "group"]
    graph = tp.DependencyGraph
    assert {"ignored_layers", "root_module_types"} <= set(inspect.signature(graph.get_all_groups).parameters)
    assert list(inspect.signature(graph.load_pruning_history).parameters) == ["self", "pruning_history"]
