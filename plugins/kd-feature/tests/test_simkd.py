from __future__ import annotations

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import SimKD
from kd_feature.heads import bottleneck
from kd_feature.options.classifiers import SimKDOptions

from kdcore import Distillation, FeatureMap, ModelOutput


def test_the_projector_is_the_authors():
    with torch.device("meta"):
        projector = bottleneck(512, 256, 512, ends_with_relu=True)
    assert sum(p.numel() for p in projector.parameters()) == 854_016
    names = [type(layer).__name__ for layer in projector]
    assert names == ["Conv2d", "BatchNorm2d", "ReLU"] * 3
    assert [layer.kernel_size[0] for layer in projector[::3]] == [1, 3, 1]
    assert all(layer.bias is None for layer in projector[::3])


@pytest.mark.parametrize(("grid", "other"), [((3, 3), (3, 3)), ((4, 4), (2, 2)), ((2, 2), (4, 4))])
def test_the_larger_map_is_averaged_down(grid, other):
    models = build_models(Pair())
    distiller = SimKD(SimKDOptions(weight=3.0), models.setup)
    ours, theirs = torch.randn(4, 20, *grid), torch.randn(4, 24, *other)
    found = distiller(
        ModelOutput(None, {4: FeatureMap(ours)}), ModelOutput(None, {4: FeatureMap(theirs)}), None, None
    )
    smaller = min(grid, other)
    ours, theirs = (torch.nn.functional.adaptive_avg_pool2d(one, smaller) for one in (ours, theirs))
    expected = 3 * (distiller.projector(ours) - theirs).square().mean()
    torch.testing.assert_close(found["simkd"], expected)


def test_what_is_saved_predicts_with_the_teachers_classifier():
    models = build_models(Pair())
    distillation = Distillation(
        models.student, models.teachers["teacher"], "simkd", num_classes=5, image_size=32, factor=4
    )
    assert distillation.task_weight == 0
    (distiller,) = distillation.distillers
    images = torch.randn(2, 3, 32, 32)
    shipped = distillation.shipped.eval()
    with torch.no_grad():
        last = models.student.eval().forward_features(images)
        expected = models.teachers["teacher"].forward_head(distiller.projector.eval()(last))
        torch.testing.assert_close(shipped(images), expected)


def test_a_teacher_of_a_class_token_is_refused():
    with pytest.raises(ValueError, match="reads a class token"):
        SimKD(SimKDOptions(), build_models(Pair("conv", "vit")).setup)
    assert len(SimKD(SimKDOptions(activation="none"), build_models(Pair()).setup).projector) == 7
