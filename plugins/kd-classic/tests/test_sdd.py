from __future__ import annotations

import pytest
import timm
import torch
from kd_classic import dkd_loss, kd_loss, sdd_dkd_loss, sdd_kd_loss
from kd_classic.sdd import _region_logits
from kd_dev.testing.values import numbers
from torch import nn

from kdcore import Distillation, Progress, UserError

Rows = list[list[float]]
DKD = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}


def regions(samples: int, classes: int, cells: int, seed: int = 0) -> torch.Tensor:
    return numbers(samples, classes, cells, seed=seed, scale=2.0)


def slow(oracle, student, teacher, target, cell_loss) -> float:
    """The mean over samples and regions of weight * loss."""
    losses = []
    for ours, theirs, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        columns = [list(column) for column in zip(*theirs, strict=True)]
        right = [column.index(max(column)) == y for column in columns]
        for cell, own in enumerate(zip(*ours, strict=True)):
            weight = 2.0 if right[cell] != right[0] else 1.0
            losses.append(weight * cell_loss([list(own)], [columns[cell]], [y]))
    return oracle.mean(losses)


@pytest.mark.parametrize(("samples", "classes", "cells"), [(1, 2, 1), (4, 3, 5), (6, 4, 21)])
def test_equals_the_authors_formula(oracle, samples, classes, cells):
    student, teacher = regions(samples, classes, cells), regions(samples, classes, cells, seed=1)
    target = torch.arange(samples) % classes
    kd = slow(oracle, student, teacher, target, lambda a, b, y: oracle.kd(a, b, temperature=4.0))
    assert sdd_kd_loss(student, teacher, target, temperature=4.0).item() == pytest.approx(kd, rel=1e-9)
    dkd = slow(oracle, student, teacher, target, lambda a, b, y: oracle.dkd(a, b, y, **DKD))
    assert sdd_dkd_loss(student, teacher, target, **DKD).item() == pytest.approx(dkd, rel=1e-9)


def test_the_weights_occur_here():
    teacher, target = regions(4, 3, 5, seed=1), torch.arange(4) % 3
    right = teacher.argmax(1) == target.unsqueeze(1)
    assert {True, False} <= set((right != right[:, :1])[:, 1:].flatten().tolist())


def test_one_region_is_the_plain_loss(draw):
    student, teacher, target = draw(4, 6)
    torch.testing.assert_close(
        sdd_kd_loss(student[..., None], teacher[..., None], target, temperature=2.0),
        kd_loss(student, teacher, temperature=2.0),
    )
    torch.testing.assert_close(
        sdd_dkd_loss(student[..., None], teacher[..., None], target, **DKD),
        dkd_loss(student, teacher, target, **DKD),
    )


def test_the_gradients_are_those_of_the_formulas():
    student, teacher = regions(2, 3, 2).requires_grad_(), regions(2, 3, 2, seed=1).requires_grad_()
    target = torch.arange(2)
    fixed = teacher.detach()
    assert torch.autograd.gradcheck(lambda s: sdd_kd_loss(s, fixed, target, temperature=4.0), (student,))
    assert torch.autograd.gradcheck(lambda s: sdd_dkd_loss(s, fixed, target, **DKD), (student,))
    sdd_dkd_loss(student, teacher, target, **DKD).backward()
    assert teacher.grad is None


def test_of_a_soft_target_the_most_probable_class_counts():
    student, teacher, target = regions(3, 4, 5), regions(3, 4, 5, seed=1), torch.tensor([3, 0, 1])
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    torch.testing.assert_close(
        sdd_kd_loss(student, teacher, soft, temperature=4.0),
        sdd_kd_loss(student, teacher, target, temperature=4.0),
    )


def test_a_certain_row_is_finite_and_not_replaced():
    # the authors' code takes the logarithm of a softmax, and replaces what is not finite by a constant 0
    student = torch.zeros(1, 3, 5)
    student[0, 0, 2] = 1e4
    teacher = torch.zeros(1, 3, 5)
    loss = sdd_kd_loss(student, teacher, torch.tensor([0]), temperature=1.0)
    assert loss.item() == pytest.approx(2 / 3 * 1e4 / 5, rel=1e-3)
    assert sdd_dkd_loss(student, teacher, torch.tensor([0]), **DKD).isfinite()


@pytest.mark.parametrize("which", [0, 1])
def test_shapes_that_do_not_fit_are_refused(which):
    args = [regions(3, 4, 5), regions(3, 4, 5)]
    args[which] = args[which][..., 0]
    with pytest.raises(ValueError, match=r"must be \[B, K, N\]"):
        sdd_kd_loss(*args, torch.arange(3), temperature=4.0)
    args[which] = regions(3, 4, 6)
    with pytest.raises(ValueError, match="must score the same regions"):
        sdd_kd_loss(*args, torch.arange(3), temperature=4.0)


TINY = {"channels": (4, 4, 8, 8), "stem_width": 8, "num_classes": 3}


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    """A student with dropout in front of its classifier, and a teacher."""
    torch.manual_seed(0)
    return timm.create_model("resnet10t", drop_rate=0.5, **TINY), timm.create_model("resnet10t", **TINY)


def distillation(student: nn.Module, teacher: nn.Module, **options) -> Distillation:
    return Distillation(student, teacher, "sdd", num_classes=3, image_size=64, **options)


def cells(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The logits of the image and of its four quarters, in plain steps."""
    features = model.forward_features(images)
    half = features.shape[-1] // 2
    quarters = [features[..., i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
    return torch.stack([model.fc(part.mean((2, 3))) for part in (features, *quarters)], dim=2)


@pytest.mark.parametrize("form", ["kd", "dkd"])
def test_the_distiller_reads_the_quarters_of_the_image(pair, form):
    student, teacher = pair
    options = {"weight": 0.5, "temperature": 2.0, "form": form}
    made = distillation(student, teacher, **options)
    student.eval()  # batch norm as in the plain steps
    images, target = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    term = made(images, target, progress=Progress(1.5, 3, 10, 5)).terms["sdd"]
    of_student, of_teacher = cells(student, images), cells(teacher, images)
    if form == "kd":
        expected = 0.5 * sdd_kd_loss(of_student, of_teacher, target, temperature=2.0)
    else:  # the second of 20 epochs of the warm-up
        expected = 0.05 * sdd_dkd_loss(of_student, of_teacher, target, alpha=1.0, beta=8.0, temperature=2.0)
    torch.testing.assert_close(term, expected, rtol=1e-4, atol=1e-6)
    term.backward()
    assert student.fc.weight.grad.abs().sum() > 0
    assert teacher.fc.weight.grad is None
    student.train().zero_grad()


def test_regions_of_a_map_whose_side_is_no_multiple_of_four():
    """Cells of 7 positions: 0-1, 1-3, 3-5, 5-6. The weights of rows and columns by hand."""
    rows = {
        "whole": [1 / 8, 5 / 24, 1 / 12, 1 / 6, 1 / 12, 5 / 24, 1 / 8],
        "half": [1 / 4, 5 / 12, 1 / 6, 1 / 6, 0, 0, 0],
        "quarter": [0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0],
    }
    features = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classifier = nn.Linear(3, 5).double()
    regions = _region_logits(features, classifier, (1, 2, 4, 3))

    def logits(row, column):
        weights = torch.outer(torch.tensor(rows[row]), torch.tensor(rows[column])).double()
        return classifier((features * weights).sum((2, 3)))

    assert regions.shape == (2, 5, 1 + 4 + 16 + 9)
    torch.testing.assert_close(regions[..., 0], logits("whole", "whole"))
    torch.testing.assert_close(regions[..., 1], logits("half", "half"))
    torch.testing.assert_close(regions[..., 5 + 1], logits_of(features, classifier, (0, 2), (1, 4)))
    torch.testing.assert_close(regions[..., 5 + 4 * 1 + 1], logits("quarter", "quarter"))
    torch.testing.assert_close(regions[..., 21], logits_of(features, classifier, (0, 3), (0, 3)))


def logits_of(features, classifier, rows, columns):
    """The logits of a rectangle of a map."""
    return classifier(features[..., slice(*rows), slice(*columns)].mean((2, 3)))


def test_building_leaves_the_student_as_it_is(pair):
    student, teacher = pair
    student.train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    distillation(student, teacher)
    assert all(module.training for module in student.modules())
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "convnext_atto",
            {"dims": (4, 4, 8, 8), "depths": (1, 1, 1, 1)},
            "other layers between stage 4 and the classifier",
        ),
        ("vgg11", {}, "classifier reads 4096 features"),
        (
            "vit_tiny_patch16_224",
            {"img_size": 64, "depth": 4, "embed_dim": 12, "num_heads": 3},
            "a class token",
        ),
    ],
)
def test_a_model_with_other_layers_in_front_of_its_classifier_is_refused(pair, name, options, message):
    with torch.device("meta") if name == "vgg11" else torch.device("cpu"):
        other = timm.create_model(name, num_classes=3, **options)
    for norm in other.modules():
        if isinstance(norm, nn.LayerNorm):  # as after some training
            nn.init.normal_(norm.weight, 1.0, 0.2)
    with pytest.raises(UserError, match=message):
        distillation(other, pair[1])


def test_a_teacher_of_other_classes_is_refused(pair):
    with pytest.raises(UserError, match="has 4 classes, and the data 3"):
        distillation(pair[0], timm.create_model("resnet10t", **{**TINY, "num_classes": 4}))
