"""The task's loss over several processes is that of the whole batch, also where its mean is weighted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kdcore.distill import some_labels
from kdcore.distill.loss_terms import TaskTerm
from kdcore.distill.some_labels import Labelled
from kdcore.protocols import ModelOutput
from kdcore.tasks import TaskLoss

WEIGHTS = torch.tensor([0.6, 10.0])
TARGET = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1])
SOME = torch.tensor([0, -1, -1, 0, 1, 1, -1, 1])


@pytest.mark.parametrize("target", [TARGET, SOME])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_two_processes_have_the_weighted_mean_and_gradient_of_the_whole_batch(monkeypatch, target, smoothing):
    term = TaskTerm(2.0, TaskLoss(class_weights=WEIGHTS, label_smoothing=smoothing), "mean")
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    whole, parts = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    known = target >= 0
    loss = 2 * F.cross_entropy(whole[known], target[known], WEIGHTS, label_smoothing=smoothing)
    loss.backward()
    monkeypatch.setattr(some_labels, "world_size", lambda: 2)
    halves = (slice(0, 4), slice(4, 8))
    # what the two processes send is either their numbers of labels or their sums of weights
    totals = {"labels": known.sum().float(), "weights": WEIGHTS[target[known]].sum()}
    labels = [known[half].sum().item() for half in halves]
    monkeypatch.setattr(
        some_labels,
        "sum_over_processes",
        lambda amount: totals["labels" if amount.item() in labels else "weights"],
    )
    found = []
    for half in halves:
        labelled = Labelled.of(target[half]) if target is SOME else None
        found.append(term(ModelOutput(parts[half]), target[half], labelled))
    mean = torch.stack(found).mean()  # as DDP makes it of the gradients
    mean.backward()
    torch.testing.assert_close(mean, loss)
    torch.testing.assert_close(parts.grad, whole.grad)
