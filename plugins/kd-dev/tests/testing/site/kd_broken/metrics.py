"""Metrics that break one rule each."""

from __future__ import annotations

import torch

calls = [0]


def good(probabilities, targets):
    if targets.dim() == 2:
        return ((probabilities > 0.5) == (targets > 0.5)).float().mean()
    return (probabilities.argmax(1) == targets).float().mean().item()


def one_argument(probabilities):
    return 1.0


def infinite(probabilities, targets):
    return float("inf")


def text(probabilities, targets):
    return "good"


def deviation(probabilities, targets):
    if len(targets) < 2:
        raise ValueError("at least two samples are needed")
    return probabilities.std().item()


def first(probabilities, targets):
    return probabilities[0, 0].item()


def in_place(probabilities, targets):
    value = good(probabilities, targets)
    probabilities.sub_(1.0)
    return value


def counts(probabilities, targets):
    calls[0] += 1
    return good(probabilities, targets) + calls[0] * 1e-9


def vector(probabilities, targets):
    return torch.zeros(3)
