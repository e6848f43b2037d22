from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kd_ofa.norm import WholeBatchNorm2d
from torch import nn


def pair(channels=3):
    ours, torchs = WholeBatchNorm2d(channels), nn.BatchNorm2d(channels)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(channels))
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def test_in_one_process_it_is_torchs_batch_norm():
    ours, torchs = pair()
    for training in (True, False):
        ours.train(training)
        torchs.train(training)
        x = torch.randn(4, 3, 2, 5)
        torch.testing.assert_close(ours(x), torchs(x), rtol=0, atol=0)
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    for one, other in zip(ours.state_dict().values(), torchs.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_single_value_per_channel_is_normalised_as_in_evaluation():
    ours, torchs = pair()
    for norm in (ours, torchs):
        norm(torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)))
    x = torch.randn(1, 3, 1, 1, requires_grad=True)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        torchs(x)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    y = ours(x)
    torch.testing.assert_close(y, torchs.eval()(x))
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    y.sum().backward()
    assert x.grad.abs().sum() > 0
    assert ours.weight.grad.abs().sum() > 0


WORKER = """
import sys
import torch
import torch.distributed as dist
from kd_ofa.norm import WholeBatchNorm2d

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
given = torch.load(f"{folder}/given.pt", weights_only=True)
norm = WholeBatchNorm2d(3)
norm.load_state_dict(given["state"])
x = given["x"].chunk(2)[rank].clone().requires_grad_()
y = norm(x)
(y * given["factors"].chunk(2)[rank]).sum().backward()
half = norm(x.detach().bfloat16())
torch.save({"y": y.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad,
            "dtype": half.dtype, "state": norm.state_dict()}, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_are_one(tmp_path: Path):
    _, torchs = pair()
    x, factors = torch.randn(4, 3, 2, 2) * 3 + 5, torch.randn(4, 3, 2, 2)
    torch.save({"state": torchs.state_dict(), "x": x, "factors": factors}, tmp_path / "given.pt")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(rank)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
    x.requires_grad_()
    y = torchs(x)
    (y * factors).sum().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([part["y"] for part in parts]), y.detach())
    torch.testing.assert_close(torch.cat([part["x"] for part in parts]), x.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sum(part["weight"] for part in parts), torchs.weight.grad)
    torch.testing.assert_close(sum(part["bias"] for part in parts), torchs.bias.grad)
    assert [part["dtype"] for part in parts] == [torch.bfloat16] * 2
    torchs(x.detach().bfloat16())
    for part in parts:
        for name, value in torchs.state_dict().items():
            torch.testing.assert_close(part["state"][name], value)
