from __future__ import annotations

import pytest
import torch
from kd_classic import CRLD, crld_loss, kd_loss
from kd_classic.options.relations import CRLDOptions
from kd_dev.testing.values import numbers, terms_of

from kdcore import ModelOutput, Requires

AUTHORS = {
    "temperature": 4.0,
    "within_weight": 2.0,
    "cross_weight": 0.5,
    "weak_threshold": 0.9,
    "strong_threshold": 0.2,
}


def views(samples: int, classes: int, scale: float = 4.0) -> list[torch.Tensor]:
    """Logits of the student and the teacher for the weak view, then for the strong one."""
    return [numbers(samples, classes, seed=seed, scale=scale) for seed in range(4)]


@pytest.mark.parametrize("options", [AUTHORS, {**AUTHORS, "weak_threshold": 0.5, "strong_threshold": 0.6}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (8, 5), (3, 1000)])
def test_equals_the_formula(oracle, samples, classes, options):
    logits = views(samples, classes)
    temperature = options["temperature"]
    total = 0.0
    for s, t, s2, t2 in zip(*(one.tolist() for one in logits), strict=True):

        def d(a: list[float], b: list[float]) -> float:
            soft = [oracle.softmax(row, temperature) for row in (b, a)]
            return temperature**2 * oracle.kl(*soft)

        if max(oracle.softmax(t)) >= options["weak_threshold"]:
            total += options["within_weight"] * (d(s, t) + d(s2, t2))
        if max(oracle.softmax(t2)) >= options["strong_threshold"]:
            total += options["cross_weight"] * (d(s2, t) + d(s, t2))
    assert crld_loss(*logits, **options).item() == pytest.approx(total / samples, rel=1e-9, abs=1e-12)


def test_the_thresholds_choose_some_samples_here():
    top = views(8, 5)[1].softmax(1).amax(1)
    assert 0 < (top >= 0.9).sum() < 8


def test_the_gradient_is_that_of_the_formula_for_both_views():
    s, t, s_strong, t_strong = views(2, 3)
    both = (s.requires_grad_(), s_strong.requires_grad_())
    options = {**AUTHORS, "weak_threshold": 0.5}
    assert torch.autograd.gradcheck(lambda a, b: crld_loss(a, t, b, t_strong, **options), both)


def test_without_thresholds_it_is_kd_within_and_across():
    s, t, s_strong, t_strong = views(4, 6)
    loss = crld_loss(s, t, s_strong, t_strong, **{**AUTHORS, "weak_threshold": 0.0, "strong_threshold": 0.0})
    within = kd_loss(s, t, temperature=4.0) + kd_loss(s_strong, t_strong, temperature=4.0)
    cross = kd_loss(s_strong, t, temperature=4.0) + kd_loss(s, t_strong, temperature=4.0)
    torch.testing.assert_close(loss, 2 * within + 0.5 * cross)


def test_a_teacher_that_is_never_sure_gives_no_loss():
    flat = torch.zeros(4, 6, dtype=torch.float64)
    student = numbers(4, 6).requires_grad_()
    loss = crld_loss(student, flat, student, flat, **AUTHORS)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_views_of_different_shapes_are_refused():
    four, three = numbers(4, 6), numbers(3, 6)
    with pytest.raises(ValueError, match="logits of both views have shapes"):
        crld_loss(four, four, three, three, **AUTHORS)


def test_the_distiller_reads_both_views(setup):
    weak, t_weak, strong, t_strong = views(4, 5)
    student, teacher = (
        ModelOutput(first, views=(ModelOutput(first), ModelOutput(second)))
        for first, second in ((weak, strong), (t_weak, t_strong))
    )
    distiller = CRLD(CRLDOptions(weight=3.0, weak_threshold=0.5), setup)
    assert distiller.requires == Requires(views=("weak", "strong"), unlabelled="given")
    expected = crld_loss(weak, t_weak, strong, t_strong, **{**AUTHORS, "weak_threshold": 0.5})
    torch.testing.assert_close(terms_of(distiller, student, teacher), {"crld": 3 * expected})
