"""Runs with several views of an image, and with partners of the same class."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import kdcore
from kdcore import Distillation, Requires, UserError
from kdcore.distill.gather import WholeBatch
from kdcore.protocols import Batch, ModelOutput

PLUGIN = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name=name, kind="logit", summary="S.", target=f"kd_views_code:{cls}",
                               options="kdcore:DistillerOptions")
                for name, cls in (("weak-strong", "WeakStrong"), ("three", "Three"), ("of-class", "OfClass"))]
"""
CODE = """
    from torch import nn
    from torch.nn import functional as F
    from kdcore import Requires
    SEEN = []
    class WeakStrong(nn.Module):
        "Both views follow the teacher's."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(views=("weak", "strong"))
        def forward(self, student, teacher, batch, progress):
            SEEN.append((student, teacher))
            return {"mse": sum(F.mse_loss(s.logits, t.logits) for s, t in zip(student.views, teacher.views))}
    class Three(WeakStrong):
        "Three views by the run's augmentation."
        def __init__(self, options, setup):
            super().__init__(options, setup)
            self.requires = Requires(views=3)
    class OfClass(nn.Module):
        "The logits of another sample of the class."
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(teacher=False, partner="class", target=True)
        def forward(self, student, teacher, batch, progress):
            SEEN.append((student, batch))
            return {"mse": F.mse_loss(student.logits, student.partner.logits)}
"""
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}, "fold": False}


@pytest.fixture
def seen(install):
    install("kd-views", PLUGIN, kd_views_code=CODE)
    import kd_views_code

    return kd_views_code.SEEN


def weights(result):
    return load_file(result.directory / "student" / "model.safetensors")


def same(one, other):
    first, second = weights(one), weights(other)
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_cache_holds_the_teachers_output_of_each_view(spec_file, seen):
    changes = {"teacher": TEACHER, "distiller": "weak-strong", "train": {"epochs": 1}}
    settings = {"augmentations": 1, "dtype": "float32", "folder": "shared"}
    live = kdcore.run(spec_file("live", **changes, task={"views": "sum"}), quiet=True)
    student, teacher = seen[0]
    assert len(student.views) == len(teacher.views) == 2
    assert student.logits is student.views[0].logits
    cached = spec_file("cached", **changes, task={"views": "sum"}, teacher_cache=settings)
    assert kdcore.cache_teacher(cached, quiet=True).computed == 40
    assert same(live, kdcore.run(cached, quiet=True))
    other = spec_file(
        "other", **changes, data={"views": [{"hflip": 0.0}, {"crop": "none"}]}, teacher_cache=settings
    )
    assert kdcore.cache_teacher(other, quiet=True).computed == 40, "other views, another cache"
    mean = kdcore.run(spec_file("mean", **changes), quiet=True)
    assert live.metrics[0]["task_loss"] > 1.5 * mean.metrics[0]["task_loss"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distiller": "three", "data": {"views": [{}, {}]}}, "needs 3 views, and there are recipes for 2"),
        (
            {"distiller": "vanilla", "data": {"views": [{}, {}]}},
            "no distiller of this run reads several views",
        ),
        ({"distiller": ["three", "weak-strong"], "task": {"weight": 1.0}}, "cannot both be given"),
        (
            {"distiller": "weak-strong", "data": {"views": [{}, {"auto_augment": "rnd-m9"}]}},
            r"data.views\[1\].auto_augment: there is no automatic augmentation",
        ),
        ({"distiller": "of-class", "data": {"mixup": 0.2}}, "a mixed image has several classes"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(spec_file, seen, changes, message):
    with pytest.raises(UserError, match=message):
        kdcore.validate(spec_file(teacher=TEACHER, **changes))


def test_partners_in_a_run_that_is_resumed(spec_file, seen):
    changes = {"distiller": "of-class", "data": {"workers": 0}}
    whole = kdcore.run(spec_file("whole", **changes), quiet=True)
    parts = spec_file("parts", **changes)
    kdcore.run(parts, quiet=True, until=1)
    assert same(whole, kdcore.run(parts, quiet=True))
    student, batch = seen[0]
    assert student.logits.requires_grad
    assert not student.partner.logits.requires_grad
    assert student.partner.logits.shape == (len(batch.target), 10)


class Pair(nn.Module):
    requires = Requires(teacher=False, partner="class")

    def forward(self, student, teacher, batch, progress):
        return {"mse": F.mse_loss(student.logits, student.partner.logits)}


def test_in_an_own_loop():
    torch.manual_seed(0)
    student = timm.create_model("resnet10t", channels=(4, 4, 8, 8), num_classes=5)
    distillation = Distillation(student, None, Pair(), num_classes=5, image_size=32, task_weight=1.0).eval()
    images, partner, target = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32), torch.arange(2)
    output = distillation(images, target, partner=partner)
    assert torch.allclose(output.terms["mse"], F.mse_loss(student(images), student(partner)))
    with pytest.raises(
        ValueError, match="partner is missing: distiller 'pair' needs another image of the class"
    ):
        distillation(images, target)
    with pytest.raises(
        ValueError, match=r"partner has the shape \[1, 3, 32, 32\]; allowed: \[2, 3, 32, 32\]"
    ):
        distillation(images, target, partner=partner[:1])


def test_a_distiller_over_the_whole_batch_gets_partners_if_it_requires_them():
    student = ModelOutput(torch.zeros(2, 3), partner=ModelOutput(torch.ones(2, 3)))
    batch = Batch(torch.zeros(2, 3, 4, 4), None)
    for wanted in ("class", None):
        given, _, _ = WholeBatch().for_distiller(Requires(partner=wanted), student, None, batch)
        assert (given.partner is not None) is (wanted is not None)
