"""Two processes and one: the same loss and the same gradient, for a loss that relates samples to each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import timm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdcore import Distillation, Distiller, Progress, Requires, UserError, list_distillers
from kdcore.distill.gather import WholeBatch
from kdcore.ops import gather
from kdcore.protocols import Batch, FeatureMap, ModelOutput

_WORLD = 2
_MIDDLE = Progress(epoch=50.0, step=500, total_steps=1000, total_epochs=100)


def _pairs(logits: Tensor) -> Tensor:
    return torch.cdist(logits, logits).square().mean()


class _Net(nn.Module):
    """Two outputs; the maps are in channels-last order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.conv(images).contiguous(memory_format=torch.channels_last)
        pooled = maps.mean((2, 3))
        return self.one(pooled), self.other(pooled), maps


_LOSSES: dict[str, Callable[[Any, Any, Any], Tensor]] = {
    "one tensor": lambda one, other, maps: _pairs(one) + 0 * (other.sum() + maps.sum()),
    # autograd gives one and the same gradient to both sides of an addition
    "two in an addition": lambda one, other, maps: _pairs(one + other) + 0 * maps.sum(),
    "three in an addition": lambda one, other, maps: _pairs(one + other + maps.mean((2, 3))),
    "the same twice": lambda one, other, maps: _pairs(one + one - other) + 0 * maps.sum(),
    "a sum": lambda one, other, maps: (one + other).sum() + 0 * maps.sum(),
    "maps": lambda one, other, maps: _pairs(maps.flatten(1)) + 0 * (one + other).sum(),
}


class _Adds(nn.Module):
    """A whole-batch distiller in which gathered tensors meet in additions."""

    def __init__(self) -> None:
        super().__init__()
        self.requires = Requires(student_stages=(3, 4), student_embedding=True, whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        assert student.embedding is not None
        features = student.embedding + student.features[4].map.mean((2, 3))
        logits = student.logits + student.logits.roll(1, 0) - teacher.logits
        return {"features": _pairs(features), "logits": _pairs(logits), "sum": features.sum() / 100}


def _whole_batch_methods() -> list[str]:
    """Every installed distiller that says `whole_batch`."""
    pair, found = _pair(), []
    for provided in list_distillers():
        name = provided.entry.name
        try:
            built = Distillation(*pair, name, num_classes=3, image_size=32, train_size=16, task_weight=1.0)
        except UserError:  # it needs another student
            continue
        requires = cast("Distiller", built.distillers[0]).requires
        # those that need more than images are compared by their own conformance checks
        if requires.whole_batch and requires.num_views == 1 and requires.partner is None:
            found.append(name)
    return found


def _pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(3)
    # without batch norm, whose statistics are of each process's own half
    student, teacher = (timm.create_model("test_vit", num_classes=3, img_size=32) for _ in range(2))
    return student.eval(), teacher


def _step(distillers: list[Any], rank: int | None = None) -> dict[str, Tensor]:
    """The terms of a step and the student's gradients."""
    built = Distillation(
        *_pair(), distillers, num_classes=3, image_size=32, train_size=16, task_weight=1.0
    ).eval()
    rows = slice(None) if rank is None else slice(rank * 4, rank * 4 + 4)
    torch.manual_seed(5)
    images, target, index = torch.randn(8, 3, 32, 32), torch.arange(8) % 3, torch.arange(8)
    torch.manual_seed(7)
    model = built if rank is None else DistributedDataParallel(built, find_unused_parameters=True)
    out = model(images[rows], target[rows], index=index[rows], progress=_MIDDLE)
    out.loss.backward()
    grads = {name: one.grad for name, one in built.student.named_parameters() if one.grad is not None}
    return {**{f"term {name}": term.detach() for name, term in out.terms.items()}, **grads}


def _some_labels(rank: int | None = None) -> dict[str, Tensor]:
    """The student's gradients where the first half of the batch has three labels, and the other half none."""
    built = Distillation(
        *_pair(), ["kd", "dkd"], num_classes=3, image_size=32, task_weight=1.0, some_labels=True
    ).eval()
    rows = slice(None) if rank is None else slice(rank * 4, rank * 4 + 4)
    torch.manual_seed(5)
    images, target = torch.randn(8, 3, 32, 32), torch.tensor([0, 2, -1, 1, -1, -1, -1, -1])
    model = built if rank is None else DistributedDataParallel(built)
    model(images[rows], target[rows], progress=_MIDDLE).loss.backward()
    return {name: one.grad for name, one in built.student.named_parameters() if one.grad is not None}


def _data() -> tuple[Tensor, _Net]:
    torch.manual_seed(3)
    return torch.randn(8, 3, 6, 6), _Net()


def _gradients(loss: Tensor, net: nn.Module) -> dict[str, Tensor]:
    net.zero_grad(set_to_none=True)
    loss.backward()
    return {name: one.grad.clone() for name, one in net.named_parameters() if one.grad is not None}


def _join(rank: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=_WORLD)


def _train(rank: int, rendezvous: str, out: str, methods: list[str]) -> None:
    _join(rank, rendezvous)
    torch.set_num_threads(1)
    images, net = _data()
    model = DistributedDataParallel(net)
    found = {}
    for name, loss in _LOSSES.items():
        value = loss(*map(gather, model(images[rank * 4 : rank * 4 + 4])))
        found[name] = {"loss": value.detach(), **_gradients(value, net)}
    found["additions"] = _step([_Adds()], rank)
    found["every method"] = _step([_Adds(), *methods], rank)
    found["some labels"] = _some_labels(rank)
    torch.save(found, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_a_gathered_loss_has_the_gradient_of_the_whole_batch(tmp_path: Path):
    pytest.importorskip("kd_feature")
    methods = _whole_batch_methods()
    assert {"crd", "rkd", "sp", "pkt", "cc"} <= set(methods)
    given = (str(tmp_path / "rendezvous"), str(tmp_path), methods)
    mp.start_processes(_train, args=given, nprocs=_WORLD, start_method="forkserver")
    images, net = _data()
    wanted = {}
    for name, loss in _LOSSES.items():
        value = loss(*net(images))
        wanted[name] = {"loss": value.detach(), **_gradients(value, net)}
    wanted["additions"] = _step([_Adds()])
    wanted["every method"] = _step([_Adds(), *methods])
    wanted["some labels"] = _some_labels()
    for rank in range(_WORLD):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for case, values in wanted.items():
            assert found[case].keys() == values.keys(), case
            # a bias in front of a norm has a gradient of zero, of which rounding leaves a little
            largest = max(value.abs().max().item() for value in values.values())
            close = {"atol": 1e-5 * largest, "rtol": 1e-3}
            for name, value in values.items():
                torch.testing.assert_close(
                    found[case][name], value, **close, msg=lambda m, c=case, n=name: f"{c}: {n}: {m}"
                )


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
    requires = Requires(
        student_stages=(2, "a.b"), student_embedding=True, teacher_stages=(1,), teacher_logits=False
    )
    teacher = ModelOutput(part.view(3, 1), {1: FeatureMap(part.view(3, 1, 1, 1))}, part.view(3, 1))
    given = Batch(torch.zeros(3, 1), part.long(), None)
    whole, features_alone, batch = WholeBatch().for_distiller(requires, output, teacher, given)
    assert features_alone is not None
    assert features_alone.logits is None
    assert features_alone.embedding is None
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
        features_alone.features[1].map,
    ]
    torch.save([one.flatten().float() for one in found], f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_every_value_of_an_output_is_gathered_in_the_order_of_the_processes(tmp_path: Path):
    given = (str(tmp_path / "rendezvous"), str(tmp_path))
    mp.start_processes(_gather_all, args=given, nprocs=_WORLD, start_method="forkserver")
    for rank in range(_WORLD):
        for found in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert found.tolist() == [0, 1, 2, 10, 11, 12]


class _Reads(nn.Module):
    """A whole-batch distiller that requires one stage and notes what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.requires = Requires(
            student_stages=(4,), teacher_stages=(3,), whole_batch=True, teacher_logits=False
        )
        self.seen: tuple[ModelOutput, ModelOutput, Batch] | None = None

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        self.seen = student, teacher, batch
        return {"zero": student.logits.sum() * 0}


def test_a_whole_batch_distiller_gets_only_what_it_requires_beside_other_distillers() -> None:
    reads, adds = _Reads(), _Adds()
    _step([adds, reads])
    assert reads.seen is not None
    student, teacher, batch = reads.seen
    assert (set(student.features), student.embedding) == ({4}, None)
    assert (set(teacher.features), teacher.embedding, teacher.logits) == ({3}, None, None)
    assert student.logits is not None
    assert batch.index is not None


def test_a_tensor_that_two_distillers_require_is_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr("kdcore.distill.gather.gather", lambda part: sent.append(part.shape) or part)
    _step([_Adds(), _Adds()])
    once = list(sent)
    sent.clear()
    _step([_Adds()])
    assert sent == once
