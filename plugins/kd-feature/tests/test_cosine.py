from __future__ import annotations

import math

import pytest
import torch
from kd_feature import Cosine, unic_loss
from kd_feature.cosine import StandardisedCosine
from kd_feature.options.embeddings import CosineOptions
from torch.nn import functional as F

from kdcore import Batch, PreparesFromTeacher


def slow(oracle, s, t, cosine, smooth):
    found = []
    for a, b in zip(s, t, strict=True):
        apart = 1 - oracle.dot(oracle.unit(a), oracle.unit(b))
        found.append(
            cosine * apart + smooth * oracle.mean(oracle.smooth_l1(x, y) for x, y in zip(a, b, strict=True))
        )
    return oracle.mean(found)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("shape", [(1, 3), (4, 5), (2, 3, 4)])
def test_equals_the_authors_formula(oracle, draw, shape, weights):
    student, teacher = 2 * draw(*shape), draw(*shape, seed=1)
    tokens = [one.reshape(-1, shape[-1]).tolist() for one in (student, teacher)]
    expected = slow(oracle, *tokens, *weights)
    assert unic_loss(student, teacher, *weights).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # orthogonal, with differences of 3 and 0.5: 0.5 * 1 + 0.5 * (2.5 + 0.125) / 2
    value = unic_loss(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]]))
    assert value.item() == pytest.approx(0.5 + 0.25 * 2.625)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4)])
def test_the_gradient_is_that_of_the_formula(draw, shape):
    student, teacher = draw(*shape).requires_grad_(), draw(*shape, seed=1)
    assert torch.autograd.gradcheck(lambda s: unic_loss(s, teacher), (student,))


@pytest.mark.parametrize("pair", [("cnn", "vit"), ("vit", "wide")], ids="-".join)
def test_the_distillers_terms_with_radios_weights(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = Cosine(CosineOptions(weight=2.0, spatial_weight=3.0), setup)
    assert not isinstance(distiller, PreparesFromTeacher)  # no pass over the training set
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    terms = step(distiller, student, teacher)
    summary = unic_loss(distiller.heads["summary"](student.embedding), teacher.embedding, 1.0, 0.0)
    torch.testing.assert_close(terms["summary"], 2 * summary)
    target = teacher.features[4].map
    # the map is resized before the head
    resized = F.interpolate(student.features[4].map, target.shape[2:], mode="bilinear").flatten(2).mT
    spatial = unic_loss(distiller.heads["spatial"](resized), target.flatten(2).mT, 0.9, 0.1)
    torch.testing.assert_close(terms["spatial"], 6 * spatial)


@pytest.mark.parametrize(
    ("head", "layers"),
    [
        ("linear", ["Linear"]),
        ("mlp", ["Linear", "LayerNorm", "ReLU", "Linear"]),
        ("mlp2", ["Linear", "LayerNorm", "GELU", "Linear", "LayerNorm", "GELU", "Linear"]),
    ],
)
def test_the_heads(make_setup, output, step, head, layers):
    setup = make_setup()
    distiller = Cosine(CosineOptions(head=head, hidden_dim=7, spatial_weight=0), setup)
    found = [type(one).__name__ for one in distiller.heads["summary"].modules() if not list(one.children())]
    assert found == layers
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    assert list(step(distiller, student, teacher)) == ["summary"]


def test_one_term_alone_reads_nothing_of_the_other(make_setup):
    distiller = Cosine(CosineOptions(summary_weight=0), make_setup())
    assert not distiller.requires.student_embedding
    assert distiller.requires.teacher_stages == (4,)
    with pytest.raises(ValueError, match="both 0"):
        Cosine(CosineOptions(summary_weight=0, spatial_weight=0), make_setup())


@pytest.mark.parametrize("name", ["summary", "spatial"])
def test_a_term_without_both_factors_is_refused(make_setup, name):
    factors = {f"{name}_cosine": 0, f"{name}_smooth_l1": 0}
    with pytest.raises(
        ValueError, match=f"{name}_cosine and {name}_smooth_l1 are both 0.* {name}_weight to 0"
    ):
        Cosine(CosineOptions(**factors), make_setup())
    Cosine(CosineOptions(**factors, loss="mse"), make_setup())  # which reads neither
    Cosine(CosineOptions(**factors, **{f"{name}_weight": 0}), make_setup())


def test_standardised_targets_are_matched_by_mse(make_setup, output, step):
    setup = make_setup("cnn", "vit")
    distiller = Cosine(CosineOptions(standardise="phi-s", loss="mse"), setup)
    assert isinstance(distiller, StandardisedCosine)
    assert isinstance(distiller, PreparesFromTeacher)
    outputs = [output(setup.teacher, (4,), samples=8, seed=seed) for seed in range(4)]
    distiller.prepare((one, Batch(torch.zeros(8, 3, 2, 2), None)) for one in outputs)
    tokens = torch.cat([one.features[4].map.flatten(2).mT.flatten(0, 1) for one in outputs])
    standardised = distiller.targets["spatial"](tokens)
    torch.testing.assert_close(standardised.var(dim=0), torch.ones(12), rtol=1e-4, atol=1e-4)
    student = output(setup.student, (4,), samples=8)
    terms = step(distiller, student, outputs[0])
    seen = distiller.heads["summary"](student.embedding)
    target = distiller.targets["summary"](outputs[0].embedding)
    torch.testing.assert_close(terms["summary"], (seen - target).square().mean())
    resumed = Cosine(CosineOptions(standardise="phi-s", loss="mse"), setup)
    resumed.load_state_dict(distiller.state_dict())
    for name, term in step(resumed, student, outputs[0]).items():
        assert torch.equal(term, terms[name])


def test_a_cosine_of_nothing_has_no_gradient():
    student = torch.zeros(2, 3, requires_grad=True)
    value = unic_loss(student, torch.ones(2, 3), 1.0, 0.0)
    value.backward()
    assert value.item() == 1.0
    assert student.grad.abs().sum() == 0
    assert math.isfinite(value.item())
