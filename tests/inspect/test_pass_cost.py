from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from kdcore.inspect import cost


def test_multiply_adds_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
    by_hand = 6 * 6 * 8 * 3 * 9 + 8 * 6 * 6 * 10
    assert cost(model, (1, 3, 6, 6)).macs == by_hand
    assert cost(model, (5, 3, 6, 6)).macs == 5 * by_hand


class Attention(nn.Module):
    def forward(self, images):
        tokens = images.flatten(2).transpose(1, 2).unsqueeze(1)  # [B, 1, N, C]
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_is_counted():
    assert cost(Attention(), (1, 8, 4, 4)).macs == 2 * 16 * 16 * 8


class Chain(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, images):
        kept = []
        for _ in range(4):
            images = images + 1
            kept.append(images if self.keep else None)
        return images


def test_memory_is_what_is_alive_at_once():
    size = 3 * 8 * 8 * 4
    assert cost(Chain(keep=False), (1, 3, 8, 8)).activation_bytes == 2 * size
    assert cost(Chain(keep=True), (1, 3, 8, 8)).activation_bytes == 4 * size
    assert cost(Chain(keep=True), (7, 3, 8, 8)).activation_bytes == 7 * 4 * size


def test_views_and_the_model_itself_take_nothing():
    assert cost(nn.Flatten(), (2, 3, 8, 8)).activation_bytes == 0


def test_a_model_that_looks_at_values_has_no_cost():
    class Curious(nn.Module):
        def forward(self, images):
            return images if images.sum().item() > 0 else -images

    assert cost(Curious(), (1, 3, 4, 4)) is None


def test_the_model_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout()).train()
    cost(model, (1, 3, 4, 4))
    assert model.training
    assert model[0].weight.device == torch.device("cpu")
