"""Operations over processes: in two processes, values and gradients are those of the whole batch."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from kdcore.ops import gather, sum_over_processes, world_size


def _values() -> Tensor:
    return torch.arange(12.0).view(4, 3) / 7 - 0.5


def _losses(gathered: Tensor, doubled: Tensor, total: Tensor) -> list[Tensor]:
    """One that relates the samples, one that needs a sum over them, and one in which two gathered tensors are added.

    Autograd gives both of these the same tensor as their gradient.
    """
    return [
        torch.cdist(gathered, gathered + 1).square().mean(),
        (total * total.roll(1)).sum(),
        (gathered + doubled).square().sum(),
    ]


def _worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    assert world_size() == 2
    part = _values()[2 * rank : 2 * rank + 2].requires_grad_()
    found = []
    for loss in _losses(gather(part), gather(2 * part), sum_over_processes(part.sum(0))):
        (gradient,) = torch.autograd.grad(loss, part)
        found += [loss.detach(), gradient / 2]  # as DistributedDataParallel takes the mean
    found += [gather(part.detach()), gather(part[:0]), sum_over_processes(torch.tensor([rank + 1]))]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_values_and_gradients_of_one(tmp_path: Path):
    mp.start_processes(_worker, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    whole = _values().requires_grad_()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for number, loss in enumerate(_losses(whole, 2 * whole, whole.sum(0))):
            (gradient,) = torch.autograd.grad(loss, whole)
            torch.testing.assert_close(found[2 * number], loss.detach())
            torch.testing.assert_close(found[2 * number + 1], gradient[2 * rank : 2 * rank + 2])
        joined, empty, counted = found[6:]
        assert torch.equal(joined, whole.detach())
        assert empty.shape == (0, 3)
        assert counted.tolist() == [3]


def test_in_one_process_nothing_is_sent():
    part = torch.ones(2, 3, requires_grad=True)
    assert world_size() == 1
    assert gather(part) is part
    assert sum_over_processes(part) is part
