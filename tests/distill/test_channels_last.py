"""The memory order of a frozen teacher that computes in 16 bits."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from kdcore import Distillation, Requires
from kdcore.distill.splits import open_splits
from kdcore.plugins import get_plugins
from kdcore.run.prepare import Process, prepare
from kdcore.spec.load import load_spec


class Reads(nn.Module):
    def __init__(self, **requires):
        super().__init__()
        self.requires = Requires(**requires)

    def forward(self, student, teacher, batch, progress):
        return {"loss": (student.logits - teacher.logits).square().mean()}


class Viewing(nn.Module):
    """A convolution, and code that works in contiguous order alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, images):
        maps = self.conv(images)
        return (
            self.fc(maps.view(-1, 4, maps.shape[2] * maps.shape[3]).mean(2)) + maps.view(len(maps), -1).mean()
        )


def passes(model, **requires):
    student = timm.create_model("test_resnet", num_classes=3)
    built = Distillation(student, model, Reads(**requires), num_classes=3, image_size=32, task_weight=1.0)
    return built.teacher_passes["teacher"]


def is_channels_last(model):
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_convolutional_teacher_is_asked_for_its_logits_in_this_order():
    teacher = passes(timm.create_model("test_resnet", num_classes=3))
    images = torch.randn(2, 3, 32, 32)
    before = teacher.compute(images).logits
    assert teacher.use_channels_last()
    seen = []
    teacher.model.conv1[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    torch.testing.assert_close(teacher.compute(images).logits, before)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert is_channels_last(teacher.model)


@pytest.mark.parametrize("requires", [{"teacher_stages": (2,)}, {"teacher": False}], ids=["maps", "nothing"])
def test_not_if_a_distiller_gets_maps_or_nobody_reads_it(requires):
    teacher = passes(timm.create_model("test_resnet", num_classes=3), **requires)
    assert not teacher.use_channels_last()
    assert not is_channels_last(teacher.model)


def test_code_that_needs_the_other_order_keeps_it():
    teacher = passes(Viewing())
    images = torch.randn(2, 3, 32, 32)
    with pytest.raises(RuntimeError, match="view"):
        teacher.model(images.to(memory_format=torch.channels_last))
    before = teacher.compute(images).logits
    assert not teacher.use_channels_last()
    assert torch.equal(teacher.compute(images).logits, before)


@pytest.mark.parametrize(
    ("train", "teacher", "wanted"),
    [
        ({"precision": "bf16"}, {}, True),
        ({}, {"precision": "bf16"}, True),
        ({}, {}, False),
        ({"precision": "bf16"}, {"precision": "fp32"}, False),
        ({"precision": "bf16"}, {"channels_last": False}, False),
        ({}, {"channels_last": True}, True),
    ],
)
def test_in_a_run(spec_file, train, teacher, wanted):
    given = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}, **teacher}
    loaded = load_spec(
        spec_file(teacher=given, distiller="kd", train={"epochs": 1, "batch_size": 8, **train})
    )
    plugins = get_plugins()
    prepared = prepare(loaded, open_splits(loaded.spec, plugins), plugins, Process(torch.device("cpu")))
    found = prepared.distillation.teacher_passes["teacher"]
    assert is_channels_last(found.model) is wanted
    assert (found.memory_format is torch.channels_last) is wanted
