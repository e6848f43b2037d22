"""Teachers that change during the run: peers that learn with the student, and the student's own average."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import kdcore
from kdcore import AdaptedModel, Distillation, Requires, UserError, load_student, open_run, run

PEER = {"model": "resnet10t", "options": {"channels": [8, 8, 8, 16]}, "learns": True}
ENTRY = """
    from kdcore import DistillerEntry, hookimpl
    @hookimpl
    def kd_distillers():
        return [DistillerEntry("mutual", "mutual", "Both learn.", "mutual_code:Mutual", "mutual_code:MutualOptions")]
"""
CODE = """
    import torch.nn.functional as F
    from torch import nn
    from kdcore import DistillerOptions, Requires

    class MutualOptions(DistillerOptions):
        pass

    class Mutual(nn.Module):
        def __init__(self, options, setup):
            super().__init__()
            self.requires = Requires(teacher_learns=True, several_teachers=True)

        def forward(self, student, teacher, batch, progress):
            outputs = {"student": student, **teacher}
            terms = {}
            for name, own in outputs.items():
                others = [one.logits.detach() for other, one in outputs.items() if other != name]
                log = F.log_softmax(own.logits, dim=1)
                terms[name] = sum(
                    F.kl_div(log, F.log_softmax(other, dim=1), log_target=True, reduction="batchmean")
                    for other in others
                ) / len(others)
            return terms
"""


class Both(torch.nn.Module):
    """Reads a teacher that learns, and pulls both to each other."""

    requires = Requires(teacher_learns=True)

    def forward(self, student, teacher, *_):
        return {"apart": F.mse_loss(student.logits, teacher.logits)}


class Still(torch.nn.Module):
    requires = Requires()

    def forward(self, student, teacher, *_):
        assert not teacher.logits.requires_grad
        return {"apart": F.mse_loss(student.logits, teacher.logits)}


@pytest.fixture
def mutual(install):
    install("kd-mutual", ENTRY, mutual_code=CODE)


@pytest.fixture
def nets():
    torch.manual_seed(0)
    channels = {"channels": (4, 4, 8, 8), "num_classes": 3}
    return timm.create_model("resnet10t", **channels), timm.create_model("resnet10t", **channels)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def problems(path: Path) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        kdcore.validate(path)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_the_loss_has_the_task_loss_of_both(nets):
    student, peer = nets
    given = AdaptedModel(model=peer, learns=True)
    distillation = Distillation(student, given, Both(), num_classes=3, image_size=32, label_smoothing=0.1)
    images, target = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    out = distillation(images, target)
    logits = [model(images) for model in nets]
    tasks = [F.cross_entropy(one, target, label_smoothing=0.1) for one in logits]
    torch.testing.assert_close(out.task_loss, tasks[0])
    torch.testing.assert_close(out.terms["teacher.task"], tasks[1])
    torch.testing.assert_close(out.loss, tasks[0] + tasks[1] + F.mse_loss(*logits))
    out.loss.backward()
    assert all(parameter.grad is not None for model in nets for parameter in model.parameters())
    assert {id(one) for one in distillation.parameters()} == {
        id(one) for net in nets for one in net.parameters()
    }


def test_it_is_in_the_students_mode(nets):
    distillation = Distillation(
        nets[0], AdaptedModel(model=nets[1], learns=True), Both(), num_classes=3, image_size=32
    )
    assert nets[1].training
    assert not distillation.eval().teacher.training
    assert {name.partition(".")[0] for name in distillation.state_dict()} == {"student", "learners"}


def test_other_distillers_get_no_gradient_to_it(nets):
    given = AdaptedModel(model=nets[1], learns=True)
    distillation = Distillation(nets[0], given, Still(), num_classes=3, image_size=32)
    images, target = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    distillation(images, target).terms["apart"].backward()
    assert all(parameter.grad is None for parameter in nets[1].parameters())


def test_a_teacher_passes_is_refused(nets):
    with pytest.raises(
        UserError, match="'both' trains student and teacher together, and its teacher is frozen"
    ):
        Distillation(*nets, Both(), num_classes=3, image_size=32)


@pytest.mark.usefixtures("mutual")
def test_two_peers_resumed_to_the_bit(spec_file, tmp_path):
    path = spec_file(teacher=PEER, distiller="mutual", train={"epochs": 2, "ema": 0.9})
    whole = run(path, output=tmp_path / "whole", quiet=True)
    run(path, output=tmp_path / "parts", until=1, quiet=True)
    parts = run(path, output=tmp_path / "parts", quiet=True)
    for folder in ("student", "student-ema", "teachers/teacher", "teachers-ema/teacher"):
        assert same(whole.directory / folder, parts.directory / folder)
    first = timm.create_model("resnet10t", channels=(8, 8, 8, 16), num_classes=10).state_dict()
    assert weights(whole.directory / "teachers" / "teacher").keys() == first.keys()
    records = [json.loads(line) for line in (whole.directory / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        assert set(record["terms"]) == {"student", "teacher", "teacher.task"}
        assert record["eval"]["agreement"] is not None
    assert whole.summary["teacher"]["top1"] == pytest.approx(records[-1]["teachers"]["teacher"]["top1"])
    assert whole.summary["teacher"]["learns"] is True
    assert not same(whole.directory / "teachers" / "teacher", whole.directory / "teachers-ema" / "teacher")
    averaged = records[-1]["teachers"]["teacher"]["ema"]
    assert whole.summary["teacher"]["ema"] == averaged
    assert load_student(whole.directory / "teachers-ema" / "teacher").config.num_classes == 10


@pytest.mark.usefixtures("mutual")
def test_the_average_of_a_peer_follows_its_weights(spec_file):
    # timm's average begins as a copy after the first step
    size = {"train_samples": 20, "eval_samples": 20}
    train = {"epochs": 1, "batch_size": 20, "ema": 0.75}
    done = run(spec_file(teacher=PEER, distiller="mutual", train=train, data=size), quiet=True)
    assert done.summary["steps"] == 1
    assert same(done.directory / "teachers" / "teacher", done.directory / "teachers-ema" / "teacher")


@pytest.mark.usefixtures("mutual")
def test_several_peers_each_saved_and_opened(spec_file):
    peers = [{"name": "one", **PEER}, {"name": "two", **PEER}]
    done = run(spec_file(teacher=peers, distiller="mutual"), quiet=True)
    assert not same(done.directory / "teachers" / "one", done.directory / "teachers" / "two")
    opened = open_run(done.directory)
    assert list(opened.teacher.members) == ["one", "two"]
    for name, member in opened.teacher.members.items():
        saved = weights(done.directory / "teachers" / name)
        assert all(torch.equal(value.cpu(), saved[key]) for key, value in member.model.state_dict().items())
    assert done.directory.joinpath("teachers", "one", "config.json").is_file()


@pytest.mark.usefixtures("mutual")
def test_it_may_start_from_weights_and_teach_others_later(spec_file):
    first = run(spec_file("first", teacher=PEER, distiller="mutual"), quiet=True)
    folder = first.directory / "teachers" / "teacher"
    later = {"model": None, "checkpoint": str(folder), "learns": True}
    second = run(spec_file("second", teacher=later, distiller="mutual"), quiet=True)
    assert not same(folder, second.directory / "teachers" / "teacher")


def test_the_students_average_teaches(spec_file):
    pytest.importorskip("kd_classic")
    path = spec_file(teacher={"of": "student-ema"}, distiller="kd", train={"ema": 0.5})
    done = run(path, quiet=True)
    assert done.summary["teacher"]["of"] == "student-ema"
    assert done.summary["teacher"]["top1"] == pytest.approx(done.summary["student"]["ema"]["top1"])
    alone = run(spec_file("alone", teacher=None, distiller="vanilla", train={"ema": 0.5}), quiet=True)
    assert not same(done.directory / "student", alone.directory / "student")
    assert open_run(done.directory).teacher.missing == "the teacher is the student's own average"


def test_a_run_with_the_average_as_teacher_goes_on_to_the_bit(spec_file, tmp_path):
    pytest.importorskip("kd_classic")
    path = spec_file(teacher={"of": "student-ema"}, distiller="kd", train={"ema": 0.5})
    whole = run(path, output=tmp_path / "whole", quiet=True)
    run(path, output=tmp_path / "parts", until=1, quiet=True)
    parts = run(path, output=tmp_path / "parts", quiet=True)
    assert same(whole.directory / "student", parts.directory / "student")


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"teacher": {"of": "student-ema"}}, "teacher.of", "the student's average, and there is none"),
        ({"teacher": {"of": "student-ema", "model": "resnet18"}}, "teacher", "'of' excludes 'model'"),
        ({"teacher": {**PEER, "precision": "fp32"}}, "teacher", "'learns' excludes 'precision'"),
        ({"teacher": {**PEER, "classifier": False}}, "teacher", "'learns' excludes 'classifier': false"),
        ({"teacher": PEER, "task": {"weight": 0}}, "task.weight", "needs the task loss"),
        ({"teacher": PEER, "teacher_cache": {"augmentations": 1}}, "teacher_cache", "changes during the run"),
        ({"teacher": PEER, "train": {"fsdp": "student"}}, "teacher.learns", "cannot be sharded"),
        ({"teacher": PEER, "optimizer": {"name": "dot"}}, "teacher.learns", "has a task of its own"),
    ],
)
def test_what_it_does_not_go_with(spec_file, change, where, message):
    pytest.importorskip("kd_classic")
    assert message in problems(spec_file(**{"distiller": "kd", **change}))[where]


def test_an_average_of_a_student_with_a_head_is_no_teacher(spec_file):
    pytest.importorskip("kd_feature")
    path = spec_file(teacher={"of": "student-ema"}, distiller="simkd", train={"ema": 0.9}, task={"weight": 0})
    assert "whose average cannot be the teacher" in problems(path)["teacher.of"]
