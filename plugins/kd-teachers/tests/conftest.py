"""Tiny models of other libraries in folders and files, and kd's own way to build them."""

from __future__ import annotations

import pytest

from kdcore.inspect import build_model
from kdcore.plugin import get_plugins
from kdcore.spec.models import ModelSpec, TeacherSpec

SIDE = 32
CLASSES = 10


@pytest.fixture
def make():
    """Build a model from its section of a spec."""

    def call(
        model, *, teacher=True, num_classes=CLASSES, in_chans=3, image_size=None, device="cpu", **options
    ):
        kind = TeacherSpec if teacher else ModelSpec
        return build_model(
            kind(model=model, options=options),
            num_classes=num_classes,
            in_chans=in_chans,
            image_size=image_size,
            plugins=get_plugins(),
            where="teacher" if teacher else "student",
            device=device,
            fallback_size=SIDE,
            keep_classifier=teacher,
        )

    return call


@pytest.fixture
def problem(make):
    """The only problem with a model."""
    from kdcore import UserError

    def call(*arguments, **keywords):
        with pytest.raises(UserError) as caught:
            make(*arguments, **keywords)
        (only,) = caught.value.problems
        return only

    return call
