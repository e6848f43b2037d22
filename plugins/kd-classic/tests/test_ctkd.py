from __future__ import annotations

import math

import pytest
import torch
from kd_classic import CTKD, ctkd_loss, ctkd_reversal, kd_loss
from kd_classic.options.softened import CTKDOptions
from kd_dev.testing.values import numbers

from kdcore import Requires

AUTHORS = {"minimum": 1.0, "span": 20.0}


def temperature_of(raw: float, minimum: float = 1.0, span: float = 20.0) -> float:
    return minimum + span / (1 + math.exp(-raw))


@pytest.mark.parametrize(("samples", "classes"), [(1, 3), (5, 7), (3, 1000)])
@pytest.mark.parametrize("raw", [1.0, -2.5])
def test_is_kd_at_the_temperature_of_the_sigmoid(oracle, draw, samples, classes, raw):
    student, teacher, _ = draw(samples, classes)
    expected = oracle.kd(student.tolist(), teacher.tolist(), temperature=temperature_of(raw))
    loss = ctkd_loss(student, teacher, torch.tensor([raw], dtype=torch.float64), reversal=1.0, **AUTHORS)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_first_temperature_of_the_authors():
    # 1 + 20 / (1 + 1/e) = 15.62117
    assert temperature_of(1.0) == pytest.approx(15.62117, abs=1e-5)


@pytest.mark.parametrize("reversal", [0.0, 0.3, 1.0])
def test_the_gradient_of_the_raw_temperature_is_reversed_and_that_of_the_student_is_not(
    oracle, draw, reversal
):
    student, teacher, _ = draw(4, 6)
    student.requires_grad_()
    raw = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s: ctkd_loss(s, teacher, raw.detach(), reversal=reversal, **AUTHORS), (student,)
    )
    loss = ctkd_loss(student, teacher, raw, reversal=reversal, **AUTHORS)
    of_student, of_raw = torch.autograd.grad(loss, (student, raw))

    def at(value: float) -> float:
        return oracle.kd(student.tolist(), teacher.tolist(), temperature=temperature_of(value))

    # finite differences of the formula: both softmaxes and T^2 depend on the temperature
    slope = (at(0.7 + 1e-6) - at(0.7 - 1e-6)) / 2e-6
    assert of_raw.item() == pytest.approx(-reversal * slope, rel=1e-6, abs=1e-12)
    plain = kd_loss(student, teacher, temperature=temperature_of(0.7))
    torch.testing.assert_close(of_student, torch.autograd.grad(plain, student)[0])


def test_the_raw_temperature_may_be_float32_and_the_value_is_that_of_the_students_type(draw):
    student, teacher, _ = draw(4, 6)
    raw = torch.ones(1, requires_grad=True)
    loss = ctkd_loss(student.half(), teacher.half(), raw, reversal=1.0, **AUTHORS)
    assert loss.dtype == torch.float32
    loss.backward()
    assert raw.grad.dtype == torch.float32
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.0), (1, 0.0244717), (5, 0.5), (10, 1.0), (11, 1.0), (240, 1.0)]
)
def test_the_reversal_grows_as_a_cosine(epoch, expected):
    # (1 - cos(18 degrees)) / 2 = (1 - 0.9510565) / 2
    assert ctkd_reversal(epoch=epoch, ramp_epochs=10) == pytest.approx(expected, abs=1e-7)


def test_without_a_ramp_the_reversal_is_whole_from_the_start():
    assert ctkd_reversal(epoch=1, ramp_epochs=0) == 1.0
    with pytest.raises(ValueError, match="ramp_epochs is -1"):
        ctkd_reversal(epoch=1, ramp_epochs=-1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum": -1.0}, "minimum is -1.0"),
        ({"minimum": 0.0, "span": 0.0}, "their sum above 0"),
        ({"raw": torch.ones(2)}, "raw_temperature has shape"),
    ],
)
def test_refuses_a_temperature_that_is_none(draw, changes, message):
    student, teacher, _ = draw(2, 3)
    raw = changes.pop("raw", torch.ones(1))
    with pytest.raises(ValueError, match=message):
        ctkd_loss(student, teacher, raw, reversal=1.0, **{**AUTHORS, **changes})


def test_the_distiller_learns_its_temperature_against_the_student(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = CTKD(CTKDOptions(weight=0.5), setup)
    assert distiller.requires == Requires(unlabelled="given")
    assert distiller.raw_temperature.dtype == torch.float32
    term = step(distiller, student, teacher, None, epoch=3.5)["ctkd"]
    torch.testing.assert_close(term, 0.5 * kd_loss(student, teacher, temperature=temperature_of(1.0)))
    term.backward()
    # epoch 3.5 is the fourth: (1 - cos(0.4 pi)) / 2
    factor = (1 - math.cos(0.4 * math.pi)) / 2
    raw = torch.ones((), dtype=torch.float64, requires_grad=True)
    kd_loss_at = ctkd_loss(student, teacher, raw, reversal=-1.0, **AUTHORS)  # the true gradient
    true = torch.autograd.grad(0.5 * kd_loss_at, raw)[0].item()
    assert distiller.raw_temperature.grad.item() == pytest.approx(-factor * true, rel=1e-5)


def test_a_resumed_distiller_continues_to_the_bit(setup, step):
    student, teacher = numbers(4, 5, seed=1), numbers(4, 5, seed=2)

    def train(distiller: CTKD, optimizer: torch.optim.Optimizer, epochs: range) -> None:
        for epoch in epochs:
            optimizer.zero_grad()
            step(distiller, student, teacher, None, epoch=float(epoch))["ctkd"].backward()
            optimizer.step()

    def made() -> tuple[CTKD, torch.optim.Optimizer]:
        distiller = CTKD(CTKDOptions(), setup)
        return distiller, torch.optim.SGD(distiller.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-3)

    whole, optimizer = made()
    train(whole, optimizer, range(6))
    first, optimizer = made()
    train(first, optimizer, range(3))
    second, restored = made()
    second.load_state_dict(first.state_dict())
    restored.load_state_dict(optimizer.state_dict())
    train(second, restored, range(3, 6))
    assert torch.equal(second.raw_temperature, whole.raw_temperature)
    assert whole.raw_temperature.item() != 1.0
