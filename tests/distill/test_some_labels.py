"""Batches of which only some samples have a label, against batches of those alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore import Distillation, Requires, UserError

TARGET = torch.tensor([2, -1, 0, -1, 1, -1])
LABELLED = TARGET >= 0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, images):
        return self.fc(self.conv(images).relu().mean((2, 3)))


class Everything(nn.Module):
    """A loss of all that a distiller may get, which needs the target only if it says so."""

    def __init__(self, **requires):
        super().__init__()
        self.requires = Requires(
            student_stages=("conv",), teacher_stages=("conv",), sample_index=True, **requires
        )
        self.head = nn.Conv2d(4, 4, 1)
        self.batches = []

    def forward(self, student, teacher, batch, progress):
        self.batches.append(batch)
        views = (student, *student.views[1:])
        losses = [
            F.mse_loss(self.head(one.features["conv"].map), teacher.features["conv"].map) for one in views
        ]
        weights = 1 + batch.index.float()
        gap = (student.logits - teacher.logits).square().mean(1) * weights
        truth = F.cross_entropy(student.logits, batch.target) if self.requires.target else 0.0
        pixels = batch.images.mean()
        return {"all": sum(losses) + gap.mean() + truth + pixels}


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return Net(), Net()


@pytest.fixture
def images():
    return torch.rand(6, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def built(nets, distiller, some_labels=True, **options):
    student, teacher = copy.deepcopy(nets)
    distiller = copy.deepcopy(distiller)
    found = Distillation(
        student,
        teacher,
        distiller,
        num_classes=3,
        image_size=8,
        train_size=6,
        some_labels=some_labels,
        **options,
    )
    return found.train()


def test_a_skipping_distiller_and_the_task_loss_see_the_labelled_alone(nets, images):
    distiller = Everything(target=True, unlabelled="skipped", views=2)
    whole, alone = built(nets, distiller), built(nets, distiller, some_labels=False)
    index = torch.arange(6)
    found = whole(images, TARGET, index=index)
    wanted = alone(images[LABELLED], TARGET[LABELLED], index=index[LABELLED])
    for name in ("loss", "task_loss"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name))
    torch.testing.assert_close(found.terms, wanted.terms)
    assert found.logits.shape == (6, 3)
    found.loss.backward()
    wanted.loss.backward()
    for one, other in zip(whole.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    (batch,) = whole.distillers[0].batches
    assert (batch.index.tolist(), batch.target.tolist()) == ([0, 2, 4], [2, 0, 1])
    assert batch.labelled.tolist() == [True] * 3


@pytest.mark.parametrize("requires", [{}, {"target": True, "unlabelled": "given"}])
def test_others_learn_from_all(nets, images, requires):
    distiller = Everything(**requires)
    if requires:  # it looks at `Batch.labelled` itself; here it only shows what it gets
        distiller.forward = lambda student, teacher, batch, progress: (
            distiller.batches.append(batch) or {"all": student.logits.mean()}
        )
        whole = built(nets, distiller)
        whole.distillers[0].batches = distiller.batches
    else:
        whole = built(nets, distiller)
    whole(images[:, 0], TARGET, index=torch.arange(6))
    (batch,) = whole.distillers[0].batches
    assert batch.target.tolist() == TARGET.tolist()
    assert batch.labelled.tolist() == LABELLED.tolist()


def test_a_batch_without_labels_gives_zeros(nets, images):
    whole = built(nets, Everything(target=True, unlabelled="skipped", views=2))
    found = whole(images, torch.full((6,), -1), index=torch.arange(6))
    assert (found.terms, found.task_loss.item(), found.loss.item()) == ({}, 0, 0)
    found.loss.backward()  # every parameter has a gradient: DDP waits for them
    assert all(one.grad is not None and one.grad.abs().max() == 0 for one in whole.parameters())


def test_soft_targets_mark_a_sample_without_a_label_by_a_row_of_minus_1(nets, images):
    soft = torch.eye(3)[TARGET.clamp(min=0)]
    soft[~LABELLED] = -1
    whole = built(nets, Everything())
    given = {"index": torch.arange(6)}
    torch.testing.assert_close(
        whole(images[:, 0], soft, **given).task_loss, whole(images[:, 0], TARGET, **given).task_loss
    )


@pytest.mark.parametrize("row", [-2, 3])
def test_other_targets_stay_wrong(nets, images, row):
    target = TARGET.clone()
    target[3] = row
    with pytest.raises(ValueError, match=rf"target\[3\] is {row}"):
        built(nets, Everything())(images[:, 0], target, index=torch.arange(6))
    with pytest.raises(ValueError, match=r"target\[1\] is -1.*some_labels=True\) allows"):
        built(nets, Everything(), some_labels=False)(images[:, 0], TARGET, index=torch.arange(6))


@pytest.mark.parametrize("requires", [{"target": True}, {"partner": "class"}])
def test_a_distiller_that_needs_every_label_is_refused(nets, requires):
    with pytest.raises(UserError) as caught:
        built(nets, [Everything(), Everything(**requires)], task_weight=1.0)
    (problem,) = caught.value.problems
    assert problem.message == (
        "distiller 'everything_2' needs the label of every training image, and only some have one"
    )
    works = problem.allowed.removeprefix("with these images work: ").split(", ")
    assert {"kd", "dist"} <= set(works)
    assert "norm" not in works
    with pytest.raises(ValueError, match="unlabelled is 'ignored'"):
        Requires(unlabelled="ignored")
