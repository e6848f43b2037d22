from __future__ import annotations

import math

import pytest
import torch
from kd_feature import AttnDistill, attn_distill_loss, hint_loss
from kd_feature.attndistill import last_attention, on_students_grid
from kd_feature.options.embeddings import AttnDistillOptions

ATTENTION = "attention:blocks.3.attn"


def attention(draw, *shape, seed=0):
    return (2 * draw(*shape, seed=seed)).softmax(-1)


def slow(s, t, temperature, aggregate):
    """Of attentions [B, heads, N], nested lists."""

    def bounded(row):
        kept = [min(max(x, 1e-5), 0.996) for x in row]
        return [x / sum(kept) for x in kept]

    def rows(sample):
        if not aggregate:
            return [bounded(row) for row in sample]
        sums = [sum(math.log(row[n]) for row in sample) / temperature for n in range(len(sample[0]))]
        powers = [math.exp(x) for x in sums]
        return [bounded([x / sum(powers) for x in powers])]

    total = 0.0
    for x, y in zip(s, t, strict=True):
        for p, q in zip(rows(x), rows(y), strict=True):
            total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    return total / len(s)


@pytest.mark.parametrize("temperature", [20.0, 1.0])
@pytest.mark.parametrize(("shape", "heads"), [((1, 2), 2), ((3, 5), 2), ((2, 4), 6)])
def test_equals_the_authors_formula(draw, shape, heads, temperature):
    student = attention(draw, shape[0], 2, shape[1])
    teacher = attention(draw, shape[0], heads, shape[1], seed=1)
    expected = slow(student.tolist(), teacher.tolist(), temperature, True)
    assert attn_distill_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-9)
    if heads == 2:
        expected = slow(student.tolist(), teacher.tolist(), temperature, False)
        value = attn_distill_loss(student, teacher, temperature, aggregate=False)
        assert value.item() == pytest.approx(expected, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # one head at T = 1 is itself: 1/2, 1/2 against 3/4, 1/4
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.75, 0.25]]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert attn_distill_loss(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    scores, teacher = draw(2, 3, 4).requires_grad_(), attention(draw, 2, 3, 4, seed=1)
    for aggregate in (True, False):
        assert torch.autograd.gradcheck(
            lambda s, aggregate=aggregate: attn_distill_loss(s.softmax(-1), teacher, 2.0, aggregate),
            (scores,),
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attentions_of_0_are_finite(dtype):
    student = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]], dtype=dtype).requires_grad_()
    teacher = torch.tensor([[[0.0, 1.0, 0.0]]], dtype=dtype)
    for aggregate, theirs in ((True, teacher), (False, teacher.expand(1, 2, 3))):
        value = attn_distill_loss(student, theirs, 20.0, aggregate)
        value.backward()
        assert value.isfinite()
        assert value.dtype == torch.float32
        assert student.grad.isfinite().all()


def test_the_class_tokens_share_stays_if_the_grid_changes(draw):
    given = attention(draw, 2, 3, 1 + 6)
    resized = on_students_grid(given, (2, 3), (4, 4))
    assert list(resized.shape) == [2, 3, 17]
    torch.testing.assert_close(resized[..., 0], given[..., 0])
    torch.testing.assert_close(resized.sum(-1), torch.ones(2, 3).double())
    assert (resized >= 0).all()
    assert on_students_grid(given, (2, 3), (2, 3)) is given


def _options(**more):
    return AttnDistillOptions(student_attention=ATTENTION, teacher_attention=ATTENTION, **more)


def test_the_distillers_terms(make_setup, output, step):
    setup = make_setup("vit", "vit")
    distiller = AttnDistill(_options(weight=2.0), setup)
    assert distiller.requires.student_stages == (ATTENTION, 4)
    student, teacher = (output(setup.student, (ATTENTION, 4), seed=seed) for seed in range(2))
    for one in (student, teacher):
        one.features[ATTENTION].map.copy_(one.features[ATTENTION].map.softmax(-1))
    terms = step(distiller, student, teacher)
    rows = [one.features[ATTENTION].map[:, :, 0] for one in (student, teacher)]
    torch.testing.assert_close(terms["attention"], 40 * attn_distill_loss(*rows))
    own, other = (one.features[4].prefix[:, 0] for one in (student, teacher))
    torch.testing.assert_close(terms["token"], 2 * hint_loss(distiller.projection(own), other))


def test_the_head_is_an_mlp_of_four_layers(make_setup):
    distiller = AttnDistill(_options(), make_setup("vit", "vit"))
    widths = [list(one.weight.shape) for one in distiller.projection if isinstance(one, torch.nn.Linear)]
    assert widths == [[24, 12], [12, 24], [24, 12], [12, 24]]
    assert [type(one).__name__ for one in distiller.projection][:4] == [
        "LayerNorm",
        "Linear",
        "GELU",
        "Linear",
    ]


def test_models_without_class_tokens_or_attention_are_refused(make_setup, model):
    named = _options().model_copy(update={"student_attention": 4})
    with pytest.raises(ValueError, match="the student has no class token"):
        AttnDistill(named, make_setup("cnn", "vit"))
    with pytest.raises(ValueError, match="heads"):
        AttnDistill(named.model_copy(update={"aggregate": False}), make_setup("vit", "vit"))
    with pytest.raises(ValueError, match="no blocks"):
        last_attention(model("cnn"))


def test_wrong_arguments_are_refused(draw):
    student = attention(draw, 2, 3, 4)
    with pytest.raises(ValueError, match="temperature"):
        attn_distill_loss(student, student, 0)
    with pytest.raises(ValueError, match="equal N"):
        attn_distill_loss(student, attention(draw, 2, 3, 5))
    with pytest.raises(ValueError, match="equally many heads"):
        attn_distill_loss(student, attention(draw, 2, 6, 4), aggregate=False)
