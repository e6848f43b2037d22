from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore import Requires
from kdcore.data.inputs import InputConfig
from kdcore.data.keyed_randomness import seed_sample
from kdcore.data.samples import varied
from kdcore.data.transforms import train_transform
from kdcore.data.views import ViewSteps, view_transform
from kdcore.spec.models import AugmentSpec, DataSpec

TAKEN = InputConfig((16, 16), (0.5,) * 3, (0.25,) * 3, "bilinear", 1.0)
WEAK = AugmentSpec(padding=2)
STRONG = AugmentSpec(padding=2, auto_augment="rand-m10-n2-p1-mstd101-inc1", random_erasing=1.0)
DATA = DataSpec(image_size=16, augment=WEAK)


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8))


def views(steps, image, count=2):
    seed_sample(1, 2, 3, 0, draws=steps.draws)
    return varied(steps.fixed(image), steps, count, 1, 2, 3)


def alone(recipe, image, view):
    steps = train_transform(DATA, TAKEN, recipe)
    seed_sample(1, 2, 3, view, draws=steps.draws)
    return steps.vary(steps.fixed(image))


def test_each_view_has_its_recipe(image):
    steps = view_transform(DATA, TAKEN, (WEAK, STRONG))
    assert isinstance(steps, ViewSteps)
    weak, strong = views(steps, image)
    assert torch.equal(weak, steps.normalise(alone(WEAK, image, 0))), "the same pixels as alone"
    assert torch.equal(strong, alone(STRONG, image, 1))
    assert not torch.equal(weak, strong)
    assert torch.equal(views(steps, image), torch.stack([weak, strong])), "the same draws again"
    pixels = np.asarray(steps.fixed(image))  # as images are kept in memory
    seed_sample(1, 2, 3, 0, draws=steps.draws)
    assert torch.equal(varied(pixels, steps, 2, 1, 2, 3), torch.stack([weak, strong]))


def test_crops_may_differ(image):
    recipes = (AugmentSpec(crop="none", hflip=0.0), AugmentSpec(crop="resized"), WEAK)
    found = views(view_transform(DATA, TAKEN, recipes), image, 3)
    assert found.shape == (3, 3, 16, 16)
    assert found.dtype == torch.uint8
    for view, recipe in enumerate(recipes):
        assert torch.equal(found[view], alone(recipe, image, view))


def test_equal_recipes_are_one(image):
    steps = view_transform(DATA, TAKEN, (WEAK, WEAK))
    assert not isinstance(steps, ViewSteps)
    assert torch.equal(views(steps, image)[1], alone(WEAK, image, 1))


def test_requirements():
    assert Requires(views=("weak", "strong")).num_views == 2
    assert Requires(views=["weak", {"hflip": 0.0}]).views == ("weak", {"hflip": 0.0})
    both = Requires(views=("weak", "strong")).union(Requires())
    assert both.views == ("weak", "strong")
    assert Requires(views=2).union(both).views == ("weak", "strong")
    assert Requires(views=3).union(Requires(views=2)).num_views == 3
    for one, other in ((3, ("weak", "strong")), (("weak", "weak"), ("weak", "strong"))):
        with pytest.raises(ValueError, match="cannot both be given"):
            Requires(views=one).union(Requires(views=other))


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (0, "must be 1 or more"),
        (("weak",), "two or more"),
        (("weak", "storng"), "a recipe is 'weak', 'strong' or a dict"),
    ],
)
def test_wrong_views(views, message):
    with pytest.raises(ValueError, match=message):
        Requires(views=views)


def test_a_wrong_partner():
    with pytest.raises(ValueError, match="partner is 'batch'; it must be 'class' or None"):
        Requires(partner="batch")
