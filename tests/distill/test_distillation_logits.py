"""A distiller that reads the second classifier of a distilled student."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from kdcore import Distillation, Requires, UserError
from kdcore.distill.gather import WholeBatch
from kdcore.protocols import Batch, ModelOutput

DEIT = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 5}


class Second(nn.Module):
    """The distillation logits against the teacher's."""

    def __init__(self, **requires):
        super().__init__()
        self.requires = Requires(distillation_logits=True, **requires)

    def forward(self, student, teacher, batch, progress):
        views = student.views or (student,)
        theirs = teacher.views or (teacher,)
        pairs = zip(views, theirs, strict=True)
        return {"second": sum(F.mse_loss(one.distillation_logits, other.logits) for one, other in pairs)}


def deit():
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_distilled_patch16_224", **DEIT)


def net():
    torch.manual_seed(1)
    return timm.create_model("resnet10t", channels=(4, 4, 8, 8), num_classes=5)


def test_each_classifier_has_its_own_loss():
    student, teacher = deit(), net()
    distillation = Distillation(student, teacher, Second(), num_classes=5, image_size=32, task_weight=1.0)
    images, target = torch.randn(4, 3, 32, 32), torch.arange(4)
    output = distillation(images, target)
    first, second = student(images)
    assert torch.equal(output.logits, first)
    assert torch.equal(output.task_loss, F.cross_entropy(first, target))
    with torch.no_grad():
        expected = F.mse_loss(second, distillation.teacher(images))
    assert torch.allclose(output.terms["second"], expected)
    output.task_loss.backward(retain_graph=True)
    assert student.head.weight.grad.any()
    assert student.head_dist.weight.grad is None
    output.terms["second"].backward()
    assert student.head_dist.weight.grad.any()
    tokens = student.eval().forward_features(images)
    assert torch.equal(student(images), (student.head(tokens[:, 0]) + student.head_dist(tokens[:, 1])) / 2)


def test_views_and_half_precision():
    distillation = Distillation(deit(), net(), Second(views=2), num_classes=5, image_size=32, task_weight=1.0)
    images, target = torch.randn(4, 2, 3, 32, 32), torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16):
        output = distillation(images, target)
    assert output.terms["second"].dtype == torch.float32
    assert output.terms["second"].isfinite()


def test_a_student_with_one_classifier_is_refused():
    with pytest.raises(UserError) as caught:
        Distillation(net(), net(), Second(), num_classes=5, image_size=32, task_weight=1.0)
    (problem,) = caught.value.problems
    assert problem.where == "student"
    assert "distiller 'second' reads the logits of a second classifier" in problem.message
    assert "deit_tiny_distilled_patch16_224" in problem.hint


def test_without_such_a_distiller_the_student_gives_the_mean():
    class Plain(nn.Module):
        requires = Requires(teacher=False)

        def forward(self, student, teacher, batch, progress):
            assert student.distillation_logits is None
            return {"zero": 0 * student.logits.mean()}

    student = deit()
    distillation = Distillation(student, None, Plain(), num_classes=5, image_size=32, task_weight=1.0)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(distillation(images, torch.arange(2)).logits, student(images))


def test_a_distiller_over_the_whole_batch_gets_them_only_if_it_requires_them():
    student = ModelOutput(torch.zeros(2, 3), distillation_logits=torch.ones(2, 3))
    batch = Batch(torch.zeros(2, 3, 4, 4), None)
    for wanted in (True, False):
        given, _, _ = WholeBatch().for_distiller(Requires(distillation_logits=wanted), student, None, batch)
        assert (given.distillation_logits is not None) is wanted
