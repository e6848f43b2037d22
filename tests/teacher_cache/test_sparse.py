from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_classic import kd_loss
from kd_feature import sparse_soft_target_loss

from kdcore import ModelOutput
from kdcore.teacher_cache.sparse import join, split

from .conftest import PLAIN


@settings(deadline=None)
@given(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=9, unique=True), st.integers(1, 8))
def test_the_largest_are_kept_and_the_others_share_their_probability(logits, k):
    k = min(k, len(logits) - 1)
    joined = join(*split(torch.tensor([logits], dtype=torch.float32), k), num_classes=len(logits))[0].tolist()
    order = sorted(range(len(logits)), key=lambda number: -logits[number])
    for number in order[:k]:
        assert joined[number] == pytest.approx(logits[number])
    total = sum(math.exp(value) for value in logits)
    rest = sum(math.exp(logits[number]) for number in order[k:]) / total
    new_total = sum(math.exp(value) for value in joined)
    values = [joined[number] for number in order[k:]]
    assert sum(math.exp(value) for value in values) / new_total == pytest.approx(rest, rel=1e-4)
    assert max(values) - min(values) == 0
    assert max(values) <= joined[order[k - 1]] + 1e-4


def test_kd_with_stored_logits_is_tinyvits_loss():
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(6, 40, generator=generator).requires_grad_()
    teacher = 3 * torch.randn(6, 40, generator=generator)
    stored = join(*split(teacher, 10), num_classes=40)
    kept = teacher.softmax(1).topk(10, dim=1)
    sparse = sparse_soft_target_loss(student, kept.indices, kept.values)
    entropy = -(stored.softmax(1) * stored.log_softmax(1)).sum(1).mean()
    kd = kd_loss(student, stored, temperature=1.0)
    torch.testing.assert_close(kd + entropy, sparse)
    # the entropy is that of the teacher: both have the same gradient
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (kd, sparse)]
    torch.testing.assert_close(*gradients)


def test_in_a_cache(opened):
    cache = opened(PLAIN, top_k=2, dtype="float16")
    assert [field.name for field in cache.manifest.fields] == ["top-logits", "top-classes", "rest"]
    logits = torch.tensor([[1.0, 4.0, -2.0, 0.5, 3.0, 0.0, -8.0]])
    read = cache.write(0, torch.tensor([3]), ModelOutput(logits)).logits
    assert read[0, 1] == 4.0
    assert read[0, 4] == 3.0
    assert torch.allclose(read.softmax(1)[0, [1, 4]], logits.softmax(1)[0, [1, 4]], atol=1e-6)
    assert torch.equal(cache.read(0, torch.tensor([3])).logits, read)
