from __future__ import annotations

import math

import pytest
import torch
from kd_feature import ND, nd_loss
from kd_feature.options.embeddings import NDOptions

from kdcore import Batch, ModelOutput


def slow(oracle, s, t, centers, target):
    found = []
    for ours, theirs, y in zip(s, t, target, strict=True):
        largest = max(math.sqrt(oracle.dot(ours, ours)), math.sqrt(oracle.dot(theirs, theirs)))
        found.append(1 - oracle.dot(ours, oracle.unit(centers[y])) / largest)
    return oracle.mean(found)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(1, 3), (5, 4)])
def test_equals_the_authors_formula(oracle, draw, shape, scale):
    student, teacher, centers = scale * draw(*shape), draw(*shape, seed=1), draw(3, shape[1], seed=2)
    target = torch.arange(shape[0]) % 3
    expected = slow(oracle, student.tolist(), teacher.tolist(), centers.tolist(), target.tolist())
    assert nd_loss(student, teacher, centers, target).item() == pytest.approx(expected, rel=1e-12)
    soft = 0.8 * torch.nn.functional.one_hot(target, 3).double() + 0.1
    assert nd_loss(student, teacher, centers, soft).item() == pytest.approx(expected, rel=1e-12)


def test_values_worked_out_by_hand():
    centers, target = torch.tensor([[0.0, 2.0]]), torch.tensor([0])
    # shorter than the teacher: 1 - 1 / 5; longer: 1 - 8 / 10
    assert nd_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 4.0]]), centers, target).item() == (
        pytest.approx(0.8)
    )
    assert nd_loss(torch.tensor([[6.0, 8.0]]), torch.tensor([[3.0, 4.0]]), centers, target).item() == (
        pytest.approx(0.2)
    )


def test_the_gradient_is_that_of_the_formula_through_the_larger_norm_too(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 3, seed=1)
    with torch.no_grad():
        student[:2] *= 5
    centers, target = draw(3, 3, seed=2), torch.tensor([0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda s: nd_loss(s, teacher, centers, target), (student,))


def test_the_centers_are_the_means_of_the_classes(make_setup, output, step):
    setup = make_setup("cnn", "cnn")
    distiller = ND(NDOptions(weight=3.0), setup)
    assert not list(distiller.parameters())
    outputs = [output(setup.teacher, (), seed=seed) for seed in range(3)]
    targets = [torch.tensor([0, 1, 1, 3]), torch.tensor([3, 3, 0, 1]), torch.eye(5)[[0, 0, 0, 0]]]
    images = torch.zeros(4, 3, 2, 2)
    distiller.prepare((one, Batch(images, target)) for one, target in zip(outputs, targets, strict=True))
    embeddings = torch.cat([one.embedding for one in outputs])
    labels = torch.tensor([0, 1, 1, 3, 3, 3, 0, 1, 0, 0, 0, 0])
    for k in (0, 1, 3):
        torch.testing.assert_close(distiller.centers[k], embeddings[labels == k].mean(0))
    assert distiller.centers[2].abs().sum() == 0  # a class without samples
    resumed = ND(NDOptions(weight=3.0), setup)
    resumed.load_state_dict(distiller.state_dict())  # no second pass
    student = output(setup.student, ())
    target = torch.tensor([0, 1, 3, 3])
    expected = 3 * nd_loss(student.embedding, outputs[0].embedding, distiller.centers, target)
    for one in (distiller, resumed):
        torch.testing.assert_close(step(one, student, outputs[0], target=target)["nd"], expected)


def test_dims_that_differ_have_a_head(make_setup):
    distiller = ND(NDOptions(), make_setup())
    names = [type(one).__name__ for one in distiller.projection]
    assert names == ["BatchNormOverProcesses", "Dropout", "Linear"]


def test_nothing_has_no_direction():
    student = torch.zeros(1, 2, requires_grad=True)
    value = nd_loss(student, torch.zeros(1, 2), torch.ones(3, 2), torch.tensor([1]))
    value.backward()
    assert value.item() == 1
    assert student.grad.abs().sum() == 0


def test_wrong_arguments_are_refused(draw, make_setup):
    student = draw(3, 2)
    with pytest.raises(ValueError, match=r"centers has shape \[4, 3\]"):
        nd_loss(student, student, draw(4, 3), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="target is"):
        nd_loss(student, student, draw(4, 2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="teacher's embedding"):
        ND(NDOptions(), make_setup()).prepare(
            [(ModelOutput(None), Batch(draw(1, 3, 2, 2), torch.tensor([0])))]
        )
