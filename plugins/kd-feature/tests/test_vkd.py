from __future__ import annotations

import copy
import math

import pytest
import torch
from kd_feature import OrthogonalLinear, VkD, vkd_loss
from kd_feature.options.embeddings import VkDOptions


def slow(s: list[list[float]], t: list[list[float]]) -> float:
    total = 0.0
    for ours, theirs in zip(s, t, strict=True):
        mean = sum(theirs) / len(theirs)
        variance = sum((x - mean) ** 2 for x in theirs) / len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            apart = abs(a - (b - mean) / math.sqrt(variance + 1e-5))
            total += apart**2 / 2 if apart < 1 else apart - 0.5
    return total / len(s) / len(s[0])


@pytest.mark.parametrize("shape", [(1, 4), (5, 3), (3, 8)])
def test_equals_the_papers_formula(draw, shape):
    student, teacher = 2 * draw(*shape), 3 * draw(*shape, seed=1) + 1
    expected = slow(student.tolist(), teacher.tolist())
    assert vkd_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # the teacher's -3, 3 become -1, 1 (up to 1e-5): differences of 1/2 and 3: (1/8 + 5/2) / 2
    value = vkd_loss(torch.tensor([[-0.5, 4.0]]).double(), torch.tensor([[-3.0, 3.0]]).double())
    assert value.item() == pytest.approx(1.3125, rel=1e-5)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: vkd_loss(s, teacher), (student,))


def test_the_gradient_of_the_projection_is_that_of_its_reflections(draw):
    layer = OrthogonalLinear(3, 5).double()
    features = draw(4, 3).requires_grad_()
    parameter = layer.linear.parametrizations["weight"].original

    def project(features, value):
        return torch.func.functional_call(layer, {"linear.parametrizations.weight.original": value}, features)

    assert torch.autograd.gradcheck(project, (features, parameter.detach().clone().requires_grad_()))


def is_orthogonal(layer: OrthogonalLinear) -> bool:
    weight = layer.weight.double()
    product = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
    return torch.allclose(product, torch.eye(len(product), dtype=torch.float64), atol=1e-5)


OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1.0, momentum=0.9, weight_decay=0.5),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.3, weight_decay=3.0),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=1.0, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dims", [(4, 9), (9, 4), (5, 5), (1, 3)])
def test_the_projection_stays_orthogonal_under_every_optimizer(draw, dims, optimizer):
    layer = OrthogonalLinear(*dims)
    assert sum(one.numel() for one in layer.parameters()) == dims[0] * dims[1]
    assert is_orthogonal(layer)
    features, target = draw(8, dims[0]).float(), draw(8, dims[1], seed=1).float()
    first = layer.weight.detach().clone()
    steps = optimizer(layer.parameters())
    for _ in range(5):
        steps.zero_grad()
        vkd_loss(layer(features), target).backward()
        steps.step()
        assert is_orthogonal(layer)
    # a single column has the sign of its first element only
    assert dims[0] == 1 or not torch.allclose(layer.weight, first, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_projection_is_computed_in_float32(draw, dtype):
    layer = OrthogonalLinear(6, 10)
    features = draw(4, 6).float()
    exact = layer(features)
    with torch.autocast("cpu", dtype=dtype):
        projected = layer(features)
        assert is_orthogonal(layer)
    assert projected.dtype == torch.float32
    torch.testing.assert_close(projected, exact)
    # lengths are kept
    torch.testing.assert_close(projected.norm(dim=1), features.norm(dim=1))


def test_the_projection_spans_what_a_linear_layer_starts_with():
    torch.manual_seed(0)
    layer = OrthogonalLinear(3, 7)
    torch.manual_seed(0)
    start = torch.nn.Linear(3, 7, bias=False).weight
    inside = layer.weight @ (layer.weight.T @ start)
    torch.testing.assert_close(inside, start)


def test_a_copy_is_a_projection_of_its_own(draw):
    layer = OrthogonalLinear(3, 5)
    twin = copy.deepcopy(layer)
    features = draw(2, 3).float()
    before = layer(features)
    with torch.no_grad():
        next(layer.parameters()).add_(1.0)
    torch.testing.assert_close(twin(features), before)
    layer.load_state_dict(twin.state_dict())
    torch.testing.assert_close(layer(features), before)


@pytest.mark.parametrize("pair", [("cnn", "vit"), ("vit", "wide"), ("mixer", "fine")], ids="-".join)
def test_the_distiller_compares_pooled_patches(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = VkD(VkDOptions(weight=2.0), setup)
    student, teacher = output(setup.student, (4,), grad=True), output(setup.teacher, (4,), seed=1)
    assert sum(one.numel() for one in distiller.parameters()) == (
        setup.student.stage(4).channels * setup.teacher.stage(4).channels
    )
    term = step(distiller, student, teacher)["vkd"]
    pooled = [one.features[4].map.flatten(2).mean(2) for one in (student, teacher)]
    torch.testing.assert_close(term, 2 * vkd_loss(pooled[0] @ distiller.projection.weight.T, pooled[1]))
    term.backward()
    prefix = student.features[4].prefix
    assert prefix is None or prefix.grad is None  # class and register tokens are left aside


def test_the_distiller_can_compare_embeddings(make_setup, output, step):
    setup = make_setup()
    distiller = VkD(VkDOptions(features="embedding"), setup)
    assert distiller.requires.student_embedding
    assert not distiller.requires.student_stages
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    expected = vkd_loss(distiller.projection(student.embedding), teacher.embedding)
    torch.testing.assert_close(step(distiller, student, teacher)["vkd"], expected)
