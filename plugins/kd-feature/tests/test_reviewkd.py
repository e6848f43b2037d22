from __future__ import annotations

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_feature import ReviewKD, review_hcl_loss
from kd_feature.fusion import Fusion
from kd_feature.options.generation import ReviewKDOptions

from kdcore import Requires

STAGES = (1, 2, 3, 4)


def hcl(oracle, student, teacher):
    """The authors' sum: the levels that are lower than the map, with factors 1, 1/2, 1/4, ... in turn."""
    height = len(student[0][0])
    total, factors, factor = oracle.hint(student, teacher), 1.0, 1.0
    for side in (4, 2, 1):
        if side >= height:
            continue
        factor /= 2
        ours, theirs = (
            [[oracle.pooled(channel, side, side) for channel in sample] for sample in maps]
            for maps in (student, teacher)
        )
        total += factor * oracle.hint(ours, theirs)
        factors += factor
    return total / factors


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 2, 5), (1, 2, 3, 3), (2, 2, 8, 8), (2, 2, 9, 6)])
def test_equals_the_authors_formula(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    expected = hcl(oracle, student.tolist(), teacher.tolist())
    assert review_hcl_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # differences 2 and 0 in two rows: their squares have the mean 2, the mean 1 has the square 1; (2 + 1/2) / (1 + 1/2)
    student = torch.tensor([[[[2.0, 2.0], [0.0, 0.0]]]])
    assert review_hcl_loss(student, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(5 / 3)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 2, 5, 5).requires_grad_(), draw(2, 2, 5, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: review_hcl_loss(s, teacher), (student,))


def of_resnet34_to_resnet18(student, teacher, grids=((56, 56), (28, 28), (14, 14), (7, 7), (1, 1))):
    with torch.device("meta"):
        return sum(
            p.numel()
            for i, (s, t) in enumerate(zip(student, teacher, strict=True))
            for p in Fusion(s, min(512, student[-1]), t, grids[i], deepest=i == 4).parameters()
        )


def test_as_many_parameters_as_the_authors_modules():
    narrow, wide = (64, 128, 256, 512, 512), (256, 512, 1024, 2048, 2048)
    assert of_resnet34_to_resnet18(narrow, narrow) == 7_552_904
    assert of_resnet34_to_resnet18(narrow, wide) == 27_910_664


def test_fusion_by_hand():
    fusion = Fusion(1, 1, 1, (2, 2), deepest=False).double().eval()
    with torch.no_grad():
        for value in fusion.parameters():
            value.zero_()
        fusion.reduce[0].weight.fill_(2.0)
        fusion.reduce[1].weight.fill_((1 + 1e-5) ** 0.5)
        fusion.attention.bias.copy_(torch.tensor([0.0, torch.inf]))  # weights 1/2 and 1
        fusion.expand[0].weight[:, :, 1, 1] = 1.0
        fusion.expand[1].weight.fill_((1 + 1e-5) ** 0.5)
        fusion.expand[1].bias.fill_(0.5)
    features, deeper = torch.full((1, 1, 2, 2), 3.0).double(), torch.full((1, 1, 1, 1), 7.0).double()
    reviewed, fused = fusion(features, deeper)
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 2), 2 * 3.0 / 2 + 7).double())
    torch.testing.assert_close(reviewed, fused + 0.5)


def test_its_start_is_the_authors():
    torch.manual_seed(0)
    fusion = Fusion(64, 32, 64, (2, 2), deepest=True)
    assert fusion.attention is None
    for convolution, fan_in in ((fusion.reduce[0], 64), (fusion.expand[0], 32 * 9)):
        assert convolution.bias is None
        assert convolution.weight.abs().max().item() == pytest.approx((3 / fan_in) ** 0.5, rel=0.02)


@pytest.mark.parametrize("pair", [("cnn", "fine"), ("vit", "oblong")], ids="-".join)
def test_the_term_is_the_sum_of_the_fused_maps(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = ReviewKD(ReviewKDOptions(weight=3.0), setup).eval()
    assert distiller.requires == Requires(
        student_stages=STAGES,
        teacher_stages=STAGES,
        student_embedding=True,
        teacher_embedding=True,
        whole_batch=True,
        teacher_logits=False,
    )
    student, teacher = output(setup.student, STAGES, grad=True), output(setup.teacher, STAGES, seed=1)
    ours = [*(student.features[s].map for s in STAGES), student.embedding[:, :, None, None]]
    theirs = [*(teacher.features[s].map for s in STAGES), teacher.embedding[:, :, None, None]]
    deeper, expected = None, 0.0
    for fusion, s, t in list(zip(distiller.fusions, ours, theirs, strict=True))[::-1]:
        reviewed, deeper = fusion(s, deeper)
        expected += 3 * review_hcl_loss(reviewed, t)
    found = step(distiller, student, teacher)["reviewkd"]
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_the_width_is_that_of_the_students_deepest(make_setup):
    def width(**options):
        return ReviewKD(ReviewKDOptions(**options), make_setup()).fusions[0].reduce[0].out_channels

    assert (width(), width(embedding=False), width(mid_channels=7)) == (10, 10, 7)


def test_maps_before_the_last_relu():
    setup = build_models(Pair()).setup
    found = ReviewKD(ReviewKDOptions(), setup)
    assert found.requires.teacher_stages == tuple(f"layer{n}.0.act2:in" for n in STAGES)
    assert ReviewKD(ReviewKDOptions(pre_activation=False), setup).requires.student_stages == STAGES
    chosen = ReviewKD(ReviewKDOptions(stages=(2, ("layer3", 4))), setup)
    assert chosen.requires.student_stages == ("layer2.0.act2:in", "layer3")
    tokens = ReviewKD(ReviewKDOptions(), build_models(Pair("vit", "vit")).setup)
    assert tokens.requires.student_stages == STAGES
