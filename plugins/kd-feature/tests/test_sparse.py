from __future__ import annotations

import math

import pytest
import torch
from kd_feature import sparse_soft_target_loss


def slow(logits, index, probability):
    total = 0.0
    for row, classes, kept in zip(logits, index, probability, strict=True):
        log_sum = math.log(sum(math.exp(x) for x in row))
        rest = (1 - sum(kept)) / (len(row) - len(kept)) if len(kept) < len(row) else 0.0
        target = [rest] * len(row)
        for k, p in zip(classes, kept, strict=True):
            target[k] = p
        total -= sum(p * (x - log_sum) for p, x in zip(target, row, strict=True))
    return total / len(logits)


def stored(draw, samples, classes, kept, seed=1):
    found = draw(samples, classes, seed=seed).softmax(1).topk(kept, dim=1)
    return found.indices, found.values


@pytest.mark.parametrize(("classes", "kept"), [(2, 1), (7, 3), (7, 7), (200, 100)])
def test_equals_the_authors_formula(draw, classes, kept):
    logits = 3 * draw(4, classes)
    index, probability = stored(draw, 4, classes, kept)
    expected = slow(logits.tolist(), index.tolist(), probability.tolist())
    value = sparse_soft_target_loss(logits, index, probability)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_a_value_worked_out_by_hand():
    # probabilities 1/2 of class 2, and 1/4 of each other one, of equal logits: log 3
    value = sparse_soft_target_loss(torch.zeros(1, 3), torch.tensor([[2]]), torch.tensor([[0.5]]))
    assert value.item() == pytest.approx(math.log(3))


def test_it_is_kd_with_the_stored_probabilities_and_temperature_1(draw):
    logits = draw(5, 30)
    index, probability = stored(draw, 5, 30, 10)
    rest = ((1 - probability.sum(1)) / 20)[:, None].expand(5, 30)
    target = rest.scatter(1, index, probability)
    entropy = -(target * target.log()).sum(1).mean()
    divergence = torch.nn.functional.kl_div(logits.log_softmax(1), target, reduction="batchmean")
    torch.testing.assert_close(sparse_soft_target_loss(logits, index, probability), divergence + entropy)


def test_the_gradient_is_that_of_the_formula_and_the_students_only(draw):
    logits = draw(3, 6).requires_grad_()
    index, probability = stored(draw, 3, 6, 2)
    probability.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: sparse_soft_target_loss(s, index, probability.detach()), (logits,)
    )
    sparse_soft_target_loss(logits, index, probability).backward()
    assert probability.grad is None


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float32, 1e4), (torch.float16, 1e3), (torch.bfloat16, 1e4)]
)
def test_large_logits_of_many_classes_are_finite(draw, dtype, size):
    logits = (size * draw(2, 21_841).sign()).to(dtype).requires_grad_()
    value = sparse_soft_target_loss(logits, *stored(draw, 2, 21_841, 100))
    value.backward()
    assert value.isfinite()
    assert value.dtype == torch.float32
    assert logits.grad.isfinite().all()


def test_wrong_arguments_are_refused(draw):
    index, probability = stored(draw, 3, 6, 2)
    for arguments, problem in (
        ((draw(3, 6).long(), index, probability), "floating point"),
        ((draw(3, 6), index[:2], probability), r"both must be \[3, k\]"),
        ((draw(3, 1), index, probability), "allowed: 1 to 1"),
    ):
        with pytest.raises(ValueError, match=problem):
            sparse_soft_target_loss(*arguments)
