from __future__ import annotations

import math

import pytest
import timm
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import CATKD, cat_kd_loss
from kd_feature.classifiers import is_mean, pools_last_map
from kd_feature.options.classifiers import CATKDOptions

from kdcore import AdaptedModel, FeatureMap, ModelOutput, Requires, UserError
from kdcore.inspect import find_adapter
from kdcore.plugin import get_plugins


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("grid", "other"), [((4, 4), (2, 2)), ((3, 5), (7, 7)), ((1, 1), (4, 4))])
def test_equals_the_authors_formula(oracle, draw, grid, other, normalize):
    student, teacher = draw(2, 3, *grid), draw(2, 3, *other, seed=1)

    def averaged(maps):
        found = [[oracle.flat(oracle.pooled(c, 2, 2)) for c in sample] for sample in maps.tolist()]
        return [[oracle.unit(c) for c in sample] for sample in found] if normalize else found

    expected = oracle.hint(averaged(student), averaged(teacher))
    found = cat_kd_loss(student, teacher, 2, normalize)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # averaged on one place: 2.5 and 0
    student = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    assert cat_kd_loss(student, torch.zeros(1, 1, 3, 3), resolution=1).item() == 6.25
    # the directions (3, 4) / 5 on both rows
    student = torch.tensor([3.0, 0.0, 4.0, 0.0]).view(1, 1, 2, 2)
    teacher = torch.tensor([0.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    expected = (0.36 + 1 + 0.64) / 4
    assert cat_kd_loss(student, teacher, normalize=True).item() == pytest.approx(expected)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_gradient_is_that_of_the_formula(draw, normalize):
    student, teacher = draw(2, 3, 3, 3).requires_grad_(), draw(2, 3, 5, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: cat_kd_loss(s, teacher, 2, normalize), (student,))


def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ValueError, match="element by element, so B and C must be equal"):
        cat_kd_loss(draw(2, 3, 4, 4), draw(2, 4, 4, 4))
    with pytest.raises(ValueError, match="resolution is 0"):
        cat_kd_loss(draw(2, 3, 4, 4), draw(2, 3, 4, 4), 0)


def test_the_maps_are_those_of_both_classifiers_without_bias():
    models = build_models(Pair())
    distiller = CATKD(CATKDOptions(weight=2.0), models.setup)
    assert distiller.requires == Requires(student_stages=(4,), teacher_stages=(4,), teacher_logits=False)
    student = ModelOutput(None, {4: FeatureMap(torch.randn(4, 20, 3, 3, requires_grad=True))})
    teacher = ModelOutput(None, {4: FeatureMap(torch.randn(4, 24, 5, 5))})
    term = distiller(student, teacher, None, None)["catkd"]
    cams = [
        torch.einsum("kc,bchw->bkhw", model.get_classifier().weight, output.features[4].map)
        for model, output in ((models.student, student), (models.teachers["teacher"], teacher))
    ]
    torch.testing.assert_close(term, 2 * cat_kd_loss(*cams))
    term.backward()
    weight = models.student.get_classifier().weight
    assert weight.grad.abs().sum() > 0  # the student's classifier is live
    assert models.teachers["teacher"].get_classifier().weight.grad is None
    assert not list(distiller.parameters())


@pytest.mark.parametrize("pair", [Pair("conv", "vit"), Pair("vit", "conv")], ids=str)
def test_a_classifier_of_a_class_token_is_refused(pair):
    with pytest.raises(UserError, match="linear in the mean of the last map, and those of vit_tiny"):
        CATKD(CATKDOptions(), build_models(pair).setup)


def _info(name, **options):
    model = timm.create_model(name, num_classes=3, **options)
    side = model.pretrained_cfg["input_size"][1] if "vit" in name else 64
    adapter = find_adapter(model, None, get_plugins(), "student")
    return AdaptedModel(model=model, adapter=adapter, image_size=(side, side)).info(3)


@pytest.mark.parametrize(
    ("name", "pooled"), [("test_resnet", True), ("test_convnext", False), ("test_vit", False)]
)
def test_whether_the_classifier_reads_the_means_of_the_last_map_is_found_numerically(name, pooled):
    assert pools_last_map(_info(name)) is pooled


def test_what_cannot_be_found_out_before_training_is_checked_in_the_first_step(draw, monkeypatch):
    models = build_models(Pair())
    monkeypatch.setattr(models.setup.student, "_make_tail", None)
    distiller = CATKD(CATKDOptions(), models.setup)
    assert distiller.requires.student_embedding
    features = torch.randn(4, 20, 3, 3).abs()
    teacher = ModelOutput(None, {4: FeatureMap(torch.randn(4, 24, 5, 5))})
    normed = torch.nn.functional.layer_norm(features.mean((2, 3)), (20,))
    with pytest.raises(UserError, match="its classifier reads something else"):
        distiller(ModelOutput(None, {4: FeatureMap(features)}, normed), teacher, None, None)
    distiller = CATKD(CATKDOptions(), models.setup)
    right = ModelOutput(None, {4: FeatureMap(features)}, features.mean((2, 3)))
    assert distiller(right, teacher, None, None)["catkd"].isfinite()
    assert not distiller.unchecked


def test_dropout_before_the_classifier_does_not_matter(draw):
    features = draw(8, 20, 3, 3).abs()
    means = features.mean((2, 3))
    dropped = means * (draw(8, 20, seed=2) > 0) / 0.5
    assert is_mean(features, means)
    assert is_mean(features, dropped)
    assert not is_mean(features, means + 0.1 * draw(8, 20, seed=3))
    assert not is_mean(features, means * torch.linspace(0.5, 1.5, 20))
    assert math.isfinite(float(is_mean(features * 0, means)))
