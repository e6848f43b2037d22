"""Sharded tensors: written by two processes; read by one, and by four."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.sharded_state import Sharded, take_apart, write_parts
from kdcore.rundir.statefile import Damaged

WEIGHT = torch.arange(30.0).view(10, 3)
SHORT = torch.arange(2.0)  # fewer rows than processes


def _state(mesh: Any) -> dict[str, Any]:
    def spread(tensor: torch.Tensor) -> DTensor:
        return distribute_tensor(tensor, mesh, [Shard(0)])

    return {
        "distillation": {"weight": spread(WEIGHT), "short": spread(SHORT), "buffer": torch.ones(2)},
        "optimizer": {"state": {0: {"step": 3, "average": spread(WEIGHT / 2)}}, "groups": [(0.1, None)]},
    }


def _meet(rank: int, world: int, folder: str) -> Any:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{world}", rank=rank, world_size=world)
    return init_device_mesh("cpu", (world,))


def _write(rank: int, folder: str) -> None:
    state = _state(_meet(rank, 2, folder))
    checkpoints = Checkpoints(Path(folder) / "checkpoints")
    for step in (7, None):
        rest, tensors = take_apart(state)
        if rank == 0:
            checkpoints.begin(step)
        dist.barrier()
        write_parts(checkpoints.parts_of(step), tensors)
        dist.barrier()
        if rank == 0:
            checkpoints.save_best(rest, {"epoch": 1}) if step is None else checkpoints.save(step, rest)
    dist.destroy_process_group()


def _read(rank: int, folder: str) -> None:
    mesh = _meet(rank, 4, folder)
    checkpoints = Checkpoints(Path(folder) / "checkpoints")
    state = checkpoints.at(7)
    assert state is not None
    own = _state(mesh)["distillation"]

    def like(place: tuple[str | int, ...]) -> torch.Tensor | None:
        return own["weight"] if place[0] == "optimizer" else own.get(place[-1])

    found = checkpoints.together(state, 7, like)
    for name, whole in (("weight", WEIGHT), ("short", SHORT)):
        value = found["distillation"][name]
        assert isinstance(value, DTensor)
        assert value.to_local().shape == own[name].to_local().shape
        assert torch.equal(value.full_tensor(), whole)
    assert torch.equal(found["optimizer"]["state"][0]["average"].full_tensor(), WEIGHT / 2)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    mp.start_processes(_write, args=(str(folder),), nprocs=2, start_method="fork")
    return folder


def test_one_process_reads_what_two_have_written(written):
    checkpoints = Checkpoints(written / "checkpoints")
    parts = sorted(path.name for path in (checkpoints.folder / "step-00000007" / "shards").iterdir())
    assert len(parts) == 2
    assert all(name.endswith(".safetensors") for name in parts)  # nothing that would be unpickled
    for found in (checkpoints.load(pytest.fail), checkpoints.load_best()):
        assert found is not None
        assert torch.equal(found["distillation"]["weight"], WEIGHT)
        assert torch.equal(found["distillation"]["short"], SHORT)
        assert torch.equal(found["distillation"]["buffer"], torch.ones(2))
        assert torch.equal(found["optimizer"]["state"][0]["average"], WEIGHT / 2)
        assert found["optimizer"]["groups"] == [(0.1, None)]
    apart = checkpoints.load(pytest.fail, together=False)
    assert apart is not None
    assert apart["distillation"]["weight"] == Sharded("distillation/weight", (10, 3), torch.float32)


def test_four_processes_read_their_parts(written):
    mp.start_processes(_read, args=(str(written),), nprocs=4, start_method="fork")


def test_a_damaged_part_is_found(written, tmp_path):
    import shutil

    shutil.copytree(written / "checkpoints", tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    part = min((checkpoints.folder / "step-00000007" / "shards").iterdir())
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    told: list[str] = []
    assert checkpoints.load(told.append) is None
    assert f"shards/{part.name} is damaged or missing" in told[0]
    shutil.rmtree(checkpoints.folder / "best" / "shards")
    with pytest.raises(Damaged, match="is damaged or missing"):
        checkpoints.load_best()


def test_what_is_not_sharded_stays(tmp_path):
    state = {"a": torch.ones(2), "b": [1, (2, None)]}
    rest, tensors = take_apart(state)
    assert tensors == {}
    assert rest["a"] is state["a"]
    assert rest["b"] == state["b"]
