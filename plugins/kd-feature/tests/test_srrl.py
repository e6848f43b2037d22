from __future__ import annotations

import math

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import SRRL, srrl_loss
from kd_feature.heads import conv_norm
from kd_feature.options.classifiers import SRRLOptions
from torch.nn import functional as F

from kdcore import FeatureMap, ModelOutput, UserError


@pytest.mark.parametrize(("grid", "other"), [((1, 1), (1, 1)), ((2, 3), (4, 4))])
def test_equals_the_papers_formula(oracle, draw, grid, other):
    student, teacher = draw(3, 4, *grid), draw(3, 4, *other, seed=1)
    crossed, logits = draw(3, 5, seed=2), draw(3, 5, seed=3)
    pooled = [
        [[oracle.mean(oracle.flat(channel)) for channel in sample] for sample in maps.tolist()]
        for maps in (student, teacher)
    ]
    expected = oracle.hint(*pooled) + 2.5 * oracle.hint(crossed.tolist(), logits.tolist())
    assert srrl_loss(student, teacher, crossed, logits, 2.5).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # the means 2 and 0: 4; the logits differ by 1 and 3: (1 + 9) / 2
    student = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    zeros = torch.zeros(1, 1, 2, 1)
    found = srrl_loss(student, zeros, torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2), beta=2.0)
    assert found.item() == 4 + 2 * 5


def test_the_gradient_is_that_of_the_formula_and_the_students_only(draw):
    given = [draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1).requires_grad_()]
    given += [draw(2, 4, seed=2).requires_grad_(), draw(2, 4, seed=3).requires_grad_()]
    assert torch.autograd.gradcheck(lambda s, x: srrl_loss(s, given[1], x, given[3]), (given[0], given[2]))
    srrl_loss(*given).backward()
    assert [one.grad is None for one in given] == [False, True, False, True]


def test_the_head_is_the_authors():
    with torch.device("meta"):
        assert sum(p.numel() for p in conv_norm(512, 512).parameters()) == 263_168
    torch.manual_seed(0)
    convolution = conv_norm(200, 100, from_fan_out=True)[0]
    assert convolution.bias is None
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.02)


def _step(distiller, models):
    images = torch.randn(4, 3, 32, 32)
    outputs = []
    for model in (models.student, models.teachers["teacher"]):
        with torch.no_grad():
            last = model.forward_features(images)
            embedding = model.forward_head(last, pre_logits=True)
        features = {4: FeatureMap(last)} if last.dim() == 4 else {}
        outputs.append(ModelOutput(model.get_classifier()(embedding), features, embedding))
    return distiller(*outputs, None, None)["srrl"], outputs


@pytest.mark.parametrize(("teacher", "on_map"), [("conv", True), ("vit", False)])
def test_the_students_features_go_through_the_teachers_classifier(teacher, on_map):
    models = build_models(Pair("conv", teacher))
    distiller = SRRL(SRRLOptions(weight=2.0, beta=3.0), models.setup)
    assert distiller.on_map == on_map
    assert distiller.requires.student_stages == ((4,) if on_map else ())
    term, (student, taught) = _step(distiller, models)
    ours = student.features[4].map if on_map else student.embedding[:, :, None, None]
    crossed = F.relu(distiller.connector(ours)).mean((2, 3))
    head = models.teachers["teacher"].get_classifier()
    expected = F.mse_loss(crossed, taught.embedding) + 3 * F.mse_loss(head(crossed), taught.logits)
    torch.testing.assert_close(term, 2 * expected)
    term.backward()
    assert all(p.grad is not None for p in distiller.parameters())
    assert not set(map(id, distiller.parameters())) & set(map(id, head.parameters()))
    assert all(p.grad is None for p in head.parameters())


def test_a_teacher_without_a_classifier_is_refused(make_setup):
    setup = make_setup("cnn", "wide")
    with pytest.raises(UserError, match="srrl reads the classifier, and wide has none"):
        SRRL(SRRLOptions(), setup)
