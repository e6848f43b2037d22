from __future__ import annotations

from importlib import import_module

import pytest
import torch

from kd_cifar_models.plugin import kd_models

ENTRIES = {entry.name: entry for entry in kd_models()}


@pytest.fixture(scope="session")
def entries():
    """What is declared, by name."""
    return ENTRIES


@pytest.fixture
def build():
    """Makes a network by its name."""

    def make(name, num_classes=10, in_chans=3, **options):
        module, _, function = ENTRIES[name].target.partition(":")
        return getattr(import_module(module), function)(num_classes, in_chans, **options)

    return make


@pytest.fixture
def images():
    """`[2, 3, 32, 32]`."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
