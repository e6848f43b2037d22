from __future__ import annotations

import pytest
import torch
from kd_feature import Proteus, hint_loss, proteus_loss
from kd_feature.options.embeddings import ProteusOptions


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 4, 2)])
def test_equals_the_authors_formula(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    s, t = student.tolist(), teacher.tolist()
    expected = oracle.hint([x[0] for x in s], [x[0] for x in t]) + oracle.hint(s, t)
    assert proteus_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # differences of 2 in the class token and of 1 in the other one: 4 + (4 + 1) / 2
    value = proteus_loss(torch.tensor([[[2.0], [1.0]]]), torch.zeros(1, 2, 1))
    assert value.item() == 6.5


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2).requires_grad_(), draw(2, 3, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: proteus_loss(s, teacher), (student,))


@pytest.mark.parametrize("pair", [("vit", "vit"), ("cnn", "vit"), ("vit", "wide")], ids="-".join)
def test_the_distillers_terms(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = Proteus(ProteusOptions(weight=2.0, feature_weight=3.0), setup)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    grid = teacher.features[4].map.shape[2:]

    def tokens(one):
        # a model without a class token has the mean of its map
        own = one.map.mean((2, 3)) if one.prefix is None else one.prefix[:, 0]
        resized = torch.nn.functional.interpolate(one.map, grid, mode="bilinear").flatten(2).mT
        return torch.cat([own[:, None], resized], dim=1)

    ours, theirs = tokens(student.features[4]), tokens(teacher.features[4])
    terms = step(distiller, student, teacher)
    torch.testing.assert_close(
        terms["token"], 2 * hint_loss(distiller.heads["token"](ours[:, 0]), theirs[:, 0])
    )
    torch.testing.assert_close(terms["feature"], 6 * hint_loss(distiller.heads["feature"](ours), theirs))
    assert [type(one).__name__ for one in distiller.heads["token"]] == ["LayerNorm", "Linear"]


def test_the_class_token_alone_as_for_clip(make_setup, output, step):
    setup = make_setup("vit", "vit")
    distiller = Proteus(ProteusOptions(feature_weight=0), setup)
    assert list(distiller.heads) == ["token"]
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    assert list(step(distiller, student, teacher)) == ["token"]
    with pytest.raises(ValueError, match="both 0"):
        Proteus(ProteusOptions(feature_weight=0, token_weight=0), setup)
