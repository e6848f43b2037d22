"""The task losses, against timm, torch and slow formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from timm.loss import BinaryCrossEntropy

from kdcore import Distillation, TaskLoss, UserError
from kdcore.tasks import balanced_weights, class_weights


@pytest.fixture
def logits():
    return 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def mixed():
    target = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return target / target.sum(1, keepdim=True)


TARGET = torch.tensor([0, 3, 1, 1, 2, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_bce_equals_timms(logits, mixed, smoothing, threshold):
    own = TaskLoss(kind="bce", label_smoothing=smoothing, threshold=threshold)
    timms = BinaryCrossEntropy(smoothing=smoothing, target_threshold=threshold)
    torch.testing.assert_close(own(logits, TARGET), timms(logits, TARGET))
    if smoothing == 0:  # timm does not smooth probabilities
        torch.testing.assert_close(own(logits, mixed), timms(logits, mixed))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_torchs(logits, mixed, smoothing):
    weights = torch.tensor([0.5, 2.0, 1.0, 3.0])
    for target in (TARGET, mixed):
        for given in (None, weights):
            own = TaskLoss(label_smoothing=smoothing, class_weights=given)
            wide = None if given is None else given.double()
            expected = F.cross_entropy(logits, target, wide, label_smoothing=smoothing)
            torch.testing.assert_close(own(logits, target), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_equals_a_slow_formula(logits, mixed, gamma, smoothing):
    weights = [0.5, 2.0, 1.0, 3.0]
    own = TaskLoss(kind="focal", gamma=gamma, label_smoothing=smoothing, class_weights=torch.tensor(weights))
    for target in (TARGET, mixed):
        slow = 0.0
        for row, wanted in zip(logits.tolist(), target.tolist(), strict=True):
            total = sum(math.exp(value) for value in row)
            for index, value in enumerate(row):
                share = float(index == wanted) if isinstance(wanted, int) else wanted[index]
                share = share * (1 - smoothing) + smoothing / 4
                p = math.exp(value) / total
                slow -= weights[index] * share * (1 - p) ** gamma * math.log(p) / 6
        assert own(logits, target).item() == pytest.approx(slow, rel=1e-6)


def test_focal_by_hand():
    # p of the target 0.8: (1 - 0.8)^2 * -log 0.8
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]])
    found = TaskLoss(kind="focal")(logits, torch.tensor([0]))
    assert found.item() == pytest.approx(0.04 * -math.log(0.8), rel=1e-5)
    zero = TaskLoss(kind="focal", gamma=0.0)(logits, torch.tensor([1]))
    assert zero.item() == pytest.approx(-math.log(0.2), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "focal"])
def test_large_logits_are_finite_with_a_gradient(kind):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    loss = TaskLoss(kind=kind, class_weights=torch.ones(3))(logits, torch.tensor([1, 1]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "focal"])
def test_narrow_types_are_computed_in_float32(kind):
    logits = torch.randn(5, 3)
    loss = TaskLoss(kind=kind, class_weights=torch.tensor([1.0, 2.0, 0.5]))
    expected = loss(logits.bfloat16().float(), torch.tensor([0, 1, 2, 0, 1]))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(logits.bfloat16(), torch.tensor([0, 1, 2, 0, 1]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_balanced_weights_are_scikit_learns():
    labels = torch.tensor([0, 0, 0, 1, 2, 2, -1])
    assert balanced_weights(labels, 3).tolist() == pytest.approx([6 / 9, 6 / 3, 6 / 6])
    weight = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    known = labels[:-1].numpy()
    expected = weight("balanced", classes=known.__class__([3], int) * 0 + [0, 1, 2], y=known)
    assert balanced_weights(labels, 3).tolist() == pytest.approx(list(expected))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([1.0, 2.0], {}, "there are 2 numbers for 3 classes"),
        ({"cat": 2.0}, {"classes": None}, "names of this data's classes are not known"),
        ({"cats": 2.0}, {}, "the data has no class of this name"),
        ("balanced", {"labels": None}, "not known before training"),
        ("balanced", {"labels": torch.tensor([0, 0, 2])}, "no balanced weight: dog"),
    ],
)
def test_weights_that_do_not_fit(given, options, message):
    about = {"num_classes": 3, "classes": ("cat", "dog", "eel"), "labels": torch.tensor([0, 1, 2])}
    with pytest.raises(UserError) as caught:
        class_weights(given, **{**about, **options})
    assert message in str(caught.value.problems[0])
    assert caught.value.problems[0].where.startswith("task.class_weights")


def test_weights_by_name_and_by_number():
    about = {"num_classes": 3, "classes": ("cat", "dog", "eel"), "labels": None}
    assert class_weights({"dog": 0.5}, **about).tolist() == [1.0, 0.5, 1.0]
    assert class_weights([1, 2, 3], **about).tolist() == [1.0, 2.0, 3.0]


def test_an_own_loop_takes_a_task_loss():
    student = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
    loss = TaskLoss(kind="bce", label_smoothing=0.1)
    d = Distillation(student, None, "vanilla", num_classes=4, image_size=8, task_loss=loss, task_weight=2.0)
    images, target = torch.randn(6, 3, 8, 8), TARGET
    torch.testing.assert_close(d(images, target).loss, 2 * loss(student(images), target))
    with pytest.raises(ValueError, match="label_smoothing of its own"):
        Distillation(
            student, None, "vanilla", num_classes=4, image_size=8, task_loss=loss, label_smoothing=0.1
        )


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0, 3.0]])
def test_the_loss_of_the_labelled_is_that_of_a_batch_of_them(logits, mixed, kind, smoothing, weights):
    given = None if weights is None else torch.tensor(weights)
    loss = TaskLoss(kind=kind, label_smoothing=smoothing, class_weights=given)
    labelled = torch.tensor([True, False, True, False, False, True])
    for target in (TARGET, mixed):
        hidden = target.clone()
        hidden[~labelled] = -1
        own = logits.clone().requires_grad_()
        found = loss.of_labelled(own, hidden, labelled)
        torch.testing.assert_close(found, loss(logits[labelled], target[labelled]))
        found.backward()
        assert own.grad[~labelled].abs().max() == 0
        alone = logits[labelled].clone().requires_grad_()
        loss(alone, target[labelled]).backward()
        torch.testing.assert_close(own.grad[labelled], alone.grad)


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "focal"])
def test_a_batch_without_labels_has_the_loss_0(logits, kind):
    own = logits.requires_grad_()
    loss = TaskLoss(kind=kind, class_weights=torch.ones(4)).of_labelled(
        own, torch.full((6,), -1), torch.zeros(6, dtype=torch.bool)
    )
    assert loss.item() == 0
    loss.backward()
    assert own.grad.abs().max() == 0


def test_a_batch_whose_classes_have_the_weight_0_has_no_loss_and_no_gradient():
    logits = torch.randn(3, 4, requires_grad=True)
    loss = TaskLoss(class_weights=torch.tensor([0.0, 1, 1, 1]))(logits, torch.tensor([0, 0, 0]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 4))
