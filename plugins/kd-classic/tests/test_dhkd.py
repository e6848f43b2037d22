from __future__ import annotations

import math

import pytest
import torch
from kd_classic import DHKD, dhkd_loss
from kd_classic.options.softened import DHKDOptions
from kd_dev.testing.values import model_of_shapes, numbers, output_of, setup_of, terms_of
from torch import nn

from kdcore import ModelOutput, Requires, UserError

STUDENT, TEACHER = model_of_shapes("small", embedding=12), model_of_shapes("large")


def slow(auxiliary: list[list[float]], teacher: list[list[float]], temperature: float) -> float:
    total = 0.0
    for ours, theirs in zip(auxiliary, teacher, strict=True):
        for h, t in zip(ours, theirs, strict=True):
            d = 1 / (1 + math.exp(-(h - t) / temperature))
            total += -math.log(2) - 0.5 * math.log(d) - 0.5 * math.log(1 - d)
    return temperature**2 * total / len(auxiliary)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 1000)])
def test_equals_the_formula(draw, samples, classes, temperature):
    auxiliary, teacher, _ = draw(samples, classes)
    expected = slow(auxiliary.tolist(), teacher.tolist(), temperature)
    loss = dhkd_loss(auxiliary, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # d = 3/4 for ln 3, and 1/2 for 0: -ln 2 - ln(3/4)/2 - ln(1/4)/2 = ln(2 / sqrt 3) = 0.143841
    auxiliary = torch.tensor([[math.log(3), 1.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert dhkd_loss(auxiliary, teacher, temperature=1.0).item() == pytest.approx(0.143841, abs=1e-6)


def test_the_gradient_is_that_of_the_formula_and_so_is_the_second(draw):
    auxiliary, teacher, _ = draw(4, 6)
    auxiliary.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: dhkd_loss(a, teacher, temperature=2.0), (auxiliary,))
    assert torch.autograd.gradgradcheck(lambda a: dhkd_loss(a, teacher, temperature=2.0), (auxiliary,))


def test_is_zero_where_both_agree_and_sees_a_constant_added_to_all_logits(draw):
    auxiliary, _, _ = draw(4, 6)
    assert dhkd_loss(auxiliary, auxiliary, temperature=2.0).item() == 0
    assert dhkd_loss(auxiliary + 3, auxiliary, temperature=2.0).item() > 0.1


def test_far_apart_it_grows_as_half_the_distance():
    # a product of sigmoids would be 0 here: |x|/2 - ln 2 for each class
    auxiliary, teacher = torch.full((1, 2), 1e4), torch.full((1, 2), -1e4)
    assert dhkd_loss(auxiliary, teacher, temperature=1.0).item() == pytest.approx(2e4 - 2 * math.log(2))


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_only_the_second_head_and_the_embedding_get_a_gradient(head):
    distiller = DHKD(DHKDOptions(head=head, weight=0.5), setup_of(STUDENT, TEACHER))
    assert distiller.requires == Requires(student_embedding=True, unlabelled="given")
    student = output_of(STUDENT, embedding=True, gradient=True)
    term = terms_of(distiller, student, ModelOutput(numbers(4, 5, dtype=torch.float32)))["dhkd"]
    term.backward()
    assert student.logits.grad is None
    assert student.embedding.grad.abs().sum() > 0
    assert all(one.grad is not None for one in distiller.parameters())


def test_the_heads_are_those_of_the_authors():
    of_cifar = DHKD(DHKDOptions(), setup_of(STUDENT, TEACHER)).head
    kinds = [
        type(layer).__bases__[0] if "Norm" in type(layer).__name__ else type(layer) for layer in of_cifar
    ]
    assert [kind.__name__ for kind in kinds] == ["Linear", "Dropout", "_BatchNorm", "ReLU", "Linear"]
    assert of_cifar[0].out_features == 200
    assert isinstance(DHKD(DHKDOptions(head="linear"), setup_of(STUDENT, TEACHER)).head, nn.Linear)


def test_the_distiller_weighs_its_term():
    distiller = DHKD(DHKDOptions(head="linear", weight=3.0, temperature=1.0), setup_of(STUDENT, TEACHER))
    student, teacher = output_of(STUDENT, embedding=True), numbers(4, 5, dtype=torch.float32)
    expected = 3 * dhkd_loss(distiller.head(student.embedding), teacher, temperature=1.0)
    torch.testing.assert_close(terms_of(distiller, student, teacher)["dhkd"], expected)


def test_a_student_without_an_embedding_is_refused():
    with pytest.raises(UserError, match="embedding"):
        DHKD(DHKDOptions(), setup_of(TEACHER, TEACHER))
