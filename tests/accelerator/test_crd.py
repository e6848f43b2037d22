"""Both ways of CRD's loss on the device, against the value in float64 on the processor."""

from __future__ import annotations

import pytest
import torch
from kd_feature import CRDLoss, crd_loss
from torch.nn import functional as F

pytestmark = pytest.mark.accelerator
N, D, B, M = 5000, 64, 32, 255


def _steps(device: torch.device, dtype: torch.dtype) -> tuple[list[torch.Tensor], CRDLoss]:
    """Loss and gradient of three steps, on the processor, and the loss with its memories."""
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    loss = CRDLoss(D, N, M, temperature=0.07, momentum=0.5).to(device, dtype)
    found = []
    for _ in range(3):
        pair = torch.randn(2, B, D, generator=draw).to(device, dtype)
        student, teacher = F.normalize(pair, dim=2).unbind()
        index = torch.randperm(N, generator=draw)[:B]
        chosen = torch.cat([index.unsqueeze(1), torch.randint(N, (B, M), generator=draw)], dim=1)
        value = loss(student.requires_grad_(), teacher, index.to(device), chosen.to(device))
        found += [value.detach(), *torch.autograd.grad(value, student)]
    return [one.cpu().double() for one in found], loss


@pytest.mark.parametrize("all_rows", [True, False], ids=["all rows", "chosen rows"])
def test_each_way_is_exact(device, monkeypatch, all_rows):
    expected, other = _steps(torch.device("cpu"), torch.float64)
    monkeypatch.setattr(crd_loss, "_score_all", lambda *_: all_rows)
    monkeypatch.setattr(crd_loss, "_AT_ONCE_ELSEWHERE", 5 * (1 + M) * D)  # in parts
    found, loss = _steps(device, torch.float32)
    # with TF32, which a run may allow, the products of all rows have three digits less
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    for name in ("student_memory", "teacher_memory"):
        torch.testing.assert_close(
            loss.get_buffer(name).cpu().double(), other.get_buffer(name), atol=1e-5, rtol=0
        )
