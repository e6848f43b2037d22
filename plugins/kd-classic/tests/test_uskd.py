from __future__ import annotations

import math

import pytest
import torch
from kd_classic import USKD, uskd_loss, uskd_probability_loss
from kd_classic.options.teacher_free import USKDOptions
from kd_dev.testing.values import model_of_shapes, numbers, output_of, setup_of, terms_of

from kdcore import Requires, UserError

AUTHORS = {"alpha": 1.0, "beta": 0.1, "mu": 0.005}


def slow(oracle, student, weak, target, *, alpha, beta, mu, released=True):
    """The authors' code, sample by sample."""
    own = [oracle.softmax(row) for row in student]
    head = [oracle.softmax(row) for row in weak]
    classes = len(student[0])
    squares = oracle.mean([p[y] ** 2 for p, y in zip(own, target, strict=True)])
    total = 0.0
    for s, p, v, y in zip(student, own, head, target, strict=True):
        total += alpha * -(p[y] ** 2 + 1 - squares) * math.log(p[y])
        ranked = [math.log(q) for q in p] if released else p
        score = [v[k] / (1 - v[y] + 1e-6) + ranked[k] / (1 - ranked[y] + 1e-6) for k in range(classes)]
        law = [1 / (1 + sum(other > mine for other in score)) for mine in score]
        others = [k for k in range(classes) if k != y]
        left = sum(law[k] for k in others)
        log_sum = math.log(sum(math.exp(s[k]) for k in others))
        total += beta * -sum(law[k] / left * (s[k] - log_sum) for k in others)
        smooth = [0.9 * (k == y) + 0.1 / classes for k in range(classes)]
        total += mu * -sum(smooth[k] * math.log(v[k]) for k in range(classes))
    return total / len(student)


@pytest.mark.parametrize("loss_of", [uskd_loss, uskd_probability_loss])
@pytest.mark.parametrize("options", [AUTHORS, {"alpha": 0.1, "beta": 2.0, "mu": 1.5}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 3), (3, 2), (6, 7), (3, 500)])
def test_equals_the_formula(oracle, draw, samples, classes, options, loss_of):
    released = loss_of is uskd_loss
    student, weak, target = draw(samples, classes)
    expected = slow(oracle, student.tolist(), weak.tolist(), target.tolist(), **options, released=released)
    loss = loss_of(student, weak, target, **options)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_ranks_of_the_released_code_are_not_those_of_probabilities(draw):
    student, weak, target = draw(6, 20)
    only = {"alpha": 0.0, "beta": 1.0, "mu": 0.0}
    released = uskd_loss(student, weak, target, **only)
    assert released.item() != uskd_probability_loss(student, weak, target, **only).item()


def test_the_gradient_is_that_of_the_formula_for_both_heads(draw):
    student, weak, target = draw(4, 6)
    # with alpha 0: the factor of the target term depends on the student and has no gradient
    only = {"alpha": 0.0, "beta": 1.0, "mu": 0.5}
    both = (student.requires_grad_(), weak.requires_grad_())
    assert torch.autograd.gradcheck(lambda s, v: uskd_loss(s, v, target, **only), both)


def test_the_factor_of_the_target_term_has_no_gradient(draw):
    student, weak, target = draw(4, 6)
    student.requires_grad_()
    uskd_loss(student, weak, target, alpha=1.0, beta=0.0, mu=0.0).backward()
    p = student.detach().softmax(1)
    of_target = p.gather(1, target.unsqueeze(1))
    factor = of_target**2 + 1 - (of_target**2).mean()
    one_hot = torch.nn.functional.one_hot(target, 6)
    torch.testing.assert_close(student.grad, factor * (p - one_hot) / 4)


def test_only_the_cross_entropy_reaches_the_weak_head(draw):
    student, weak, target = draw(4, 6)
    weak.requires_grad_()
    uskd_loss(student, weak, target, alpha=1.0, beta=1.0, mu=0.0).backward()
    assert torch.equal(weak.grad, torch.zeros_like(weak))


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, weak, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    torch.testing.assert_close(
        uskd_loss(student, weak, soft, **AUTHORS), uskd_loss(student, weak, target, **AUTHORS)
    )


STUDENT = model_of_shapes("small", [(8, (8, 8), 0), (12, (4, 4), 0), (16, (2, 2), 0), (20, (1, 1), 0)])


@pytest.mark.parametrize("ranking", ["released", "probabilities"])
def test_the_distiller_has_a_linear_head_on_a_pooled_map(ranking):
    distiller = USKD(USKDOptions(weight=2.0, ranking=ranking), setup_of(STUDENT, None))
    assert distiller.requires == Requires(teacher=False, student_stages=(3,), target=True)
    assert distiller.head.in_features == 16
    student = output_of(STUDENT, [3], gradient=True)
    target = torch.arange(4)
    term = terms_of(distiller, student, numbers(4, 5), target=target)["uskd"]
    weak = distiller.head(student.features[3].map.mean((2, 3)))
    loss_of = uskd_loss if ranking == "released" else uskd_probability_loss
    expected = 2 * loss_of(student.logits, weak, target, **AUTHORS)
    torch.testing.assert_close(term, expected)
    term.backward()
    assert student.features[3].map.grad.abs().sum() > 0


def test_a_stage_that_the_student_lacks_is_refused():
    with pytest.raises(UserError, match="there is no stage"):
        USKD(USKDOptions(), setup_of(model_of_shapes("small"), None))
