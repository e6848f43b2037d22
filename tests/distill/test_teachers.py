"""Several teachers in one distillation: by name, as the mean, and all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdcore import AdaptedModel, Distillation, ModelOutput, Requires, UserError
from kdcore.ops import mean_logits

K = 3
target = torch.tensor([0, 1, 2, 0])


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.fc = nn.Linear(width, K)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv(images).relu().mean((2, 3)))


class Reads(nn.Module):
    """Keeps what it gets of teachers; its loss is the mean of the student's logits."""

    def __init__(self, **requires: Any) -> None:
        super().__init__()
        self.requires = Requires(**requires)
        self.seen: list[Any] = []

    def forward(self, student: ModelOutput, teacher: Any, *_: Any) -> dict[str, Tensor]:
        self.seen.append(teacher)
        return {"mean": student.logits.mean()}


@pytest.fixture
def nets() -> dict[str, Net]:
    torch.manual_seed(0)
    return {"a": Net(4), "b": Net(6), "c": Net(8)}


@pytest.fixture
def student() -> Net:
    torch.manual_seed(1)
    return Net(4)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def built(student: nn.Module, teachers: Any, distillers: Any, **more: Any) -> Distillation:
    return Distillation(student, teachers, distillers, num_classes=K, image_size=8, task_weight=1.0, **more)


def test_each_distiller_reads_the_teacher_that_it_names(student: Net, nets: dict[str, Net], images: Tensor):
    one, other = Reads(), Reads()
    both = [{"distiller": one, "teacher": "a"}, {"distiller": other, "teacher": "c"}]
    distillation = built(student, nets, both)
    out = distillation(images, target)
    torch.testing.assert_close(one.seen[0].logits, nets["a"](images))
    torch.testing.assert_close(other.seen[0].logits, nets["c"](images))
    # nobody reads b
    assert set(out.logits_of_teachers) == {"a", "c"}
    assert not distillation.teacher_passes["b"].is_read
    assert out.teacher_logits is None


def test_the_mean_is_that_of_the_probabilities(student: Net, nets: dict[str, Net], images: Tensor):
    kd_classic = pytest.importorskip("kd_classic")
    distillation = built(
        student, nets, [{"name": "kd", "teacher": "mean", "temperature": 2.0, "weight": 1.0}]
    )
    out = distillation(images, target)
    with torch.no_grad():
        mean = torch.stack([net(images).softmax(1) for net in nets.values()]).mean(0)
    by_hand = kd_classic.kd_loss(student(images), mean.log(), temperature=2.0)
    torch.testing.assert_close(out.terms["kd"], by_hand)


def test_all_teachers_come_by_name(student: Net, nets: dict[str, Net], images: Tensor):
    stages = {"a": ("conv",), "b": ("fc", "conv")}
    distiller = Reads(several_teachers=True, teacher_stages=stages)
    built(student, nets, distiller)(images, target)
    (seen,) = distiller.seen
    assert list(seen) == ["a", "b", "c"]
    assert [tuple(output.features) for output in seen.values()] == [("conv",), ("fc", "conv"), ()]
    torch.testing.assert_close(seen["a"].features["conv"].map, nets["a"].conv(images))


def test_all_teachers_of_one(student: Net, nets: dict[str, Net], images: Tensor):
    distiller = Reads(several_teachers=True)
    built(student, nets["a"], distiller)(images, target)
    assert list(distiller.seen[0]) == ["teacher"]


def test_a_whole_batch_gets_of_each_teacher_what_it_requires(
    student: Net, nets: dict[str, Net], images: Tensor
):
    distiller = Reads(
        several_teachers=True,
        whole_batch=True,
        student_logits=True,
        teacher_logits=False,
        teacher_stages={"b": ("conv",)},
    )
    other = {"distiller": Reads(teacher_stages=("conv",)), "teacher": "a"}
    built(student, nets, [distiller, other])(images, target)
    (seen,) = distiller.seen
    assert all(output.logits is None for output in seen.values())
    assert [tuple(output.features) for output in seen.values()] == [(), ("conv",), ()]


def test_each_teacher_has_its_own_images(student: Net, nets: dict[str, Net], images: Tensor):
    distiller = Reads(several_teachers=True)
    given = {"a": nets["a"], "b": AdaptedModel(model=nets["b"], images=lambda images: 2 * images + 1)}
    built(student, given, distiller)(images, target)
    torch.testing.assert_close(distiller.seen[0]["a"].logits, nets["a"](images))
    torch.testing.assert_close(distiller.seen[0]["b"].logits, nets["b"](2 * images + 1))


def test_known_outputs_replace_the_passes(student: Net, nets: dict[str, Net], images: Tensor):
    distiller = Reads(several_teachers=True)
    distillation = built(student, nets, distiller)
    known = {name: ModelOutput(torch.full((4, K), float(number))) for number, name in enumerate(nets)}
    distillation(images, target, teacher_output=known)
    assert [float(output.logits[0, 0]) for output in distiller.seen[0].values()] == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="teacher_output has no output of b, c"):
        distillation(images, target, teacher_output={"a": known["a"]})
    with pytest.raises(ValueError, match="an output for each teacher: a, b, c"):
        distillation(images, target, teacher_output=known["a"])


def test_the_only_teacher_is_a_property(student: Net, nets: dict[str, Net]):
    assert built(student, nets["a"], Reads()).teacher is nets["a"]
    several = built(student, nets, Reads(teacher=False))
    assert several.teachers == nets
    with pytest.raises(ValueError, match="several teachers, in `teachers`: a, b, c"):
        _ = several.teacher


def test_teachers_are_frozen_and_no_part_of_the_state(student: Net, nets: dict[str, Net]):
    distillation = built(student, nets, Reads(several_teachers=True))
    assert not any(parameter.requires_grad for net in nets.values() for parameter in net.parameters())
    assert {id(parameter) for parameter in distillation.parameters()} == {
        id(parameter) for parameter in student.parameters()
    }
    assert all(name.startswith("student.") for name in distillation.state_dict())
    distillation.double()
    assert all(parameter.dtype == torch.float64 for net in nets.values() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("distiller", "where", "message", "allowed"),
    [
        ({"name": "kd"}, "distiller", "'kd' reads one teacher, and the spec has several", "a, b, c, mean"),
        (Reads(), "distiller", "'reads' reads one teacher, and the spec has several", "a, b, c, mean"),
        ({"name": "kd", "teacher": "d"}, "distiller.teacher", "no teacher has this name", "a, b, c, mean"),
        (
            {"distiller": Reads(several_teachers=True), "teacher": "a"},
            "distiller.teacher",
            "'reads' reads all teachers of the spec",
            None,
        ),
        (
            {"distiller": Reads(teacher_stages=("conv",)), "teacher": "mean"},
            "teacher 'mean'",
            "the mean of several teachers has probabilities only",
            None,
        ),
        (
            {"distiller": Reads(teacher_embedding=True), "teacher": "mean"},
            "teacher 'mean'",
            "the mean of several teachers has probabilities only",
            None,
        ),
    ],
)
def test_what_a_distiller_cannot_read(
    student: Net, nets: dict[str, Net], distiller: Any, where: str, message: str, allowed: str | None
):
    pytest.importorskip("kd_classic")
    with pytest.raises(UserError) as caught:
        built(student, nets, [distiller])
    (problem,) = caught.value.problems
    assert (problem.where, problem.allowed) == (where, allowed)
    assert message in problem.message


def test_an_encoder_has_no_part_in_a_mean(student: Net, nets: dict[str, Net]):
    given = {"a": nets["a"], "b": AdaptedModel(model=nets["b"], classifier=False)}
    with pytest.raises(UserError, match="these teachers are encoders: b"):
        built(student, given, [{"distiller": Reads(), "teacher": "mean"}])


def test_a_distiller_of_all_logits_refuses_an_encoder(student: Net, nets: dict[str, Net]):
    given = {"a": nets["a"], "b": AdaptedModel(model=nets["b"], classifier=False)}
    with pytest.raises(UserError, match="reads the teacher's logits, and teacher 'b' has no classifier"):
        built(student, given, Reads(several_teachers=True))


def test_mean_of_one_teacher_is_no_choice(student: Net, nets: dict[str, Net]):
    with pytest.raises(UserError, match="no teacher has this name"):
        built(student, nets["a"], [{"distiller": Reads(), "teacher": "mean"}])


def test_stages_by_teacher_need_several_teachers():
    with pytest.raises(ValueError, match="needs several_teachers=True"):
        Requires(teacher_stages={"a": (1,)})
    requires = Requires(several_teachers=True, teacher_stages={"a": (1,)})
    assert requires.of_member("a").teacher_stages == (1,)
    assert requires.of_member("b").teacher_stages == requires.of_member(None).teacher_stages == ()
    with pytest.raises(ValueError, match="call of_member first"):
        requires.union(Requires())


def test_mean_logits_by_hand():
    logits = [torch.tensor([[0.0, 0.0]]), torch.tensor([[torch.log(torch.tensor(3.0)), 0.0]])]
    torch.testing.assert_close(mean_logits(logits).exp(), torch.tensor([[0.625, 0.375]]))


def test_mean_logits_of_extreme_logits_are_finite():
    logits = [torch.tensor([[1e4, -1e4]]), torch.tensor([[1e4, -1e4]])]
    torch.testing.assert_close(mean_logits(logits), torch.tensor([[0.0, -2e4]]))
    half = [one.half() for one in (torch.tensor([[1e3, -1e3]]), torch.tensor([[-1e3, 1e3]]))]
    assert mean_logits(half).dtype == torch.float32
    torch.testing.assert_close(mean_logits(half).exp(), torch.tensor([[0.5, 0.5]]))
    with pytest.raises(ValueError, match="at least one model"):
        mean_logits([])
