from __future__ import annotations

import math

import pytest
import torch
from kd_classic import PSKD, pskd_loss
from kd_classic.options.teacher_free import PSKDOptions
from kd_dev.testing.values import model_of_shapes, numbers, setup_of
from torch.nn import functional as F

from kdcore import Batch, ModelOutput, Progress, Requires, Setup

EPOCHS = 4


def setup_for(size: int = 10, classes: int = 3) -> Setup:
    return setup_of(model_of_shapes("small"), None, num_classes=classes, train_size=size)


def term_of(
    distiller: PSKD, logits: torch.Tensor, target: torch.Tensor, index: torch.Tensor | None, epoch: float
) -> torch.Tensor:
    batch = Batch(torch.zeros(len(logits), 3, 2, 2), target, index)
    term: torch.Tensor = distiller(ModelOutput(logits), None, batch, Progress(epoch, 0, 10, EPOCHS))["pskd"]
    return term


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 1000)])
def test_equals_the_formula(oracle, draw, samples, classes):
    student, previous, target = draw(samples, classes)
    earlier = [oracle.softmax(row) for row in previous.tolist()]
    losses = []
    for row, p, y in zip(student.tolist(), earlier, target.tolist(), strict=True):
        own = oracle.softmax(row)
        mixed = [0.7 * (k == y) + 0.3 * p[k] for k in range(classes)]
        losses.append(-sum(m * math.log(q) for m, q in zip(mixed, own, strict=True)))
    loss = pskd_loss(student, torch.tensor(earlier).double(), target, alpha=0.3)
    assert loss.item() == pytest.approx(oracle.mean(losses), rel=1e-6)


def test_the_gradient_is_that_of_the_formula_and_goes_to_the_student_only(draw):
    student, previous, target = draw(4, 6)
    student.requires_grad_()
    previous = previous.softmax(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: pskd_loss(s, previous.detach(), target, alpha=0.6), (student,))
    pskd_loss(student, previous, target, alpha=0.6).backward()
    assert previous.grad is None


def test_with_alpha_0_it_is_the_cross_entropy_and_of_soft_targets_the_largest_counts(draw):
    student, previous, target = draw(4, 6)
    previous = previous.softmax(1)
    plain = pskd_loss(student, previous, target, alpha=0.0)
    torch.testing.assert_close(plain, F.cross_entropy(student, target))
    soft = torch.full((4, 6), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.5)
    torch.testing.assert_close(
        pskd_loss(student, previous, soft, alpha=0.5), pskd_loss(student, previous, target, alpha=0.5)
    )


def test_with_the_task_loss_the_term_is_the_papers_loss_and_the_table_is_one_epoch_old():
    distiller = PSKD(PSKDOptions(), setup_for())
    assert distiller.requires == Requires(teacher=False, sample_index=True, target=True)
    index, target = torch.tensor([7, 2, 4]), torch.tensor([0, 2, 1])
    first, second, third = (numbers(3, 3, seed=seed) for seed in (1, 2, 3))
    assert term_of(distiller, first, target, index, 0.0).item() == 0  # one-hot targets in the first epoch
    # alpha = 0.8 * 2/4 in the second of four epochs
    whole = F.cross_entropy(second, target) + term_of(distiller, second, target, index, 1.5)
    earlier = first.softmax(1).float().double()  # the table is float32
    torch.testing.assert_close(whole, pskd_loss(second, earlier, target, alpha=0.4))
    order = torch.tensor([2, 0, 1])
    whole = F.cross_entropy(third, target[order]) + term_of(
        distiller, third, target[order], index[order], 3.0
    )
    earlier = second.softmax(1).float().double()[order]
    torch.testing.assert_close(whole, pskd_loss(third, earlier, target[order], alpha=0.8))


def test_a_sample_that_comes_for_the_first_time_has_no_term():
    distiller = PSKD(PSKDOptions(), setup_for())
    logits, target = numbers(2, 3), torch.tensor([0, 1])
    term_of(distiller, logits[:1], target[:1], torch.tensor([5]), 0.0)
    both = term_of(distiller, logits, target, torch.tensor([5, 6]), 1.0)
    earlier = logits[:1].softmax(1).float().double()
    known = pskd_loss(logits[:1], earlier, target[:1], alpha=0.4) - F.cross_entropy(logits[:1], target[:1])
    torch.testing.assert_close(both, known / 2)


def test_with_mixed_targets_the_term_completes_the_task_loss_of_mixed_targets():
    distiller = PSKD(PSKDOptions(), setup_for())
    index, soft = torch.arange(3), numbers(3, 3, seed=5).softmax(1)
    term_of(distiller, numbers(3, 3, seed=1), soft, index, 0.0)
    logits = numbers(3, 3, seed=2)
    whole = F.cross_entropy(logits, soft) + term_of(distiller, logits, soft, index, 1.0)
    earlier = numbers(3, 3, seed=1).softmax(1).float().double()
    torch.testing.assert_close(whole, F.cross_entropy(logits, 0.6 * soft + 0.4 * earlier))


def test_the_table_takes_half_the_memory_in_float16():
    distiller = PSKD(PSKDOptions(table="float16"), setup_for())
    index, target, logits = torch.arange(3), torch.tensor([0, 2, 1]), numbers(3, 3)
    term_of(distiller, logits, target, index, 0.0)
    assert distiller.previous.dtype == torch.float16
    torch.testing.assert_close(distiller.previous[:3], logits.softmax(1).half())


def test_a_resumed_distiller_continues_to_the_bit():
    batches = [
        (numbers(4, 3, seed=seed), torch.arange(4) % 3, torch.arange(4) + seed % 3) for seed in range(6)
    ]

    def run(distiller: PSKD, which: range) -> list[torch.Tensor]:
        return [term_of(distiller, *batches[number], float(number // 2)) for number in which]

    whole = PSKD(PSKDOptions(), setup_for())
    expected = run(whole, range(6))
    first, second = PSKD(PSKDOptions(), setup_for()), PSKD(PSKDOptions(), setup_for())
    run(first, range(3))
    second.load_state_dict(first.state_dict())
    assert all(map(torch.equal, run(second, range(3, 6)), expected[3:]))
    assert torch.equal(second.previous, whole.previous)
    assert expected[3].item() != 0


def test_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="size is unknown"):
        PSKD(PSKDOptions(), setup_for(size=0))
    with pytest.raises(ValueError, match="position in the training set"):
        term_of(PSKD(PSKDOptions(), setup_for()), numbers(2, 3), torch.tensor([0, 1]), None, 0.0)
