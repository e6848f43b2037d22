from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from kd_dev.testing.models import Pair, build_models
from kd_dev.testing.values import numbers
from kd_feature import CAMKDFeature, camkd_feature_loss
from kd_feature.camkd import teacher_weights
from kd_feature.options.classifiers import CAMKDFeatureOptions
from torch import nn
from torch.nn import functional as F

from kdcore import Batch, FeatureMap, ModelOutput, Progress

TARGET = torch.tensor([2, 0, 1, 2])


def given(teachers: int = 3) -> list[torch.Tensor]:
    """Maps of the student and the teachers, and the crossed logits."""
    maps = (teachers, 4, 5, 2, 3)
    return [numbers(*maps), numbers(*maps, seed=1), numbers(teachers, 4, 3, seed=2, scale=2.0)]


@pytest.mark.parametrize("teachers", [2, 3])
def test_equals_the_authors_formula(teachers):
    student, theirs, crossed = given(teachers)
    total = 0.0
    for b, y in enumerate(TARGET.tolist()):
        wrong = [math.log(sum(math.exp(v) for v in row[b])) - row[b][y] for row in crossed.tolist()]
        shares = [math.exp(w) / sum(math.exp(v) for v in wrong) for w in wrong]
        for m in range(teachers):
            pairs = zip(student[m, b].flatten().tolist(), theirs[m, b].flatten().tolist(), strict=True)
            apart = sum((x - z) ** 2 for x, z in pairs) / 30
            total += (1 - shares[m]) / (teachers - 1) * apart
    loss = camkd_feature_loss(student, theirs, crossed, TARGET)
    assert loss.item() == pytest.approx(total / 4 / teachers, rel=1e-9)


def test_the_gradient_is_that_of_the_formula_and_the_students_only():
    student, theirs, crossed = (one.requires_grad_() for one in given(2))
    fixed = theirs.detach(), crossed.detach()
    assert torch.autograd.gradcheck(
        lambda s: camkd_feature_loss(s, *fixed, TARGET), (student,), fast_mode=True
    )
    camkd_feature_loss(student, theirs, crossed, TARGET).backward()
    assert theirs.grad is None
    assert crossed.grad is None


def test_half_precision_is_worked_on_in_float32():
    student, theirs, crossed = given()
    exact = camkd_feature_loss(
        student.half().double(), theirs.half().double(), crossed.half().double(), TARGET
    )
    half = camkd_feature_loss(student.half(), theirs.half(), crossed.half(), TARGET)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=1e-5)


def at_the_end(size: float, of_logits: float) -> dict[str, list[torch.Tensor]]:
    """Maps and crossed logits of these sizes."""
    student, theirs, crossed = given()
    right = of_logits * F.one_hot(TARGET, 3).double().expand(3, 4, 3)
    return {
        "signs": [size * student.sign(), size * theirs.sign(), of_logits * crossed.sign()],
        "equal maps": [size * theirs, size * theirs, crossed],
        "nothing": [0 * student, 0 * theirs, 0 * crossed],
        "all right": [student, size * theirs, right],
        "all wrong": [size * student, theirs, -right],
        "one right": [student, theirs, torch.stack([right[0], -right[1], -right[2]])],
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_values_and_gradients_are_finite(dtype):
    for name, (student, theirs, crossed) in at_the_end(1e4, 1e4).items():
        student = student.to(dtype).requires_grad_()
        value = camkd_feature_loss(student, theirs.to(dtype), crossed.to(dtype), TARGET)
        value.backward()
        assert value.isfinite(), name
        assert student.grad.isfinite().all(), name
        assert (value.dtype, student.grad.dtype) == (dtype if dtype.itemsize >= 4 else torch.float32, dtype)


def test_the_gradient_of_the_weights_is_finite_for_large_logits():
    # of the distiller, whose weights are not constants
    for name, (_, _, crossed) in at_the_end(1e4, 1e4).items():
        logits = crossed.float().requires_grad_()
        weights = teacher_weights(logits, TARGET)
        (weights * torch.arange(12.0).view(3, 4)).sum().backward()
        assert logits.grad.isfinite().all(), name
        torch.testing.assert_close(weights.sum(0), torch.ones(4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_it_works_in_float32(dtype):
    # larger maps have gradients of the translator that float16 cannot hold
    for name, (student, theirs, crossed) in at_the_end(30.0, 1e3).items():
        translator, classifier = nn.Conv2d(5, 5, 1, bias=False), nn.Linear(3, 3, bias=False)
        nn.init.dirac_(translator.weight)
        nn.init.eye_(classifier.weight)
        with torch.autocast("cpu", dtype=dtype):
            mapped = torch.stack([translator(one.float()) for one in student])
            scored = classifier(crossed.float())
            assert mapped.dtype == scored.dtype == dtype
            value = camkd_feature_loss(mapped, theirs.to(dtype), scored, TARGET)
        value.backward()
        assert value.dtype == torch.float32
        assert translator.weight.grad.isfinite().all(), name
        exact = camkd_feature_loss(mapped.float(), theirs.to(dtype).float(), scored.float(), TARGET)
        torch.testing.assert_close(value, exact)


def test_the_gradient_has_a_gradient():
    student, theirs, crossed = given(2)
    student.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda s: camkd_feature_loss(s, theirs, crossed, TARGET), (student,), fast_mode=True
    )


def test_no_value_is_read_on_the_way():
    # a meta tensor has none: what would make a GPU wait raises here
    student = torch.empty(2, 4, 5, 2, 3, device="meta", requires_grad=True)
    theirs, crossed = torch.empty(2, 4, 5, 2, 3, device="meta"), torch.empty(2, 4, 3, device="meta")
    camkd_feature_loss(student, theirs, crossed, TARGET.to("meta")).backward()
    assert student.grad.shape == student.shape


def test_the_most_probable_class_of_a_soft_target_counts():
    student, theirs, crossed = given()
    soft = torch.full((4, 3), 0.1, dtype=torch.float64).scatter_(1, TARGET.unsqueeze(1), 0.8)
    torch.testing.assert_close(
        camkd_feature_loss(student, theirs, crossed, soft),
        camkd_feature_loss(student, theirs, crossed, TARGET),
    )


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda s, t, c: (s[0], t, c), "student_maps is"),
        (lambda s, t, c: (s, t[:, :, :4], c), "both maps of one shape"),
        (lambda s, t, c: (s, t, c[:2]), "same teachers and samples"),
        (lambda s, t, c: (s[:1], t[:1], c[:1]), "there is one teacher"),
        (lambda s, t, c: (s[:, :0], t[:, :0], c[:, :0]), "at least one sample"),
    ],
)
def test_what_does_not_fit_is_refused(cut, message):
    with pytest.raises(ValueError, match=message):
        camkd_feature_loss(*cut(*given()), TARGET)


TWO = Pair(teachers=2)


def maps_of(models, grid=(3, 3)):
    """Outputs of the student and both teachers, the second on another grid."""
    grids = {"teacher": grid, "second": (2, 2)}
    channels = {name: info.stage(4).channels for name, info in models.setup.teachers.items()}
    teachers = {
        name: ModelOutput(None, {4: FeatureMap(numbers(4, channels[name], *grids[name], seed=seed).float())})
        for seed, name in enumerate(models.setup.teachers, 1)
    }
    ours = numbers(4, models.setup.student.stage(4).channels, 3, 3, scale=2.0).float().requires_grad_()
    return ModelOutput(None, {4: FeatureMap(ours)}), teachers


def slow(models, distiller, student, teachers, target):
    """The authors' term: a list of the teachers' weights and errors for each sample, and their mean."""
    crossed, apart = [], []
    for layers, name in zip(distiller.translators, teachers, strict=True):
        conv, norm = layers[0], layers[1]
        theirs = teachers[name].features[4].map
        x = F.adaptive_avg_pool2d(student.features[4].map, theirs.shape[2:])
        x = torch.einsum("kc,bchw->bkhw", conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        x = (x - mean) / (variance + norm.eps).sqrt()
        x = (x * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)
        logits = models.teachers[name].forward_head(x)
        crossed.append(-(logits.exp() / logits.exp().sum(1, keepdim=True)).log()[range(4), target])
        apart.append(((x - theirs) ** 2).flatten(1).mean(1))
    shares = torch.stack(crossed).exp() / torch.stack(crossed).exp().sum(0)
    return ((1 - shares) / (len(apart) - 1) * torch.stack(apart)).sum() / 4 / len(apart)


@pytest.mark.parametrize("constant", [False, True])
def test_the_distiller_equals_the_authors_term(constant):
    models = build_models(TWO)
    distiller = CAMKDFeature(CAMKDFeatureOptions(weight=3.0, constant_weights=constant), models.setup)
    student, teachers = maps_of(models)
    batch = Batch(torch.zeros(4, 3, 2, 2), TARGET)
    term = distiller(student, teachers, batch, Progress(0.0, 0, 10, 1))["features"]
    expected = 3 * slow(models, distiller, student, teachers, TARGET)
    torch.testing.assert_close(term, expected)
    ours = student.features[4].map
    given = [*distiller.parameters(), ours]
    found, wanted = (torch.autograd.grad(one, given, retain_graph=True) for one in (term, expected))
    same = [torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(found, wanted, strict=True)]
    assert all(same) != constant
    assert all(p.grad is None for teacher in models.teachers.values() for p in teacher.parameters())


def test_the_distillers_other_options():
    models = build_models(TWO)
    student, teachers = maps_of(models)
    batch, now = Batch(torch.zeros(4, 3, 2, 2), TARGET), Progress(0.0, 0, 10, 1)
    plain, normal = (
        CAMKDFeature(CAMKDFeatureOptions(normalize=normalize), models.setup) for normalize in (False, True)
    )
    normal.load_state_dict(plain.state_dict())
    once, twice = (one(student, teachers, batch, now)["features"] for one in (plain, normal))
    torch.testing.assert_close(2 * once, twice)
    three = CAMKDFeature(CAMKDFeatureOptions(translator="bottleneck", factor=4), models.setup)
    width = models.setup.student.stage(4).channels
    shapes = [[tuple(layer.weight.shape) for layer in one[::3]] for one in three.translators]
    channels = [info.stage(4).channels for info in models.setup.teachers.values()]
    middle = width // 4
    assert shapes == [[(middle, width, 1, 1), (middle, middle, 3, 3), (c, middle, 1, 1)] for c in channels]
    assert three(student, teachers, batch, now)["features"].isfinite()


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Pair(), "the run has 1"),
        (Pair("conv", "vit", teachers=2), "reads a class token"),
        (Pair("conv", "conv", classes=7, teachers=2), "has 7 classes, and the data 6"),
    ],
)
def test_what_the_distiller_cannot_use_is_refused(pair, message):
    setup = build_models(pair).setup
    setup = replace(setup, num_classes=6) if pair.classes == 7 else setup
    with pytest.raises(ValueError, match=message):
        CAMKDFeature(CAMKDFeatureOptions(), setup)
