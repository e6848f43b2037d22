from __future__ import annotations

import math

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import NORM, norm_loss
from kd_feature.norm import Expansion
from kd_feature.options.classifiers import NORMOptions
from torch.nn import functional as F

from kdcore import Batch, Distillation, FeatureMap, ModelOutput, UserError


@pytest.mark.parametrize("copies", [1, 3])
def test_equals_the_authors_formula(oracle, draw, copies):
    student, teacher = draw(2, 4 * copies, 2, 3), draw(2, 4, 2, 3, seed=1)
    repeated = [[c for _ in range(copies) for c in sample] for sample in teacher.tolist()]
    expected = copies * oracle.hint(student.tolist(), repeated)
    assert norm_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # two copies of 1: differences 1 and 2, mean of squares 2.5, times 2
    student, teacher = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1), torch.ones(1, 1, 1, 1)
    assert norm_loss(student, teacher).item() == 5


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 6, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: norm_loss(s, teacher), (student,))


@pytest.mark.parametrize("shape", [(2, 5, 2, 2), (2, 6, 3, 2), (2, 2, 2, 2)])
def test_what_does_not_fit_is_refused(draw, shape):
    with pytest.raises(ValueError, match="compares element by element N copies"):
        norm_loss(draw(*shape), draw(2, 3, 2, 2))


def test_the_expansion_is_linear_and_keeps_the_map():
    expansion = Expansion(4, 24).eval()
    assert [tuple(p.shape) for p in expansion.parameters() if p.dim() == 4] == [(24, 4, 1, 1), (4, 24, 1, 1)]
    x, y = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    middle = expansion((x + y) / 2)[1]
    torch.testing.assert_close(middle, (expansion(x)[1] + expansion(y)[1]) / 2)


def _normalised(logits, scale=2.5):
    deviation = (logits.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
    return scale * (logits - logits.mean(1, keepdim=True)) / deviation


def test_the_convolutions_start_as_the_authors():
    torch.manual_seed(0)
    expansion = Expansion(64, 512)
    assert expansion.expand[0].weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.03)
    assert expansion.contract[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.03)


def _outputs(grid=(3, 3), other=(3, 3)):
    return (
        ModelOutput(None, {4: FeatureMap(torch.randn(4, 20, *grid, requires_grad=True))}),
        ModelOutput(None, {4: FeatureMap(torch.randn(4, 24, *other))}),
    )


@pytest.mark.parametrize("soft", [False, True])
def test_both_terms(soft):
    models = build_models(Pair())
    distiller = NORM(NORMOptions(weight=2.0, copies=3, classes_weight=0.25), models.setup)
    student, teacher = _outputs()
    target = torch.randn(4, 5).softmax(1) if soft else torch.tensor([0, 3, 1, 4])
    terms = distiller(student, teacher, Batch(torch.zeros(4, 3, 2, 2), target), None)
    expanded, new = distiller.expansion(student.features[4].map)
    torch.testing.assert_close(terms["norm"], 2 * norm_loss(expanded, teacher.features[4].map))
    logits = models.student.get_classifier()(new.mean((2, 3)))
    expected = 0.5 * F.cross_entropy(_normalised(logits), target)
    torch.testing.assert_close(terms["classes"], expected)
    sum(terms.values()).backward()
    assert models.student.get_classifier().weight.grad is not None
    assert all(p.grad is not None for p in distiller.parameters())


def test_kd_on_the_normalised_logits_of_both_models():
    models = build_models(Pair())
    distiller = NORM(NORMOptions(weight=2.0, copies=2, kd_weight=0.7, kd_temperature=3.0), models.setup)
    assert distiller.requires.teacher_logits
    assert not NORM(NORMOptions(copies=1), models.setup).requires.teacher_logits
    student, teacher = _outputs()
    given = [
        ModelOutput(torch.zeros(4, 5), student.features),
        ModelOutput(torch.randn(4, 5, requires_grad=True), teacher.features),
    ]
    batch = Batch(torch.zeros(4, 3, 2, 2), torch.tensor([0, 3, 1, 4]))
    terms = distiller(*given, batch, None)
    assert list(terms) == ["norm", "classes", "kd"]
    _, new = distiller.expansion(student.features[4].map)
    ours, theirs = (
        _normalised(one.detach()) / 3
        for one in (models.student.get_classifier()(new.mean((2, 3))), given[1].logits)
    )
    expected = sum(
        p * (math.log(p) - q)
        for t, s in zip(theirs.softmax(1).tolist(), ours.log_softmax(1).tolist(), strict=True)
        for p, q in zip(t, s, strict=True)
    )
    assert terms["kd"].item() == pytest.approx(2 * 0.7 * 9 * expected / 4, rel=1e-4)
    terms["kd"].backward()
    assert given[1].logits.grad is None
    assert all(p.grad is not None for p in distiller.parameters())


@pytest.mark.parametrize(("ours", "theirs"), [((2, 2), (4, 4)), ((4, 4), (2, 2))])
def test_a_larger_map_is_reduced_by_its_maxima(ours, theirs):
    distiller = NORM(NORMOptions(copies=1), build_models(Pair()).setup).eval()
    student, teacher = _outputs(ours, theirs)
    batch = Batch(torch.zeros(4, 3, 2, 2), torch.zeros(4, dtype=torch.long))
    found = distiller(student, teacher, batch, None)["norm"]
    maps = [distiller.expansion(student.features[4].map)[0], teacher.features[4].map]
    maps = [F.max_pool2d(one, 2) if one.shape[2] == 4 else one for one in maps]
    torch.testing.assert_close(found, norm_loss(*maps))


def test_what_is_saved_has_the_expansion():
    models = build_models(Pair())
    distillation = Distillation(
        models.student, models.teachers["teacher"], "norm", num_classes=5, image_size=32, copies=2
    )
    assert distillation.task_weight == 0
    (distiller,) = distillation.distillers
    images = torch.randn(2, 3, 32, 32)
    shipped = distillation.shipped.eval()
    with torch.no_grad():
        last = models.student.eval().forward_features(images)
        new = distiller.expansion.eval()(last)[1]
        logits = models.student.get_classifier()(new.mean((2, 3)))
        torch.testing.assert_close(shipped(images), _normalised(logits))


def test_a_step_on_the_meta_device_reads_no_values():
    models = build_models(Pair())
    student, teacher = models.student.to("meta"), models.teachers["teacher"].to("meta")
    built = Distillation(student, teacher, "norm", num_classes=5, image_size=32, copies=2)
    built.trust_targets()
    target = torch.zeros(2, dtype=torch.long, device="meta")
    assert list(built(torch.empty(2, 3, 32, 32, device="meta"), target).terms) == ["norm", "classes"]


def test_a_student_whose_classifier_reads_something_else_is_refused(monkeypatch):
    with pytest.raises(UserError, match="does not read this mean"):
        NORM(NORMOptions(), build_models(Pair("vit", "conv")).setup)
    models = build_models(Pair())
    monkeypatch.setattr(models.setup.student, "_make_tail", None)
    distiller = NORM(NORMOptions(copies=1), models.setup)
    assert distiller.requires.student_embedding
    student, teacher = _outputs()
    wrong = ModelOutput(None, student.features, torch.randn(4, 20))
    with pytest.raises(UserError, match="does not read this mean"):
        distiller(wrong, teacher, Batch(torch.zeros(4, 3, 2, 2), torch.zeros(4, dtype=torch.long)), None)
