from __future__ import annotations

import copy
import dataclasses
import warnings
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore import (
    AdaptedModel,
    Batch,
    Distillation,
    FeatureMap,
    ModelOutput,
    Progress,
    Requires,
    TimmAdapter,
    UserError,
)
from kdcore.distill.build import build_distiller
from kdcore.distill.targets import TargetCheck


class Net(nn.Module):
    """A classifier that is not timm's."""

    def __init__(self, width: int = 4, num_classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))


class Difference(nn.Module):
    """The squared difference of the logits, and of a module's features after a trained projection."""

    def __init__(self, weight: float = 1.0, **requires: Any) -> None:
        super().__init__()
        self.requires = Requires(**{"student_stages": ("conv",), "teacher_stages": ("conv",), **requires})
        self.head = nn.Conv2d(4, 6, 1)
        self.weight = weight
        self.seen: list[tuple[ModelOutput, ModelOutput | None, Batch, Progress]] = []

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        self.seen.append((student, teacher, batch, progress))
        terms = {"logits": self.weight * F.mse_loss(student.logits, teacher.logits)}
        if self.requires.student_stages:
            terms["hint"] = F.mse_loss(self.head(student.features["conv"].map), teacher.features["conv"].map)
        return terms


class Nothing(nn.Module):
    requires = Requires(teacher=False)

    def forward(self, *_: Any) -> dict[str, Tensor]:
        return {}


@pytest.fixture
def pair() -> tuple[Net, Net]:
    torch.manual_seed(0)
    return Net(4), Net(6)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


target = torch.tensor([0, 1, 2, 0, 1])


def test_the_loss_is_the_task_loss_plus_the_terms(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distillation = Distillation(
        student, teacher, Difference(), num_classes=3, image_size=8, label_smoothing=0.1
    )
    out = distillation(images, target)
    # the student again, by hand, with the statistics of the batch as in the pass above
    logits = student(images)
    with torch.no_grad():
        guided = teacher(images)
    assert torch.equal(out.logits, logits)
    assert out.teacher_logits is not None
    assert torch.equal(out.teacher_logits, guided)
    task = F.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(out.task_loss, task)
    torch.testing.assert_close(out.terms["logits"], ((logits - guided) ** 2).mean())
    torch.testing.assert_close(out.loss, task + out.terms["logits"] + out.terms["hint"])


def test_everything_but_the_teacher_is_trained(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distiller = Difference()
    distillation = Distillation(student, teacher, distiller, num_classes=3, image_size=8)
    expected = {id(one) for one in (*student.parameters(), *distiller.parameters())}
    assert {id(one) for one in distillation.parameters()} == expected
    distillation.train()(images, target).loss.backward()
    assert all(one.grad is not None for one in distillation.parameters())
    assert all(one.grad is None and not one.requires_grad for one in teacher.parameters())
    assert student.training
    assert not teacher.training
    assert not any("teacher" in name for name in distillation.state_dict())
    assert distillation.student is student
    assert distillation.teacher is teacher
    assert list(distillation.distillers) == [distiller]


def test_the_teachers_statistics_do_not_move(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    before = copy.deepcopy(teacher.state_dict())
    distillation = Distillation(student, teacher, Difference(), num_classes=3, image_size=8).train()
    distillation(images, target)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_the_teacher_moves_along(pair: tuple[Net, Net]):
    student, teacher = pair
    distillation = Distillation(student, teacher, Difference(), num_classes=3, image_size=8).to(torch.float64)
    assert teacher.fc.weight.dtype == torch.float64
    out = distillation(torch.randn(2, 3, 8, 8, dtype=torch.float64), target[:2])
    assert out.loss.dtype == torch.float64


def test_one_forward_pass_a_model_whatever_the_number_of_distillers(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    calls = {"student": 0, "teacher": 0}
    for name, model in (("student", student), ("teacher", teacher)):
        model.register_forward_pre_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    one, other = Difference(), Difference(weight=2.0)
    distillation = Distillation(student, teacher, [one, other], num_classes=3, image_size=8)
    calls.update(student=0, teacher=0)
    out = distillation(images, target)
    assert calls == {"student": 1, "teacher": 1}
    assert set(out.terms) == {
        "difference.logits",
        "difference.hint",
        "difference_2.logits",
        "difference_2.hint",
    }
    torch.testing.assert_close(out.terms["difference_2.logits"], 2 * out.terms["difference.logits"])


def test_a_distiller_gets_what_it_asks_for(pair: tuple[Net, Net], images: Tensor):
    distiller = Difference(sample_index=True)
    distillation = Distillation(*pair, distiller, num_classes=3, image_size=8)
    index, progress = torch.arange(5), Progress(epoch=1.5, step=3, total_steps=10, total_epochs=5)
    with pytest.raises(ValueError, match="index is missing: distiller 'difference' needs each"):
        distillation(images, target)
    distillation(images, target, index=index, progress=progress)
    student, teacher, batch, seen = distiller.seen[-1]
    assert isinstance(student.features["conv"], FeatureMap)
    assert student.features["conv"].map.shape == (5, 4, 4, 4)
    assert teacher is not None
    assert teacher.features["conv"].map.shape == (5, 6, 4, 4)
    assert not teacher.logits.requires_grad
    assert batch.index is index
    assert seen is progress


def test_views_are_passed_one_by_one(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distiller = Difference(views=2, student_stages=(), teacher_stages=())
    distillation = Distillation(student.eval(), teacher, distiller, num_classes=3, image_size=8).eval()
    both = torch.stack([images, images.flip(3)], dim=1)
    out = distillation(both, target)
    seen = distiller.seen[-1][0]
    torch.testing.assert_close(seen.views[0].logits, student(images))
    torch.testing.assert_close(seen.views[1].logits, student(images.flip(3)))
    expected = (
        F.cross_entropy(student(images), target) + F.cross_entropy(student(images.flip(3)), target)
    ) / 2
    torch.testing.assert_close(out.task_loss, expected)
    with pytest.raises(ValueError, match="2 views"):
        distillation(images, target)


def test_without_a_task_loss_no_labels_are_needed_and_the_classifier_still_has_a_gradient(
    pair: tuple[Net, Net], images: Tensor
):
    student, teacher = pair
    distiller = Difference()
    distillation = Distillation(student, teacher, distiller, num_classes=3, image_size=8, task_weight=0.0)
    out = distillation(images)
    assert out.task_loss.item() == 0
    out.terms["hint"].backward(retain_graph=True)
    assert student.fc.weight.grad is None
    out.loss.backward()
    assert student.fc.weight.grad is not None


def test_labels_that_are_needed_and_missing_are_said(pair: tuple[Net, Net], images: Tensor):
    with pytest.raises(ValueError, match="target is missing"):
        Distillation(*pair, Difference(), num_classes=3, image_size=8)(images)
    reading = Distillation(*pair, Difference(target=True), num_classes=3, image_size=8, task_weight=0.0)
    with pytest.raises(ValueError, match="target is missing: distiller 'difference' needs the ground truth"):
        reading(images)


def test_soft_targets(pair: tuple[Net, Net], images: Tensor):
    soft = torch.full((5, 3), 1 / 3)
    out = Distillation(*pair, Difference(), num_classes=3, image_size=8)(images, soft)
    expected = -(F.log_softmax(out.logits, dim=1) / 3).sum(1).mean()
    torch.testing.assert_close(out.task_loss, expected)


def test_targets_of_other_integers_and_of_16_bits(pair: tuple[Net, Net], images: Tensor):
    distillation = Distillation(*pair, Difference(), num_classes=3, image_size=8)
    expected = distillation(images, target).task_loss
    for kind in (torch.int32, torch.uint8):
        torch.testing.assert_close(distillation(images, target.to(kind)).task_loss, expected)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        soft = torch.tensor([[0.1, 0.2, 0.7]] * 5).to(kind)
        assert distillation(images, soft).loss.isfinite()


ONES = torch.tensor([[1.0, 0.0, 0.0]] * 4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            torch.cat([ONES, torch.tensor([[1.0, 1.0, 0.0]])]),
            r"target\[4\] sums to 2;.*Several labels an image need",
        ),
        (torch.cat([ONES, torch.tensor([[0.0, 0.0, 0.0]])]), r"target\[4\] sums to 0"),
        (torch.cat([ONES, torch.tensor([[0.8, 0.8, -0.6]])]), r"target\[4\] has the negative value -0\.6"),
        (torch.cat([ONES, torch.tensor([[0.5, float("nan"), 0.5]])]), r"target\[4\] has values that are NaN"),
        (torch.tensor([0, 1, 3, 0, 1]), r"target\[2\] is 3; allowed: class indices from 0 to 2"),
        (torch.tensor([0, 1, 2, 0, -100]), r"target\[4\] is -100;.*without a label"),
        (torch.full((5, 4), 0.25), r"target has the shape \[5, 4\];.*\[B, K\] = \[5, 3\]"),
        (torch.tensor([[0], [1], [2], [0], [1]]), r"shape \[5, 1\];.*squeeze"),
        (torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0]), r"is float32; class indices are integers"),
        (torch.tensor([True, False, True, False, True]), r"is bool; class indices are integers"),
        (F.one_hot(target, 3), r"is int64; probabilities are floating-point"),
        (torch.tensor([0, 1]), r"target has 2 rows, and there are 5 images"),
        (torch.full((2, 3), 1 / 3), r"target has 2 rows, and there are 5 images"),
        (torch.zeros(5, 3, 1), r"target has the shape \[5, 3, 1\]"),
        (torch.tensor(1), r"target has the shape \[\]"),
    ],
)
def test_a_target_that_is_none_is_refused(pair: tuple[Net, Net], images: Tensor, wrong: Tensor, words: str):
    distillation = Distillation(*pair, Difference(), num_classes=3, image_size=8)
    distillation(images, target)
    with pytest.raises(ValueError, match=words):
        distillation(images, wrong)


def test_a_target_that_nobody_reads_may_be_anything(pair: tuple[Net, Net], images: Tensor):
    distillation = Distillation(*pair, Difference(), num_classes=3, image_size=8, task_weight=0.0)
    distillation(images, torch.ones(5, 3))
    with pytest.raises(ValueError, match="sums to 3"):
        Distillation(*pair, Difference(target=True), num_classes=3, image_size=8, task_weight=0.0)(
            images, torch.ones(5, 3)
        )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.arange(4), r"index is int64 of shape \[4\]; allowed: integers \[B\] = \[5\]"),
        (torch.arange(5.0), "index is float32"),
        (torch.tensor([0, 1, 2, 3, -1]), "position -1; allowed: 0 to 7"),
        (torch.tensor([0, 1, 2, 3, 8]), "position 8; allowed: 0 to 7"),
    ],
)
def test_an_index_that_is_no_position_is_refused(
    pair: tuple[Net, Net], images: Tensor, wrong: Tensor, words: str
):
    distiller = Difference(sample_index=True)
    distillation = Distillation(*pair, distiller, num_classes=3, image_size=8, train_size=8)
    distillation(images, target, index=torch.arange(5))
    with pytest.raises(ValueError, match=words):
        distillation(images, target, index=wrong)


def test_outputs_that_do_not_fit_are_refused(pair: tuple[Net, Net], images: Tensor):
    with pytest.raises(ValueError, match=r"logits of the shape \[5, 3\], and num_classes is 4"):
        Distillation(*pair, Difference(), num_classes=4, image_size=8)(images, target)
    distillation = Distillation(*pair, Difference(), num_classes=3, image_size=8)
    with pytest.raises(ValueError, match="the teacher's output is for 1 images, and the batch has 5"):
        distillation(images, target, teacher_output=ModelOutput(torch.zeros(1, 3)))
    features = {4: FeatureMap(torch.zeros(2, 4, 2, 2))}
    with pytest.raises(ValueError, match="the teacher's output is for 2 images, and the batch has 5"):
        distillation(images, target, teacher_output=ModelOutput(None, features))
    with pytest.raises(ValueError, match=r"images has the shape \[3, 8, 8\]"):
        distillation(images[0], target)


class Elsewhere(torch.Tensor):
    """A tensor that says it is on an accelerator, where looking at a value waits; counts the looks."""

    looks = 0

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("xpu")

    def __bool__(self) -> bool:
        Elsewhere.looks += 1
        return bool(self.as_subclass(torch.Tensor))


def test_on_an_accelerator_few_looks_find_it_later():
    check, good = TargetCheck(3), torch.tensor([0, 1, 2]).as_subclass(Elsewhere)
    wrong = torch.tensor([0, 1, 3]).as_subclass(Elsewhere)
    with pytest.raises(ValueError, match=r"target\[2\] is 3"):
        check(wrong, 3)  # the first call looks
    check, Elsewhere.looks = TargetCheck(3), 0
    for _ in range(4 * 256):
        check(good, 3)
    assert Elsewhere.looks == 9 + 3  # 1, 2, 4 ... 256, and 512, 768, 1024
    check(wrong, 3)
    with pytest.raises(ValueError, match="in an earlier batch, target was neither"):
        for _ in range(256):
            check(good, 3)
    check.values = False
    check(wrong, 3)


def test_known_outputs_of_the_teacher_spare_its_pass(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distiller = Difference(student_stages=(), teacher_stages=())
    distillation = Distillation(student, teacher, distiller, num_classes=3, image_size=8)
    teacher.register_forward_pre_hook(lambda *_: pytest.fail("the teacher ran"))
    known = ModelOutput(torch.zeros(5, 3))
    out = distillation(images, target, teacher_output=known)
    torch.testing.assert_close(out.terms["logits"], (out.logits**2).mean())


def test_the_teacher_sees_its_own_images(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distiller = Difference(student_stages=(), teacher_stages=())
    distillation = Distillation(
        student,
        AdaptedModel(model=teacher, images=lambda x: 2 * x + 1),
        distiller,
        num_classes=3,
        image_size=8,
    )
    out = distillation(images, target)
    assert out.teacher_logits is not None
    torch.testing.assert_close(out.teacher_logits, teacher(2 * images + 1))


def test_a_run_without_a_teacher(pair: tuple[Net, Net], images: Tensor):
    distillation = Distillation(pair[0], None, Nothing(), num_classes=3, image_size=8)
    out = distillation(images, target)
    assert out.teacher_logits is None
    assert torch.equal(out.loss, out.task_loss)


def test_a_teacher_that_no_distiller_reads_does_not_run(pair: tuple[Net, Net], images: Tensor):
    student, teacher = pair
    distillation = Distillation(student, teacher, Nothing(), num_classes=3, image_size=8)
    teacher.register_forward_pre_hook(lambda *_: pytest.fail("the teacher ran"))
    assert distillation(images, target).teacher_logits is None


def test_a_missing_teacher_is_said(pair: tuple[Net, Net]):
    with pytest.raises(UserError, match="needs a teacher"):
        Distillation(pair[0], None, Difference(), num_classes=3, image_size=8)


def test_an_unknown_module_path_is_said_with_the_nearest(pair: tuple[Net, Net]):
    with pytest.raises(UserError, match=r"student: .*'convv'") as caught:
        Distillation(*pair, Difference(student_stages=("convv",)), num_classes=3, image_size=8)
    assert caught.value.problems[0].nearest == "conv"


class Asking(Difference):
    """Another distiller, by another name."""


@pytest.mark.parametrize(
    ("asks", "given", "words"),
    [
        ({"target": True}, {"target": None}, "distiller 'asking' needs the ground truth"),
        ({"sample_index": True}, {}, "distiller 'asking' needs each sample's position"),
        ({"views": 2}, {}, "distiller 'asking' needs 2 views"),
    ],
)
def test_of_several_distillers_the_one_that_asks_is_named(
    pair: tuple[Net, Net], images: Tensor, asks: dict[str, Any], given: dict[str, Any], words: str
):
    none: dict[str, Any] = {"student_stages": (), "teacher_stages": ()}
    several = [Difference(**none), Asking(**none, **asks)]
    distillation = Distillation(*pair, several, num_classes=3, image_size=8, task_weight=0.0)
    with pytest.raises(ValueError, match=words):
        distillation(images, **{"target": target, **given})


def test_of_several_distillers_the_one_whose_stage_is_missing_is_named(pair: tuple[Net, Net]):
    several: list[Any] = [Difference(), Asking(teacher_stages=("norm", "convv"))]
    with pytest.raises(UserError, match=r"teacher: .*'convv' \(distiller 'asking' needs it\)"):
        Distillation(*pair, several, num_classes=3, image_size=8, task_weight=1.0)


def test_a_stage_that_a_distiller_looks_up_while_it_is_built_names_it(pair: tuple[Net, Net]):
    pytest.importorskip("kd_feature")
    with pytest.raises(UserError, match="distiller 'fitnet' needs it"):
        Distillation(*pair, ["kd", "fitnet"], num_classes=3, image_size=8, task_weight=1.0)


def test_what_is_no_distiller_is_said(pair: tuple[Net, Net]):
    with pytest.raises(UserError, match="'requires'"):
        Distillation(*pair, nn.Linear(2, 2), num_classes=3, image_size=8)
    with pytest.raises(UserError, match="at least one"):
        Distillation(*pair, [], num_classes=3, image_size=8)


def test_by_name_with_the_distillers_own_task_weight(pair: tuple[Net, Net], images: Tensor):
    kd_classic = pytest.importorskip("kd_classic")
    distillation = Distillation(*pair, "kd", num_classes=3, image_size=8, temperature=2.0)
    out = distillation(images, target)
    torch.testing.assert_close(out.task_loss, 0.1 * F.cross_entropy(out.logits, target))
    expected = 0.9 * kd_classic.kd_loss(out.logits, out.teacher_logits, temperature=2.0)
    torch.testing.assert_close(out.terms["kd"], expected)


def test_several_names_need_the_task_weight(pair: tuple[Net, Net], images: Tensor):
    pytest.importorskip("kd_classic")
    several: list[Any] = ["kd", {"name": "dkd", "alpha": 2.0}]
    with pytest.raises(UserError, match=r"task\.weight"):
        Distillation(*pair, several, num_classes=3, image_size=8)
    out = Distillation(*pair, several, num_classes=3, image_size=8, task_weight=1.0)(images, target)
    assert set(out.terms) == {"kd.kd", "dkd.tckd", "dkd.nckd"}


@pytest.mark.parametrize(
    ("distiller", "options", "words"),
    [
        ("kdd", {}, "kdd"),
        ("kd", {"temprature": 2.0}, "temprature"),
        ("kd", {"temperature": "hot"}, "temperature"),
        (["kd"], {"temperature": 2.0, "weight": 1.0}, ""),
        ([{"alpha": 1.0}], {}, "'name'"),
        (["kd", "dkd"], {"temperature": 2.0}, "single distiller"),
    ],
)
def test_wrong_names_and_options_are_said(
    pair: tuple[Net, Net], distiller: Any, options: dict[str, Any], words: str
):
    pytest.importorskip("kd_classic")
    if not words:
        Distillation(*pair, distiller, num_classes=3, image_size=8, **options)
        return
    with pytest.raises(UserError, match=words):
        Distillation(*pair, distiller, num_classes=3, image_size=8, task_weight=1.0, **options)


def test_building_heads_leaves_the_callers_generator_alone(pair: tuple[Net, Net]):
    pytest.importorskip("kd_classic")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Distillation(*pair, "kd", num_classes=3, image_size=8)
    assert torch.equal(torch.rand(1), expected)


def test_a_copy_is_independent(pair: tuple[Net, Net], images: Tensor):
    distillation = Distillation(*pair, Difference(), num_classes=3, image_size=8)
    twin = copy.deepcopy(distillation)
    torch.testing.assert_close(twin(images, target).loss, distillation(images, target).loss)
    with torch.no_grad():
        twin.student.fc.weight.zero_()
    assert not torch.equal(twin.student.fc.weight, distillation.student.fc.weight)
    assert twin.teacher is not distillation.teacher


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_see_float32_logits_under_autocast(pair: tuple[Net, Net], images: Tensor, dtype: torch.dtype):
    distiller = Difference(student_stages=(), teacher_stages=())
    distillation = Distillation(*pair, distiller, num_classes=3, image_size=8)
    with torch.autocast("cpu", dtype=dtype):
        out = distillation(images, target)
    assert out.logits.dtype == torch.float32
    assert distiller.seen[-1][1].logits.dtype == torch.float32  # type: ignore[union-attr]
    assert out.loss.isfinite()


class Warming(nn.Module):
    """Reads how far the run is, in one way or another."""

    def __init__(self, read: Any = lambda progress: progress.epoch) -> None:
        super().__init__()
        self.requires = Requires(teacher=False)
        self.read = read

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        self.read(progress)
        return {"zero": 0 * student.logits.sum()}


MIDDLE = Progress(epoch=1.5, step=3, total_steps=10, total_epochs=5)


@pytest.mark.parametrize(
    "read",
    [
        lambda progress: progress.step,
        lambda progress: progress.total_epochs,
        lambda progress: getattr(progress, "epoch"),  # noqa: B009  # as a plugin may
        dataclasses.astuple,
        lambda progress: dataclasses.replace(progress, step=1),
    ],
)
def test_a_schedule_that_stays_at_its_beginning_is_told_once(
    pair: tuple[Net, Net], images: Tensor, read: Any
):
    both = [Warming(read), Difference(student_stages=(), teacher_stages=())]
    distillation = Distillation(*pair, both, num_classes=3, image_size=8, task_weight=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distillation(images, target, progress=MIDDLE)
    with pytest.warns(UserWarning, match="no progress was given") as caught:
        distillation(images, target)
    (warning,) = caught
    assert str(warning.message).startswith("distiller 'warming' reads how far the run is")
    assert "progress=kdcore.Progress(" in str(warning.message)
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distillation(images, target)


def test_a_distiller_that_reads_no_progress_needs_none(pair: tuple[Net, Net], images: Tensor):
    distillation = Distillation(*pair, Warming(lambda progress: progress), num_classes=3, image_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distillation(images, target)
    with pytest.raises(ValueError, match=r"progress is float; it must be a kdcore\.Progress"):
        distillation(images, target, progress=0.5)


@pytest.mark.parametrize("warmup", [0, 20])
def test_dkd_reads_the_progress_for_its_warm_up_only(pair: tuple[Net, Net], images: Tensor, warmup: int):
    pytest.importorskip("kd_classic")
    distillation = Distillation(*pair, "dkd", num_classes=3, image_size=8, warmup_epochs=warmup)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distillation(images, target)
    assert len(caught) == (1 if warmup else 0)


class ReadsStageTwo(nn.Module):
    def __init__(self, **requires: Any) -> None:
        super().__init__()
        self.requires = Requires(teacher_stages=(2,), **requires)
        self.shapes: list[torch.Size | None] = []

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        self.shapes.append(None if teacher.logits is None else teacher.logits.shape)
        return {"two": teacher.features[2].map.mean() * student.logits.mean()}


def stage_two(*distillers: nn.Module) -> tuple[Distillation, list[str]]:
    student, teacher = (timm.create_model("test_resnet", num_classes=3) for _ in range(2))
    ran: list[str] = []
    for name, module in teacher.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    built = Distillation(student, teacher, list(distillers), num_classes=3, image_size=64, task_weight=1.0)
    ran.clear()
    return built, ran


def test_a_teacher_whose_logits_nobody_reads_stops_at_the_stage_that_is_read():
    reads = ReadsStageTwo(teacher_logits=False)
    distillation, ran = stage_two(reads)
    out = distillation(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
    assert "layer2" in ran
    assert not {"layer3", "layer4", "fc"} & set(ran)
    assert reads.shapes == [None]
    assert out.teacher_logits is None
    whole = distillation.teacher_passes["teacher"].compute(torch.randn(2, 3, 64, 64), whole=True)
    assert whole.logits.shape == (2, 3)


def test_one_that_reads_the_logits_has_them_for_all():
    reads = ReadsStageTwo(teacher_logits=False)
    distillation, ran = stage_two(reads, ReadsStageTwo())
    distillation(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
    assert "fc" in ran
    assert reads.shapes == [(2, 3)]


def test_a_teacher_has_a_precision_of_its_own():
    student, teacher = (timm.create_model("test_resnet", num_classes=3) for _ in range(2))
    distillation = Distillation(
        student, teacher, Difference(student_stages=(), teacher_stages=(4,)), num_classes=3, image_size=64
    )
    images = torch.randn(2, 3, 64, 64)
    distillation.teacher_passes["teacher"].set(precision=torch.bfloat16, channels_last=True)
    assert distillation.teacher_passes["teacher"].compute(images).features[4].map.dtype == torch.bfloat16
    distillation.teacher_passes["teacher"].set(precision=torch.float32, channels_last=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # of the student
        output = distillation.teacher_passes["teacher"].compute(images)
    assert output.features[4].map.dtype == torch.float32


def test_a_teacher_may_have_its_own_adapter_and_image_size():
    class Named(TimmAdapter):
        """Found by no model class: it has to be given."""

    student, teacher = (timm.create_model("test_resnet", num_classes=3) for _ in range(2))
    given = AdaptedModel(
        model=teacher,
        adapter=Named(),
        images=lambda images: nn.functional.interpolate(images, (96, 64)),
        image_size=(96, 64),
    )
    distiller = Difference(student_stages=(), teacher_stages=(4,))
    distillation = Distillation(student, given, distiller, num_classes=3, image_size=64)
    assert distillation.teacher is teacher
    assert distillation.teacher_passes["teacher"].info is not None
    assert distillation.teacher_passes["teacher"].info.stage(4).grid == (3, 2)
    output = distillation.teacher_passes["teacher"].compute(torch.randn(2, 3, 64, 64))
    assert output.features[4].map.shape[2:] == (3, 2)


def test_a_teacher_that_may_not_stop_early_computes_all():
    distillation, ran = stage_two(ReadsStageTwo(teacher_logits=False))
    distillation.teacher_passes["teacher"].stops_early = False
    distillation.teacher_passes["teacher"].compute(torch.randn(2, 3, 64, 64))
    assert "fc" in ran


def test_without_a_teacher_there_are_no_teachers(pair: tuple[Net, Net]):
    distillation = Distillation(pair[0], None, "vanilla", num_classes=3, image_size=8)
    assert distillation.teacher is None
    assert distillation.teachers == distillation.teacher_passes == {}


class ThreeArguments(nn.Module):
    requires = Requires()

    def forward(self, student, teacher, batch):
        raise AssertionError


def test_a_distiller_that_cannot_be_called_is_refused_before_the_first_step():
    said = r"^distiller: distiller 'threearguments': its forward cannot be called with \(student, teacher, batch, prog"
    models = (nn.Linear(2, 3), nn.Linear(2, 3))
    with pytest.raises(UserError, match=said):
        Distillation(*models, ThreeArguments(), num_classes=3, image_size=8)
    without = ThreeArguments()
    without.requires = ("teacher",)
    with pytest.raises(UserError, match=r"'requires' of ThreeArguments must be a kdcore\.Requires"):
        Distillation(*models, without, num_classes=3, image_size=8)


def test_a_distiller_that_cannot_be_built_from_options_and_setup_is_refused():
    class OptionsOnly(nn.Module):
        def __init__(self, options):
            raise AssertionError

    said = r"^distiller: kd-fox/one 1\.0 cannot be called with \(options, setup\): .*its signature is \(options\)"
    with pytest.raises(UserError, match=said):
        build_distiller(OptionsOnly, None, None, name="one", label="kd-fox/one 1.0", seed=0)
