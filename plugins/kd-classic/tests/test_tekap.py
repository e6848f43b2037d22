from __future__ import annotations

import pytest
import torch
from kd_classic import TeKAP, kd_loss, tekap_loss
from kd_classic.options.softened import TeKAPOptions

PLAIN = {"temperature": 4.0, "noise_weight": 0.1, "augmented_weight": 0.8}


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    "options", [PLAIN, {"temperature": 1.0, "noise_weight": 0.5, "augmented_weight": 2.0}]
)
@pytest.mark.parametrize(("copies", "samples", "classes"), [(1, 1, 2), (3, 5, 7), (2, 3, 300)])
def test_equals_the_papers_formula(oracle, draw, copies, samples, classes, options):
    student, teacher, _ = draw(samples, classes)
    noise, share, temperature = (
        _noise(copies, samples, classes),
        options["noise_weight"],
        options["temperature"],
    )
    expected = oracle.kd(student.tolist(), teacher.tolist(), temperature=temperature)
    for one in noise.tolist():
        noisy = [
            [share * n + (1 - share) * t for n, t in zip(*rows, strict=True)]
            for rows in zip(one, teacher.tolist(), strict=True)
        ]
        expected += options["augmented_weight"] * oracle.kd(student.tolist(), noisy, temperature=temperature)
    assert tekap_loss(student, teacher, noise, **options).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_the_formula_and_the_students_only(draw):
    student, teacher, _ = draw(3, 5)
    noise = _noise(2, 3, 5)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: tekap_loss(s, teacher, noise, **PLAIN), (student,), fast_mode=True
    )
    tekap_loss(student, teacher.requires_grad_(), noise.requires_grad_(), **PLAIN).backward()
    assert teacher.grad is None
    assert noise.grad is None


def test_without_copies_or_with_weight_0_it_is_kd(draw):
    student, teacher, _ = draw(3, 5)
    expected = kd_loss(student, teacher, temperature=4.0)
    torch.testing.assert_close(tekap_loss(student, teacher, _noise(0, 3, 5), **PLAIN), expected)
    options = {**PLAIN, "augmented_weight": 0.0}
    torch.testing.assert_close(tekap_loss(student, teacher, _noise(3, 3, 5), **options), expected)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (2, 1, 5)])
def test_noise_that_does_not_fit(shape):
    with pytest.raises(ValueError, match=r"noise is .*; it must be floating point \[M, B, K\]"):
        tekap_loss(torch.zeros(3, 5), torch.zeros(3, 5), torch.zeros(shape), **PLAIN)


def test_each_step_draws_its_own_noise_from_the_global_generator(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = TeKAP(TeKAPOptions(weight=3.0, teachers=2), setup)
    torch.manual_seed(0)
    first, second = (step(distiller, student, teacher, None)["tekap"] for _ in range(2))
    assert first != second
    torch.manual_seed(0)
    noise = torch.randn(2, 4, 5)
    torch.testing.assert_close(first, 3 * tekap_loss(student, teacher, noise, **PLAIN))
