"""Projections that several methods have."""

from __future__ import annotations

from torch import nn


def small_linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer whose weight starts as a truncated normal with deviation 0.02, and its bias with 0."""
    layer = nn.Linear(in_features, out_features)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def normed_linear(in_features: int, out_features: int) -> nn.Sequential:
    """Layer norm and a linear layer."""
    return nn.Sequential(nn.LayerNorm(in_features), nn.Linear(in_features, out_features))
