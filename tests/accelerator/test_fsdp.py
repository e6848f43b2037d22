"""Weights that are spread over a group of one process are trained as whole ones are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from kdcore import Distillation
from kdcore.run.sharding import Shards

pytestmark = pytest.mark.accelerator
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4, "img_size": 16, "num_classes": 5}


@pytest.fixture
def group(tmp_path: Path, any_device: torch.device) -> Iterator[None]:
    """A group of this process alone, with the backend of the device."""
    backend = dist.get_default_backend_for_device(any_device)
    if not dist.is_backend_available(backend):
        pytest.skip(f"torch was built without {backend}")
    dist.init_process_group(backend, init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _train(distillation: Distillation, call: Callable[..., Any], device: torch.device) -> list[float]:
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(distillation.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(3):
        images = torch.randn(4, 3, 16, 16, generator=draw).to(device)
        loss = call(images, torch.randint(5, (4,), generator=draw).to(device)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("teacher", [False, True], ids=["student", "student+teacher"])
def test_one_process_alone(group, any_device, teacher):
    torch.manual_seed(0)
    models = [timm.create_model("vit_tiny_patch16_224", **TINY).to(any_device) for _ in range(2)]
    whole = (
        Distillation(*models, ["kd", "fitnet"], num_classes=5, image_size=16, task_weight=1.0)
        .to(any_device)
        .train()
    )
    spread = copy.deepcopy(whole)
    shards = Shards(spread, None, teacher=teacher, idle=torch.zeros(1, 3, 16, 16, device=any_device))
    assert all(isinstance(one, DTensor) for one in spread.student.parameters())
    assert any(isinstance(one, DTensor) for one in spread.teacher.parameters()) == teacher
    expected = _train(whole, whole, any_device)
    assert _train(spread, shards.root, any_device) == pytest.approx(expected, rel=1e-4)
    for (name, one), other in zip(whole.student.named_parameters(), spread.student.parameters(), strict=True):
        torch.testing.assert_close(other.full_tensor(), one, rtol=1e-3, atol=1e-4, msg=name)
