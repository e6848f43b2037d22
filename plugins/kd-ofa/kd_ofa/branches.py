"""The branches: from one stage's feature map to logits, for convolutional and for token students.

Source: Hao et al., NeurIPS 2023, and the authors' `distillers/ofa.py` and `distillers/utils.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from timm.layers import use_fused_attn
from torch import Tensor, nn
from torch.nn import functional as F

from kd_ofa.norm import WholeBatchNorm2d

if TYPE_CHECKING:
    from kdcore import FeatureMap


class SepConv(nn.Sequential):
    """Two depthwise-separable convolutions: `[B, C, H, W]` -> `[B, out_channels, ceil(H/2), ceil(W/2)]`.

    Only the first has stride 2.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            WholeBatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=1, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            WholeBatchNorm2d(out_channels),
            nn.ReLU(),
        )


class ConvBranch(nn.Module):
    """For convolutional students: halve the grid down to that of the deepest stage, average over it, classify.

    Each halving doubles the channels; the last one gives `width` channels. A stage that has the deepest grid
    gets a 1x1 convolution instead. Prefix tokens are not read.
    """

    def __init__(self, channels: int, halvings: int, width: int, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [] if halvings else [nn.Conv2d(channels, width, 1)]
        for step in range(1, halvings + 1):
            out_channels = width if step == halvings else 2 * channels
            layers.append(SepConv(channels, out_channels))
            channels = out_channels
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, feature: FeatureMap) -> Tensor:
        """Compute logits `[B, K]` from a feature map."""
        features: Tensor = self.layers(feature.map).mean(dim=(2, 3))
        logits: Tensor = self.classifier(features)
        return logits


class PatchMerging(nn.Module):
    """Four neighbouring patches become one: `[B, H, W, C]` -> `[B, ceil(H/2), ceil(W/2), width]`.

    An odd grid is padded with zeros below and to the right.
    """

    def __init__(self, channels: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, width, bias=False)
        self.activation = activation

    def forward(self, patches: Tensor) -> Tensor:
        """Patches on their grid -> a grid of half the side."""
        _, height, width, _ = patches.shape
        patches = F.pad(patches, (0, 0, 0, width % 2, 0, height % 2))
        # neighbours in the order of Swin's merging: down first, then right
        neighbours = [patches[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: Tensor = self.activation(self.reduction(self.norm(torch.cat(neighbours, dim=-1))))
        return merged


class Attention(nn.Module):
    """Self-attention over tokens `[B, L, D]`, without a bias on queries, keys and values.

    Like timm's, it calls torch's fused kernel unless `TIMM_FUSED_ATTN=0` is set.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fused = use_fused_attn()
        self.heads = math.gcd(4, width)  # the authors' 4, fewer for a width that 4 does not divide
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, L, D]` -> `[B, L, D]`."""
        heads = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        if self.fused:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
            attended = scores.softmax(dim=-1) @ value
        mixed: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return mixed


class TransformerBlock(nn.Module):
    """ViT's block: attention and an MLP of four times the width, each with a norm before it and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, L, D]` -> `[B, L, D]`."""
        tokens = tokens + self.attention(self.norm1(tokens))
        output: Tensor = tokens + self.mlp(self.norm2(tokens))
        return output


class TokenBranch(nn.Module):
    """For token students: merge patches, transformer blocks over all tokens, one vector, classify.

    The vector is the first prefix token (the class token if the student has one); without prefix tokens it is the
    average over the patches. Patches and prefix tokens are projected to `width` unless merging does that.
    """

    def __init__(
        self, channels: int, prefix_tokens: int, *, mergings: int, blocks: int, width: int, num_classes: int
    ) -> None:
        super().__init__()
        merging: list[nn.Module] = []
        if mergings == 0 and channels != width:
            merging.append(nn.Linear(channels, width))
        for step in range(mergings):
            last = step > 0 and step == mergings - 1  # a single merging has the activation too
            activation = nn.Identity() if last else nn.GELU()
            merging.append(PatchMerging(channels if step == 0 else width, width, activation))
        self.merging = nn.Sequential(*merging)
        self.prefix_tokens = prefix_tokens
        project = prefix_tokens > 0 and channels != width
        self.prefix = nn.Linear(channels, width) if project else nn.Identity()
        self.blocks = nn.Sequential(*(TransformerBlock(width) for _ in range(blocks)))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, feature: FeatureMap) -> Tensor:
        """Compute logits `[B, K]` from a feature map and its prefix tokens."""
        tokens: Tensor = self.merging(feature.map.permute(0, 2, 3, 1)).flatten(1, 2)
        if self.prefix_tokens:
            tokens = torch.cat([self.prefix(feature.prefix), tokens], dim=1)
        tokens = self.blocks(tokens)
        logits: Tensor = self.classifier(tokens[:, 0] if self.prefix_tokens else tokens.mean(dim=1))
        return logits


def init_weights(module: nn.Module) -> None:
    """The authors' initialisation, for `nn.Module.apply`; norms keep torch's initial values, 1 and 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
