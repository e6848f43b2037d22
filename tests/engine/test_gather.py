"""Two processes and one: the same loss and the same gradient, for a loss that relates samples to each other."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdcore.engine.gather import gather, gather_batch, gather_output, world_size
from kdcore.protocols import Batch, FeatureMap, ModelOutput

_WORLD = 2


def _pairs(logits: Tensor) -> Tensor:
    return torch.cdist(logits, logits).square().mean()


def _data() -> tuple[Tensor, nn.Linear]:
    torch.manual_seed(3)
    return torch.randn(8, 5), nn.Linear(5, 4)


def _join(rank: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=_WORLD)


def _train(rank: int, rendezvous: str, out: str) -> None:
    _join(rank, rendezvous)
    images, layer = _data()
    model = DistributedDataParallel(layer)
    loss = _pairs(gather(model(images[rank * 4 : rank * 4 + 4])))
    loss.backward()
    torch.save({"loss": loss.detach(), "grad": layer.weight.grad}, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_a_gathered_loss_has_the_gradient_of_the_whole_batch(tmp_path: Path):
    mp.spawn(_train, args=(str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=_WORLD)
    images, layer = _data()
    loss = _pairs(layer(images))
    loss.backward()
    for rank in range(_WORLD):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["loss"], loss.detach())
        torch.testing.assert_close(found["grad"], layer.weight.grad)


def _gather_all(rank: int, rendezvous: str, out: str) -> None:
    _join(rank, rendezvous)
    part = torch.arange(3.0) + 10 * rank
    output = ModelOutput(
        logits=part.view(3, 1),
        features={
            2: FeatureMap(part.view(3, 1, 1, 1), part.view(3, 1, 1)),
            "a.b": FeatureMap(part.view(3, 1, 1, 1)),
        },
        embedding=part.view(3, 1) + 0.5,
    )
    whole = gather_output(output)
    batch = gather_batch(Batch(torch.zeros(3, 1), part.long(), None))
    assert whole.features[2].prefix is not None
    assert whole.features["a.b"].prefix is None
    assert whole.embedding is not None
    assert batch.target is not None
    assert batch.index is None
    found = [
        whole.logits,
        whole.features[2].map,
        whole.features[2].prefix,
        whole.embedding - 0.5,
        batch.target,
    ]
    torch.save([one.flatten().float() for one in found], f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_every_value_of_an_output_is_gathered_in_the_order_of_the_processes(tmp_path: Path):
    mp.spawn(_gather_all, args=(str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=_WORLD)
    for rank in range(_WORLD):
        for found in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert found.tolist() == [0, 1, 2, 10, 11, 12]


def test_one_process_has_a_world_of_one():
    assert world_size() == 1
