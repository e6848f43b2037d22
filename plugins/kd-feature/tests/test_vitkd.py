from __future__ import annotations

import pytest
import torch
from kd_dev.testing.values import model_of_shapes, setup_of
from kd_feature import ViTKD, vitkd_generation_loss, vitkd_mimic_loss
from kd_feature.options.generation import ViTKDOptions

from kdcore import Requires, UserError

STAGES = ("blocks.0", "blocks.1", "norm")


def test_the_mimic_loss_equals_the_sum_written_out(oracle, draw):
    student, teacher = draw(3, 2, 4, 5), draw(3, 2, 4, 5, seed=1)
    flat = zip(oracle.flat(student.tolist()), oracle.flat(teacher.tolist()), strict=True)
    expected = sum((a - b) ** 2 for a, b in flat) / 3
    assert vitkd_mimic_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_the_generation_loss_equals_the_sum_written_out(draw):
    student, teacher = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    expected = 0.0
    for b in range(3):
        for n in range(4):
            if mask[b, n]:
                expected += sum((student[b, n, d] - teacher[b, n, d]).item() ** 2 for d in range(5))
    found = vitkd_generation_loss(student, teacher, mask, mask_ratio=0.25)
    assert found.item() == pytest.approx(expected / 3 / 0.25, rel=1e-12)


def test_values_worked_out_by_hand():
    student, teacher = torch.tensor([[[1.0, 2.0], [5.0, 0.0]]]), torch.zeros(1, 2, 2)
    assert vitkd_mimic_loss(student[:, None], teacher[:, None]).item() == 30
    # only the first token counts: (1 + 4) / 1 sample / 0.5
    assert vitkd_generation_loss(student, teacher, torch.tensor([[1, 0]])).item() == 10


def test_the_gradients_are_those_of_the_formulas(draw):
    student, teacher, mask = draw(2, 3, 2).requires_grad_(), draw(2, 3, 2, seed=1), torch.eye(3)[:2]
    assert torch.autograd.gradcheck(lambda s: vitkd_mimic_loss(s, teacher), (student,))
    assert torch.autograd.gradcheck(lambda s: vitkd_generation_loss(s, teacher, mask), (student,))


def test_what_does_not_fit_is_refused(draw):
    with pytest.raises(ValueError, match=r"mask has shape \[2, 4\]; it must be \[B, N\], here \[2, 3\]"):
        vitkd_generation_loss(draw(2, 3, 2), draw(2, 3, 2), torch.ones(2, 4))
    with pytest.raises(ValueError, match="mask_ratio is 0"):
        vitkd_generation_loss(draw(2, 3, 2), draw(2, 3, 2), torch.ones(2, 3), 0)


@pytest.mark.parametrize(("width", "parameters"), [(192, 2_877_696), (384, 2_655_360)])
def test_as_many_parameters_as_the_authors_module(width, parameters):
    student, teacher = (
        model_of_shapes(name, dict.fromkeys(STAGES, (channels, (14, 14), 1)), channels)
        for name, channels in (("student", width), ("teacher", 384))
    )
    with torch.device("meta"):
        distiller = ViTKD(ViTKDOptions(), setup_of(student, teacher))
    assert sum(p.numel() for p in distiller.parameters()) == parameters


def test_only_hidden_tokens_count_and_the_start_of_their_token_is_zero(make_setup, output, step):
    setup = make_setup("tokens", "tokens")
    distiller = ViTKD(ViTKDOptions(mimic_weight=2.0, generation_weight=3.0), setup)
    stages = STAGES
    assert distiller.requires == Requires(student_stages=stages, teacher_stages=stages, teacher_logits=False)
    assert not distiller.mask_token.any()
    student, teacher = output(setup.student, stages, grad=True), output(setup.teacher, stages, seed=1)
    torch.manual_seed(5)
    mask = distiller._mask(torch.zeros(4, 9, 6))
    torch.manual_seed(5)
    terms = step(distiller, student, teacher)
    low = sum((student.features[s].map - teacher.features[s].map).square().sum() / 4 for s in stages[:2])
    torch.testing.assert_close(terms["mimic"], 2 * low)
    made = distiller.generator(student.features["norm"].map * (1 - mask).view(4, 1, 3, 3))
    apart = (made - teacher.features["norm"].map).square() * mask.view(4, 1, 3, 3)
    torch.testing.assert_close(terms["generation"], 3 * apart.sum() / 4 / 0.5)
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_int_n_times_one_minus_the_ratio_are_kept(make_setup):
    distiller = ViTKD(ViTKDOptions(mask_ratio=0.3), make_setup("tokens", "tokens"))
    mask = distiller._mask(torch.zeros(50, 9, 6))
    assert set(mask.sum(1).tolist()) == {9 - int(9 * 0.7)}
    assert 0.2 < mask[:, 0].mean() < 0.6


def test_other_numbers_of_tokens_are_refused(make_setup):
    setup = make_setup("tokens", "vit")
    with pytest.raises(
        UserError, match="token by token, and the student's 1 has 3x3 tokens, the teacher's 1 4x4"
    ):
        ViTKD(ViTKDOptions(stages=(1, 2), last=4), setup)
