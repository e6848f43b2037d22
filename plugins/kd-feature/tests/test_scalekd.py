from __future__ import annotations

import math

import pytest
import timm
import torch
from kd_feature import ScaleKD, scalekd_frequency_loss, scalekd_spatial_loss
from kd_feature.options.generation import ScaleKDOptions
from kd_feature.scalekd import AttentionProjector, _heads

from kdcore import Distillation, StageInfo, UserError


def spatial(oracle, student, teacher):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        for y in range(len(s[0])):
            for x in range(len(s[0][0])):
                a, b = (oracle.unit([c[y][x] for c in sample]) for sample in (s, t))
                total += sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    return total / len(student)


def test_the_spatial_loss_equals_the_sum_written_out(oracle, draw):
    student, teacher = draw(2, 3, 2, 4), draw(2, 3, 2, 4, seed=1)
    expected = spatial(oracle, student.tolist(), teacher.tolist())
    assert scalekd_spatial_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def cosine_table(size):
    """The cosine transform of type 2, orthonormal."""
    rows = [[math.cos(math.pi * (2 * x + 1) * k / (2 * size)) for x in range(size)] for k in range(size)]
    table = torch.tensor(rows, dtype=torch.float64) * (2 / size) ** 0.5
    table[0] /= 2**0.5
    return table


def test_the_frequency_loss_is_without_the_constant_part_of_a_cosine_transform(oracle, draw):
    student, teacher, table = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1), cosine_table(4)
    without = []
    for maps in (student, teacher):
        frequencies = table @ maps @ table.T
        frequencies[:, :, 0, 0] = 0
        without.append(table.T @ frequencies @ table)
    expected = spatial(oracle, *(maps.tolist() for maps in without))
    assert scalekd_frequency_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_values_worked_out_by_hand():
    # at right angles: |a - b|^2 = 2 at each of two places
    student = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    teacher = torch.tensor([[0.0, 0.0], [2.0, 5.0]]).view(1, 2, 1, 2)
    assert scalekd_spatial_loss(student, teacher).item() == pytest.approx(4)
    # without the means 2 and 3.5: still at right angles
    assert scalekd_frequency_loss(student, teacher).item() == pytest.approx(4)


@pytest.mark.parametrize("loss", [scalekd_spatial_loss, scalekd_frequency_loss])
def test_the_gradient_is_that_of_the_formula(draw, loss):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))


def test_as_many_parameters_as_the_authors_projectors():
    with torch.device("meta"):
        one = AttentionProjector(StageInfo(4, 2048, (7, 7)), StageInfo(4, 768, (7, 7)), 12, 5.0)
    assert 2 * sum(p.numel() for p in one.parameters()) == 95_071_744


def test_the_attention_written_out(draw):
    torch.manual_seed(0)
    projector = AttentionProjector(StageInfo(4, 3, (2, 2)), StageInfo(4, 8, (3, 1)), 2, 5.0).double().eval()
    features = draw(2, 3, 2, 2)
    tokens = (projector.of_student(features) + projector.position).flatten(2).mT
    queries = projector.of_query(projector.query.weight.T.reshape(1, 8, 3, 1)).flatten(2).mT
    q, k, v = projector.q(queries), projector.k(tokens), projector.v(tokens)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (q[..., part] @ k[..., part].mT * 5 / 2).softmax(-1)
        heads.append(weights @ v[..., part])
    read = projector.norm(projector.out(torch.cat(heads, -1)))
    expected = (read + projector.feed_forward(read)).mT.reshape(2, 8, 3, 1)
    torch.testing.assert_close(projector(features), expected)


@pytest.mark.parametrize("pair", [("cnn", "wide"), ("vit", "oblong")], ids="-".join)
def test_the_terms(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = ScaleKD(ScaleKDOptions(weight=2.0, spatial_weight=3.0, frequency_weight=5.0), setup).eval()
    student, teacher = output(setup.student, (4,), grad=True), output(setup.teacher, (4,), seed=1)
    terms = step(distiller, student, teacher)
    ours, theirs = student.features[4].map, teacher.features[4].map
    torch.testing.assert_close(terms["spatial"], 6 * scalekd_spatial_loss(distiller.spatial[0](ours), theirs))
    expected = 10 * scalekd_frequency_loss(distiller.frequency[0](ours), theirs)
    torch.testing.assert_close(terms["frequency"], expected)


def test_heads(make_setup):
    assert [_heads(channels) for channels in (768, 1536, 14, 100, 200)] == [12, 24, 1, 1, 2]
    with pytest.raises(ValueError, match="'heads' is 3; it must divide the 14 channels"):
        ScaleKD(ScaleKDOptions(heads=3), make_setup())


def test_a_map_of_stage_3_through_the_teachers_last_stage():
    torch.manual_seed(0)
    student = timm.create_model("resnet10t", channels=(4, 4, 8, 8), num_classes=3)
    teacher = timm.create_model("test_convnext", num_classes=3)
    options = {"name": "scalekd", "through_teacher": True, "spatial_weight": 3.0, "frequency_weight": 5.0}
    built = Distillation(student, teacher, [options], num_classes=3, image_size=64, task_weight=1.0).eval()
    images = torch.randn(2, 3, 64, 64)
    out = built(images, torch.tensor([0, 1]))
    distiller = built.distillers[0]
    with torch.no_grad():
        ours = student.forward_intermediates(images, indices=[3, 4], intermediates_only=True)
        theirs = teacher.forward_intermediates(images, indices=[3], intermediates_only=True)[0]
        first, second = (teacher.stages[3](one(ours[0])) for one in distiller.third)
        expected = {
            "spatial": 3 * scalekd_spatial_loss(distiller.spatial[0](ours[1], first), theirs),
            "frequency": 5 * scalekd_frequency_loss(distiller.frequency[0](ours[1], second), theirs),
            "through_spatial": 3 * scalekd_spatial_loss(first, theirs),
            "through_frequency": 5 * scalekd_frequency_loss(second, theirs),
        }
    torch.testing.assert_close({name: term.detach() for name, term in out.terms.items()}, expected)
    out.terms["through_spatial"].backward(retain_graph=True)
    assert student.layer3[0].downsample[1].weight.grad.abs().sum() > 0
    assert student.layer4[0].conv1.weight.grad is None
    (out.terms["spatial"] + out.terms["frequency"] + out.terms["through_frequency"]).backward()
    # stage 3 gives the queries of stage 4, and a parameter without a gradient stops a run of several processes
    assert [name for name, one in distiller.named_parameters() if one.grad is None] == []
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("teacher", "more", "message"),
    [
        ("test_vit", {}, "reads a class token"),
        ("test_convnext", {"stages": [3]}, "needs stage 4 of both models"),
        ("test_nfnet", {}, "no rest of the model from stage 3 on"),
    ],
)
def test_teachers_whose_last_stage_cannot_be_used(teacher, more, message):
    student = timm.create_model("test_resnet", num_classes=3)
    options = {"name": "scalekd", "through_teacher": True, **more}
    sizes = {"num_classes": 3, "image_size": 160, "task_weight": 1.0}
    with pytest.raises(UserError, match=message):
        Distillation(student, timm.create_model(teacher, num_classes=3), [options], **sizes)
