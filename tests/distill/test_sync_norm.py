"""Batch norm over processes against torch's over the whole batch: outputs, gradients, running statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdcore.distill.sync_norm import BatchNormActOverProcesses, share_running_statistics, synchronised
from kdcore.ops import BatchNormOverProcesses

CPU = torch.device("cpu")


def _network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4, momentum=0.3),
        BatchNormAct2d(4, act_layer=nn.GELU),
        nn.Flatten(),
        nn.Linear(64, 5),
        nn.BatchNorm1d(5, momentum=None, affine=False),
    )


def _images() -> Tensor:
    return torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(2)) * 3 + 1


def _steps(network: nn.Module, images: Tensor, state: nn.Module) -> dict[str, Tensor]:
    out = torch.empty(0)
    for _ in range(2):
        out = network(images)
        out.pow(3).mean().backward()
    found = {"out": out.detach(), **{f"state {k}": v for k, v in state.state_dict().items()}}
    return found | {f"grad {k}": v.grad for k, v in state.named_parameters() if v.grad is not None}


def _train(rank: int, rendezvous: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    network = synchronised(_network(), CPU)
    # uneven parts: each process counts what it has
    images = _images()[:2] if rank == 0 else _images()[2:]
    kept = DistributedDataParallel(network, broadcast_buffers=False)
    found = _steps(_Scaled(kept, len(images) * 2 / 6), images, network)
    torch.save(found, f"{out}/{rank}.pt")
    dist.destroy_process_group()


class _Scaled(nn.Module):
    """Weighs a process's mean by its part of the batch, as DDP takes the mean over processes."""

    def __init__(self, model: nn.Module, part: float) -> None:
        super().__init__()
        self.model, self.cubed = model, part ** (1 / 3)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(images) * self.cubed
        return out


def test_two_processes_normalise_as_one(tmp_path: Path):
    given = (str(tmp_path / "rendezvous"), str(tmp_path))
    mp.start_processes(_train, args=given, nprocs=2, start_method="forkserver")
    network = _network()
    whole = _steps(network, _images(), network)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    together = torch.cat([parts[0]["out"] / (2 / 3) ** (1 / 3), parts[1]["out"] / (4 / 3) ** (1 / 3)])
    torch.testing.assert_close(together, whole.pop("out"), atol=1e-5, rtol=1e-5)
    for name, value in whole.items():
        for part in parts:
            assert name in part
            torch.testing.assert_close(part[name], value, atol=2e-5, rtol=1e-5, msg=name)


def test_hooks_stay():
    network = _network()
    for norm in network[1:3]:
        norm.add_module("twice", nn.Identity())
        norm.register_forward_hook(lambda module, _, output: 2 * module.twice(output))
        norm.register_forward_pre_hook(lambda _, given: (given[0] + 1,))
        norm.register_forward_hook(lambda _, __, options, output: output + len(options), with_kwargs=True)
    images = _images()
    network.eval()
    wanted = network(images)
    torch.testing.assert_close(synchronised(network, CPU)(images), wanted)


def test_in_one_process_it_is_batch_norm():
    images, network = _images(), _network()
    changed = synchronised(_network(), CPU)
    torch.testing.assert_close(changed(images), network(images), atol=0, rtol=0)
    torch.testing.assert_close(changed.eval()(images), network.eval()(images), atol=0, rtol=0)


def test_what_is_changed_and_what_stays():
    class Own(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return input

    network = nn.Sequential(_network(), Own(4), nn.GroupNorm(1, 4))
    before = network.state_dict()
    changed = synchronised(network, CPU)
    kinds = [type(part) for part in changed.modules()]
    assert kinds.count(BatchNormOverProcesses) == 2
    assert kinds.count(BatchNormActOverProcesses) == 1
    assert Own in kinds
    assert changed.state_dict().keys() == before.keys()
    # on a GPU torch's own, which DDP knows
    assert any(
        type(part) is nn.SyncBatchNorm for part in synchronised(_network(), torch.device("cuda")).modules()
    )


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_035", "efficientnet_b0"])
def test_no_batch_norm_of_timm_is_forgotten(name):
    model = synchronised(timm.create_model(name), CPU)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())


def test_nothing_is_sent_in_one_process():
    network = _network()
    share_running_statistics([network])  # no process group: it would raise
