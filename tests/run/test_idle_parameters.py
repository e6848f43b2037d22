"""Distillers whose parameters do not all take part in each step, in a run of several processes."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kdcore import Distillation, Progress, Requires
from kdcore.run.accelerator import expect_idle_parameters, make_accelerator
from kdcore.spec.models import RunSpec

SPEC = {"student": {"model": "resnet18"}, "distiller": "vanilla"}


class Alternates(nn.Module):
    """One head in even steps, another one in odd steps."""

    def __init__(self, declares: bool) -> None:
        super().__init__()
        self.requires = Requires(teacher=False, idle_parameters=declares)
        self.heads = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, student, teacher, batch, progress):
        return {"term": self.heads[progress.step % 2](student.logits).square().mean()}


@pytest.fixture
def distributed(tmp_path):
    """DDP around a distillation, as a run makes it, in a group of one process."""

    def make(distillation):
        accelerator = make_accelerator(RunSpec.model_validate(SPEC))
        expect_idle_parameters(accelerator, distillation)
        handler = accelerator.ddp_handler
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
        return DistributedDataParallel(distillation, **({} if handler is None else handler.to_kwargs()))

    yield make
    dist.destroy_process_group()


def _steps(model, distiller):
    """The heads that have a gradient in each of three steps."""
    for step in range(3):
        model.zero_grad(set_to_none=True)
        progress = Progress(epoch=0.0, step=step, total_steps=3, total_epochs=1)
        model(torch.randn(2, 3, 4, 4), torch.tensor([0, 2]), progress=progress).loss.backward()
        yield [head.weight.grad is not None for head in distiller.heads]


def _built(declares):
    student = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    return Distillation(student, None, Alternates(declares), num_classes=3, image_size=4, task_weight=1.0)


def test_those_that_a_step_leaves_out_have_no_gradient(distributed):
    built = _built(declares=True)
    found = list(_steps(distributed(built), built.distillers[0]))
    assert found == [[True, False], [False, True], [True, False]]


def test_a_distiller_has_to_declare_it(distributed):
    built = _built(declares=False)
    with pytest.raises(RuntimeError, match="not used in producing loss"):
        list(_steps(distributed(built), built.distillers[0]))


def test_it_is_declared_by_one_of_several_distillers():
    assert Requires().union(Requires(idle_parameters=True)).idle_parameters
    assert not Requires().union(Requires()).idle_parameters
