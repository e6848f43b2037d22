from __future__ import annotations

import math

import pytest
import torch
from kd_classic import EAKD, ea_kd_loss, kd_loss
from kd_classic.options.softened import EAKDOptions


def slow(oracle, student, teacher, temperature, entropy_temperature, entropy_bound):
    """The loss, and its gradient if the weights are constants."""
    losses, gradient = [], []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        of_s, of_t = (
            -sum(p * math.log(p + 1e-10) for p in oracle.softmax(row, entropy_temperature)) for row in (s, t)
        )
        weight = (of_t + of_t * of_s / entropy_bound) / 2
        p, q = oracle.softmax(t, temperature), oracle.softmax(s, temperature)
        losses.append(weight * temperature**2 * oracle.kl(p, q))
        gradient.append([weight * temperature * (b - a) / len(student) for a, b in zip(p, q, strict=True)])
    return oracle.mean(losses), torch.tensor(gradient, dtype=torch.float64)


@pytest.mark.parametrize("bound", [100.0, math.log(7)])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_value_and_gradient_equal_the_papers_formula(oracle, draw, samples, classes, bound):
    student, teacher, _ = draw(samples, classes)
    student.requires_grad_()
    options = {"temperature": 4.0, "entropy_temperature": 3.0, "entropy_bound": bound}
    loss = ea_kd_loss(student, teacher, **options)
    loss.backward()
    expected, gradient = slow(oracle, student, teacher, **options)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(student.grad, gradient, rtol=1e-6, atol=1e-12)


def test_two_undecided_models_weigh_ln_k():
    # both entropies are ln 4; the second row makes the first one's weight visible
    student = torch.zeros(1, 4, dtype=torch.float64)
    teacher = torch.tensor([[0.0, 0.0, 0.0, 1e-3]], dtype=torch.float64)
    loss = ea_kd_loss(student, teacher, temperature=1.0, entropy_temperature=1.0, entropy_bound=math.log(4))
    assert (loss / kd_loss(student, teacher, temperature=1.0)).item() == pytest.approx(math.log(4), rel=1e-6)


def test_a_certain_teacher_counts_nothing(draw):
    student, _, target = draw(3, 5)
    certain = 1e4 * torch.nn.functional.one_hot(target, 5).double()
    loss = ea_kd_loss(student, certain, temperature=4.0, entropy_temperature=3.0, entropy_bound=100.0)
    assert loss.item() == 0


@pytest.mark.parametrize("name", ["temperature", "entropy_temperature", "entropy_bound"])
def test_a_value_that_is_not_above_zero(name):
    options = {"temperature": 4.0, "entropy_temperature": 3.0, "entropy_bound": 100.0, name: 0.0}
    with pytest.raises(ValueError, match=f"{name} is 0.0; it must be above 0"):
        ea_kd_loss(torch.zeros(2, 3), torch.zeros(2, 3), **options)


@pytest.mark.parametrize(("given", "used"), [(100.0, 100.0), (None, math.log(5))])
def test_the_bound_is_the_released_one_or_the_largest_entropy(setup, step, draw, given, used):
    student, teacher, _ = draw(4, 5)
    distiller = EAKD(EAKDOptions(weight=3.0, entropy_bound=given), setup)
    expected = 3 * ea_kd_loss(student, teacher, temperature=4.0, entropy_temperature=3.0, entropy_bound=used)
    torch.testing.assert_close(step(distiller, student, teacher, None), {"eakd": expected})
