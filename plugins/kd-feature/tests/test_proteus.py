from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from kd_feature import Proteus, hint_loss, proteus_loss
from kd_feature.options.embeddings import ProteusOptions

from kdcore import Distillation, FeatureMap, ModelOutput, StageInfo


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
    with pytest.raises(ValueError, match="one must be above 0"):
        Proteus(ProteusOptions(feature_weight=0, token_weight=0), setup)


@pytest.fixture
def masked(make_setup, output):
    """A distiller with the term of masked patches, and what it is called with."""
    setup = make_setup("vit", "wide")
    setup.student._probed["patch_embed"] = StageInfo("patch_embed", 7, (4, 4))
    try:
        distiller = Proteus(ProteusOptions(weight=2.0, token_weight=0, feature_weight=0), setup)
    finally:
        del setup.student._probed["patch_embed"]
    return distiller, output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)


def test_only_masked_patches_of_half_of_the_images_count(masked, step):
    distiller, student, teacher = masked
    assert distiller.requires.student_pass
    assert list(distiller.mask_token.shape) == [7]
    calls = []

    def again(images, mask, *, mask_token):
        calls.append((mask, mask_token))
        return ModelOutput(None, {4: FeatureMap(torch.full((2, 12, 4, 4), 0.5))})

    torch.manual_seed(5)
    term = step(distiller, replace(student, student_pass=again), teacher)["patch"]
    ((mask, token),) = calls
    assert token is distiller.mask_token
    assert mask.sum(1).tolist() == [8, 8]
    torch.manual_seed(5)
    chosen = torch.randperm(4)[:2]
    target = torch.nn.functional.interpolate(teacher.features[4].map[chosen], (4, 4), mode="bilinear")
    found = distiller.heads["patch"](torch.full((2, 16, 12), 0.5))
    expected = (found - target.flatten(2).mT)[mask].square().mean()
    torch.testing.assert_close(term, 2 * expected)


def test_students_without_patches_have_no_such_term(make_setup, masked, step):
    assert list(Proteus(ProteusOptions(), make_setup("cnn", "vit")).heads) == ["token", "feature"]
    with pytest.raises(ValueError, match="cannot be masked"):
        Proteus(ProteusOptions(patch_weight=1), make_setup("cnn", "vit"))
    with pytest.raises(ValueError, match="there is no pass"):
        step(*masked)


def test_a_vit_is_masked_in_its_own_pass(build_vit):
    distillation, images = build_vit
    output = distillation(images, torch.arange(4))
    output.loss.backward()
    assert list(output.terms) == ["token", "feature", "patch"]
    (distiller,) = distillation.distillers
    assert distiller.mask_token.grad.abs().sum() > 0


@pytest.fixture
def build_vit():
    models = [
        timm.create_model(
            "test_vit", num_classes=5, img_size=32, patch_size=8, embed_dim=dim, num_heads=2, depth=2
        )
        for dim in (8, 12)
    ]
    distillation = Distillation(*models, "proteus", num_classes=5, image_size=32)
    return distillation, torch.randn(4, 3, 32, 32)
