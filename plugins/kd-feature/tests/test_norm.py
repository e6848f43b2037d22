from __future__ import annotations

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
    scaled = (logits - logits.mean(1, keepdim=True)) / (
        logits.var(1, keepdim=True, correction=0) + 1e-7
    ).sqrt()
    expected = 0.5 * F.cross_entropy(2.5 * scaled, target)
    torch.testing.assert_close(terms["classes"], expected)
    sum(terms.values()).backward()
    assert models.student.get_classifier().weight.grad is not None
    assert all(p.grad is not None for p in distiller.parameters())


def test_a_larger_map_of_the_teacher_is_reduced_by_its_maxima():
    distiller = NORM(NORMOptions(copies=1), build_models(Pair()).setup).eval()
    student, teacher = _outputs((2, 2), (4, 4))
    batch = Batch(torch.zeros(4, 3, 2, 2), torch.zeros(4, dtype=torch.long))
    found = distiller(student, teacher, batch, None)["norm"]
    reduced = F.max_pool2d(teacher.features[4].map, 2)
    torch.testing.assert_close(found, norm_loss(distiller.expansion(student.features[4].map)[0], reduced))
    assert distiller(*_outputs((4, 4), (2, 2)), batch, None)["norm"].isfinite()


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
        torch.testing.assert_close(shipped(images), models.student.get_classifier()(new.mean((2, 3))))


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
