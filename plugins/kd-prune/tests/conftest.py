"""Small models of timm, and what a run gives to the transform."""

from __future__ import annotations

import pytest
import timm
import torch
from kd_prune.options import PruneOptions
from kd_prune.prune import Prune

from kdcore import RunSpec, TransformSetup

SIDE = 64
SMALL = {"channels": (16, 16, 32, 32), "stem_width": 16}


@pytest.fixture
def build():
    """A model of timm with initial weights, always the same."""

    def call(name="resnet10t", **options):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return timm.create_model(name, num_classes=5, **(SMALL if name == "resnet10t" else {}), **options)

    return call


@pytest.fixture
def setup_of():
    """The setup of a run with a model."""

    def call(name="resnet10t", *, seed=0, random_weights=False):
        return TransformSetup(
            model=name,
            num_classes=5,
            in_chans=3,
            image_size=(SIDE, SIDE),
            random_weights=random_weights,
            train=RunSpec.model_validate({"student": {"model": name}, "distiller": "vanilla"}).train,
            processes=1,
            generator=torch.Generator().manual_seed(seed),
            where="student.transform",
        )

    return call


@pytest.fixture
def prune(setup_of):
    """Prune a model with these options."""

    def call(model, *, seed=0, random_weights=False, **options):
        setup = setup_of(seed=seed, random_weights=random_weights)
        return Prune(PruneOptions(**options)).apply(model, setup)

    return call
