"""The task losses with several labels an image, against torch, torchvision and slow formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from kdcore import Distillation, Requires, TaskLoss, UserError
from kdcore.tasks import pos_weights

TARGET = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])


@pytest.fixture
def logits():
    return 3 * torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_bce_equals_torchs(logits):
    weights, positive = torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.5, 1, 2, 8])
    own = TaskLoss(kind="bce", labels=True, class_weights=weights, pos_weight=positive)
    wanted = F.binary_cross_entropy_with_logits(
        logits, TARGET.double(), weights.double(), pos_weight=positive.double()
    )
    torch.testing.assert_close(own(logits, TARGET), wanted)


def test_smoothing_goes_to_one_half(logits):
    own = TaskLoss(kind="bce", labels=True, label_smoothing=0.2)
    smoothed = TARGET.double() * 0.8 + 0.1
    torch.testing.assert_close(own(logits, TARGET), F.binary_cross_entropy_with_logits(logits, smoothed))


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_equals_torchvisions(logits, gamma):
    own = TaskLoss(kind="focal", labels=True, gamma=gamma)
    wanted = sigmoid_focal_loss(logits, TARGET.double(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(own(logits, TARGET), wanted)


def test_focal_by_hand():
    # probabilities 0.8 and 0.1 of labels that the image has and has not: (1 - p) is 0.2 and 0.1
    logits = torch.tensor([[math.log(4), -math.log(9)]])
    found = TaskLoss(kind="focal", labels=True)(logits, torch.tensor([[1.0, 0.0]]))
    wanted = (0.04 * -math.log(0.8) + 0.01 * -math.log(0.9)) / 2
    assert found.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_large_logits_have_a_gradient(kind):
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = TaskLoss(kind=kind, labels=True)(logits, torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    torch.testing.assert_close(logits.grad, torch.tensor([[0.25, -0.25], [0.0, 0.0]]))


def test_samples_without_labels_are_left_out(logits):
    for kind in ("bce", "focal"):
        own = TaskLoss(kind=kind, labels=True)
        target = torch.cat([TARGET[:2], torch.full((1, 4), -1.0)])
        found = own.of_labelled(logits, target, torch.tensor([True, True, False]))
        torch.testing.assert_close(found, own(logits[:2], TARGET[:2]))


def test_cross_entropy_is_for_one_class():
    with pytest.raises(ValueError, match="several labels need 'bce' or 'focal'"):
        TaskLoss(labels=True)


def test_weights_of_labels():
    known = {"num_classes": 3, "classes": ("a", "b", "c"), "samples": torch.tensor([10, 10, 10])}
    balanced = pos_weights("balanced", counts=torch.tensor([5, 2, 10]), **known)
    assert balanced.tolist() == [1.0, 4.0, 0.0]
    assert pos_weights({"b": 2.0}, counts=None, **known).tolist() == [1.0, 2.0, 1.0]
    assert pos_weights([1, 2, 3], counts=None, **known).tolist() == [1.0, 2.0, 3.0]
    for given, counts, words in (
        ("balanced", torch.tensor([5, 0, 10]), "no training image has these labels.*: b"),
        ("balanced", None, "not known before training"),
        ({"d": 1.0}, None, "no class of this name"),
        ([1.0], None, "1 numbers for 3 classes"),
    ):
        with pytest.raises(UserError, match=f"(?s)task.pos_weight.*{words}"):
            pos_weights(given, counts=counts, **known)


def test_of_images_of_which_some_labels_are_known_only_these_count(logits):
    target = torch.tensor([[1.0, -1, 0, -1], [-1, -1, -1, -1], [1, 1, 0, 0]])
    known = target >= 0
    for kind in ("bce", "focal"):
        own = TaskLoss(kind=kind, labels=True, pos_weight=torch.tensor([0.5, 1, 2, 8]), label_smoothing=0.1)
        found = own.of_labelled(logits.requires_grad_(), target, known.any(dim=1))
        each = [
            TaskLoss(
                kind=kind, labels=True, pos_weight=own.pos_weight[column : column + 1], label_smoothing=0.1
            )(logits[row, column].reshape(1, 1), target[row, column].reshape(1, 1))
            for row, column in known.nonzero().tolist()
        ]
        torch.testing.assert_close(found, torch.stack(each).mean())
        (gradient,) = torch.autograd.grad(found, logits)
        assert bool((gradient[~known] == 0).all())
        assert bool((gradient[known] != 0).all())


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(12, 4)

    def forward(self, images):
        return self.fc(images.flatten(1))


def several(distillers="vanilla", teacher=None, **given):
    return Distillation(Tiny(), teacher, distillers, num_classes=4, image_size=2, task="labels", **given)


def test_a_loop_of_ones_own():
    images = torch.randn(3, 3, 2, 2)
    distillation = several()
    out = distillation(images, TARGET)
    wanted = F.binary_cross_entropy_with_logits(out.logits, TARGET)
    torch.testing.assert_close(out.loss, wanted)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 1, 2]), r"must be floating-point numbers \[B, K\] = \[3, 4\]"),
        (TARGET.long(), r"target is int64 of shape \[3, 4\]"),
        (TARGET[:2], r"\[B, K\] = \[3, 4\]"),
        (TARGET * 2, r"target\[0\] has the value 2; allowed: from 0 to 1"),
        (TARGET - 1, r"target\[0\] has the value -1"),
        (torch.full((3, 4), -1.0), r"needs Distillation\(some_labels=True\)"),
        (TARGET * float("nan"), r"target\[0\] has the value nan"),
    ],
)
def test_targets_that_are_not_labels(target, message):
    with pytest.raises(ValueError, match=message):
        several()(torch.randn(3, 3, 2, 2), target)


def test_rows_of_minus_one_with_some_labels():
    images = torch.randn(3, 3, 2, 2)
    out = several(some_labels=True)(images, torch.cat([TARGET[:2], torch.full((1, 4), -1.0)]))
    torch.testing.assert_close(out.loss, F.binary_cross_entropy_with_logits(out.logits[:2], TARGET[:2]))


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="task is 'labels', and task_loss has labels=False"):
        several(task_loss=TaskLoss(kind="bce"))


class ReadsTarget(torch.nn.Module):
    def __init__(self, unlabelled):
        super().__init__()
        self.requires = Requires(teacher=False, target=True, unlabelled=unlabelled, tasks=("labels",))

    def forward(self, student, teacher, batch, progress):
        known = batch.target >= 0
        return {"own": (batch.target * known).sum() / known.sum() + 0 * student.logits.sum()}


def test_a_distiller_that_reads_labels_has_to_know_of_unknown_ones():
    target = torch.tensor([[1.0, -1, 0, 0], [-1, -1, -1, -1]])
    made = several(ReadsTarget("given"), partly_labelled=True, task_weight=1.0)
    out = made(torch.randn(2, 3, 2, 2), target)
    assert out.terms["own"].item() == pytest.approx(1 / 3)
    for unlabelled in ("skipped", None):
        with pytest.raises(
            UserError, match="needs all labels of a training image, and of some images only some"
        ):
            several(ReadsTarget(unlabelled), partly_labelled=True, task_weight=1.0)
    plain = several(ReadsTarget("given"), some_labels=True, task_weight=1.0)
    with pytest.raises(ValueError, match=r"target\[0\] has the value -1.*partly_labelled=True"):
        plain(torch.randn(2, 3, 2, 2), target)
    with pytest.raises(ValueError, match="partly_labelled is for several labels"):
        Distillation(Tiny(), None, "vanilla", num_classes=4, image_size=2, partly_labelled=True)
