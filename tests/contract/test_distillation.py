"""`Distillation` in a loop of one's own, and the values that a distiller gets, with a stranger's parts."""

from __future__ import annotations

import inspect
from dataclasses import fields
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import kdcore
from kdcore import (
    AdapterEntry,
    Batch,
    DatasetEntry,
    Distillation,
    DistillerEntry,
    FeatureMap,
    ModelEntry,
    ModelOutput,
    Progress,
    Requires,
    Setup,
    StageInfo,
)

INDEX = torch.tensor([3, 0, 7, 5])
TARGET = torch.tensor([0, 1, 1, 0])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def pair(stranger: ModuleType):
    torch.manual_seed(0)
    return stranger.toynet(2, 3), stranger.toynet(2, 3, width=6)


@pytest.mark.parametrize(
    ("value", "names", "defaults"),
    [
        (
            Requires,
            "teacher student_stages teacher_stages student_embedding teacher_embedding sample_index "
            "whole_batch views",
            {
                "teacher": True,
                "student_stages": (),
                "teacher_stages": (),
                "student_embedding": False,
                "teacher_embedding": False,
                "sample_index": False,
                "whole_batch": False,
                "views": 1,
            },
        ),
        (Setup, "student teacher num_classes train_size train_labels generator", {}),
        (StageInfo, "stage channels grid prefix_tokens", {}),
        (FeatureMap, "map prefix", {"prefix": None}),
        (ModelOutput, "logits features embedding", {"embedding": None}),
        (Batch, "images target index", {}),
        (Progress, "epoch step total_steps total_epochs", {}),
        (
            DistillerEntry,
            "name kind summary target options paper task_weight",
            {"paper": None, "task_weight": 1.0},
        ),
        (AdapterEntry, "name summary target models", {}),
        (DatasetEntry, "name summary target num_classes", {}),
        (ModelEntry, "name summary target", {}),
    ],
)
def test_the_fields_come_in_the_contracts_order(value: type, names: str, defaults: dict[str, object]):
    assert [field.name for field in fields(value)][: len(names.split())] == names.split()
    found = inspect.signature(value).parameters
    assert {name: found[name].default for name in defaults} == defaults


def test_everything_that_an_author_needs_is_exported():
    for name in [
        "PLUGIN_API",
        "hookimpl",
        "Paper",
        "Distiller",
        "FeatureAdapter",
        "ModelInfo",
        "DistillerOptions",
        "Stage",
        "Requires",
        "Setup",
        "StageInfo",
        "FeatureMap",
        "ModelOutput",
        "Batch",
        "Progress",
        "Distillation",
    ]:
        assert hasattr(kdcore, name)
        assert name in kdcore.__all__
    assert isinstance(kdcore.PLUGIN_API, int)


def test_a_strangers_distiller_by_name(stranger: ModuleType, pair, images: Tensor):
    student, teacher = pair
    d = Distillation(
        student, teacher, "toy-bank", num_classes=2, image_size=16, train_size=10, stage=4, weight=2.0
    )
    out = d(images, TARGET, index=INDEX, progress=Progress(1.0, 5, 20, 4))
    logits, guided = student(images), teacher(images)
    assert torch.equal(out.logits, logits)
    torch.testing.assert_close(out.task_loss, 0.5 * F.cross_entropy(logits, TARGET))
    soft = F.kl_div(logits.log_softmax(1), guided.softmax(1), reduction="batchmean")
    torch.testing.assert_close(out.terms["loss"], 2.0 * (1 + 1 / 4) * soft)
    torch.testing.assert_close(out.loss, out.task_loss + out.terms["hint"] + out.terms["loss"])
    assert d.student is student
    assert d.teacher is teacher
    assert len(d.distillers) == 1
    out.loss.backward()
    assert all(weight.grad is not None for weight in d.parameters())
    assert all(weight.grad is None for weight in teacher.parameters())
    (bank,) = [module for module in d.modules() if isinstance(module, stranger.Bank)]
    owned = {id(weight) for weight in (*student.parameters(), *bank.parameters())}
    assert {id(weight) for weight in d.parameters()} == owned
    assert bank.bank[INDEX].abs().sum() > 0
    assert bank.bank[[1, 2, 4, 6, 8, 9]].abs().sum() == 0


def test_what_a_distiller_is_built_from(stranger: ModuleType, pair):
    labels = torch.arange(10) % 2
    Distillation(
        *pair, "toy-bank", num_classes=2, image_size=(16, 24), train_size=10, train_labels=labels, stage=3
    )
    setup = stranger.SEEN[-1]
    assert (setup.num_classes, setup.train_size) == (2, 10)
    assert torch.equal(setup.train_labels, labels)
    assert isinstance(setup.generator, torch.Generator)
    assert [tuple(stage.grid) for stage in setup.student.stages] == [(8, 12), (4, 6), (2, 3), (1, 2)]
    assert [stage.stage for stage in setup.teacher.stages] == [1, 2, 3, 4]
    assert setup.teacher.stage("body.1").channels == 6
    assert (setup.student.embedding_dim, setup.teacher.embedding_dim) == (4, 6)
    assert setup.student.num_parameters == sum(weight.numel() for weight in pair[0].parameters())
    assert isinstance(setup.student.name, str)


def test_several_by_name_options_and_instance(stranger: ModuleType, pair, images: Tensor):
    student, teacher = pair
    own = stranger.Plain(kdcore.DistillerOptions(weight=3.0), None)
    d = Distillation(
        student,
        teacher,
        [{"name": "stranger/toy-bank", "decay": 0.1}, own, "vanilla"],
        num_classes=2,
        image_size=16,
        train_size=10,
        task_weight=0.25,
    )
    out = d(images, TARGET, index=INDEX)
    assert len(out.terms) == 3
    torch.testing.assert_close(out.task_loss, 0.25 * F.cross_entropy(student(images), TARGET))
    torch.testing.assert_close(out.loss, out.task_loss + sum(out.terms.values()))
    assert len(d.distillers) == 3


def test_no_teacher(stranger: ModuleType, pair, images: Tensor):
    d = Distillation(pair[0], None, "toy-plain", num_classes=2, image_size=16, weight=2.0)
    out = d(images, TARGET)
    assert d.teacher is None
    torch.testing.assert_close(out.terms["size"], 2.0 * pair[0](images).square().mean())


def test_soft_targets(stranger: ModuleType, pair, images: Tensor):
    soft = torch.tensor([[0.3, 0.7], [1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    d = Distillation(*pair, "toy-bank", num_classes=2, image_size=16, train_size=10)
    out = d(images, soft, index=INDEX)
    expected = -(soft * pair[0](images).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(out.task_loss, 0.5 * expected)


def test_what_is_missing_is_told(stranger: ModuleType, pair, images: Tensor):
    d = Distillation(*pair, "toy-bank", num_classes=2, image_size=16, train_size=10)
    with pytest.raises(ValueError, match="index"):
        d(images, TARGET)
    with pytest.raises(kdcore.UserError, match="toy-bonk"):
        Distillation(*pair, "toy-bonk", num_classes=2, image_size=16)
    with pytest.raises(kdcore.UserError, match="dekay"):
        Distillation(*pair, "toy-bank", num_classes=2, image_size=16, train_size=10, dekay=1.0)
    with pytest.raises(kdcore.UserError, match="teacher"):
        Distillation(pair[0], None, "toy-bank", num_classes=2, image_size=16, train_size=10)
