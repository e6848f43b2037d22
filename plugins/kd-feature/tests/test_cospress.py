from __future__ import annotations

import math

import pytest
import torch
from kd_feature import CosPress, cospress_global_loss, cospress_local_loss
from kd_feature.options.embeddings import CosPressOptions

TEN = tuple(k / 100 for k in range(1, 11))


def slow(oracle, compressed, teacher, temperatures):
    """Of the tokens of one image."""
    n, total = len(compressed), 0.0
    for temperature in temperatures:
        joint = []
        for tokens in (compressed, teacher):
            units = [oracle.unit(x) for x in tokens]
            p = [[0.0] * n for _ in range(n)]
            for i in range(n):
                powers = {
                    j: math.exp(oracle.dot(units[i], units[j]) / temperature) for j in range(n) if j != i
                }
                for j, power in powers.items():
                    p[i][j] = power / sum(powers.values())
            joint.append([[(p[i][j] + p[j][i]) / (2 * n) for j in range(n)] for i in range(n)])
        q, p = joint
        total += sum(p[i][j] * math.log(p[i][j] / q[i][j]) for i in range(n) for j in range(n) if i != j)
    return total / len(temperatures)


@pytest.mark.parametrize("temperatures", [TEN, (0.1,), (1.0, 0.3)])
@pytest.mark.parametrize("shape", [(1, 2), (2, 5), (3, 4)])
def test_equal_the_authors_formulas(oracle, draw, shape, temperatures):
    compressed, teacher = draw(*shape, 3), draw(*shape, 6, seed=1)
    images = zip(compressed.tolist(), teacher.tolist(), strict=True)
    expected = oracle.mean(slow(oracle, *image, temperatures) for image in images)
    value = cospress_local_loss(compressed, teacher, temperatures)
    assert value.item() == pytest.approx(expected, rel=1e-8, abs=1e-12)
    expected = slow(oracle, compressed[0].tolist(), teacher[0].tolist(), temperatures)
    value = cospress_global_loss(compressed[0], teacher[0], temperatures)
    assert value.item() == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_a_value_worked_out_by_hand():
    # three tokens; compressed: all alike, so every pair has 1/6; the teacher's third one is opposite to the others
    teacher = torch.tensor([[1.0], [1.0], [-1.0]]).double()
    e = math.exp(-2)  # T = 1: products 1 and -1
    near, far = 1 / (1 + e), e / (1 + e)
    pairs = [(near + near) / 6, (far + 0.5) / 6, (far + 0.5) / 6]
    expected = 2 * sum(p * math.log(p * 6) for p in pairs)
    value = cospress_global_loss(torch.ones(3, 2).double(), teacher, (1.0,))
    assert value.item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_formula_also_in_parts(draw, monkeypatch):
    compressed, teacher = draw(3, 4, 2).requires_grad_(), draw(3, 4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda c: cospress_local_loss(c, teacher, (0.3, 0.1)), (compressed,))
    whole = torch.autograd.grad(cospress_local_loss(compressed, teacher, TEN), compressed)
    monkeypatch.setattr("kd_feature.gradient_in_forward.AT_ONCE", 1)
    parts = torch.autograd.grad(cospress_local_loss(compressed, teacher, TEN), compressed)
    torch.testing.assert_close(parts, whole)


def test_single_tokens_have_no_neighbours(draw):
    compressed = draw(2, 1, 3).requires_grad_()
    value = cospress_local_loss(compressed, draw(2, 1, 4), TEN)
    value.backward()
    assert value.item() == 0
    assert compressed.grad.abs().sum() == 0


def test_low_temperatures_are_finite_in_float32(oracle, draw):
    compressed, teacher = draw(1, 4, 3), -draw(1, 4, 3)  # probabilities down to exp(-200)
    compressed[0, 1] = compressed[0, 0]
    teacher[0, 1] = -teacher[0, 0]
    value = cospress_local_loss(compressed.float(), teacher.float(), (0.01,))
    expected = slow(oracle, compressed[0].tolist(), teacher[0].tolist(), (0.01,))
    assert value.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("pair", [("vit", "vit"), ("cnn", "vit"), ("vit", "wide")], ids="-".join)
def test_the_student_learns_from_the_detached_compressed_teacher(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = CosPress(CosPressOptions(weight=2.0), setup)
    student, teacher = output(setup.student, (4,), grad=True), output(setup.teacher, (4,), seed=1)
    terms = step(distiller, student, teacher)
    assert list(terms) == ["local", "global", "feature", "token"]
    (terms["feature"] + terms["token"]).backward(retain_graph=True)
    assert all(one.grad is None for one in distiller.parameters())
    assert student.features[4].map.grad.abs().sum() > 0
    student.features[4].map.grad = None
    (terms["local"] + terms["global"]).backward()
    assert all(one.grad.abs().sum() > 0 for one in distiller.teacher_head[1].parameters() if one.dim() > 1)
    assert student.features[4].map.grad is None


def test_the_terms_for_two_transformers(make_setup, output, step):
    setup = make_setup("vit", "vit")
    distiller = CosPress(CosPressOptions(), setup)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    tokens = [
        torch.cat([one.features[4].prefix, one.features[4].map.flatten(2).mT], dim=1)
        for one in (student, teacher)
    ]
    compressed = distiller.teacher_head(tokens[1])
    terms = step(distiller, student, teacher)
    torch.testing.assert_close(terms["local"], cospress_local_loss(compressed, tokens[1], TEN))
    torch.testing.assert_close(terms["global"], cospress_global_loss(compressed[:, 0], tokens[1][:, 0], TEN))
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(
        terms["feature"], 1 - cosine(tokens[0].flatten(1), compressed.flatten(1)).mean()
    )
    torch.testing.assert_close(terms["token"], 1 - cosine(tokens[0][:, 0], compressed[:, 0]).mean())
    # layer norm and linear layer
    assert sum(one.numel() for one in distiller.parameters()) == 2 * 12 + 12 * 12 + 12


def test_wrong_temperatures_are_refused(draw):
    for temperatures, problem in (((), "at least one"), ((0.1, 0.0), "temperature is 0.0")):
        with pytest.raises(ValueError, match=problem):
            cospress_local_loss(draw(2, 3, 4), draw(2, 3, 4), temperatures)
