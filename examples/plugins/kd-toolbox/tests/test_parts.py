"""Loss, metric, data, model and section against values that are worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from kd_toolbox.dataset import Stripes
from kd_toolbox.distiller import cosine_loss
from kd_toolbox.metric import overconfidence
from kd_toolbox.model import PlainNet
from kd_toolbox.section import confusions


def test_the_loss():
    student, teacher = torch.tensor([[1.0, 0.0], [3.0, 3.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert cosine_loss(student, teacher, centre=False).item() == pytest.approx((1 - 1 / math.sqrt(2)) / 2)
    opposite = cosine_loss(torch.tensor([[5.0, 6.0]]), torch.tensor([[9.0, 2.0]]))
    assert opposite.item() == pytest.approx(2.0)


def test_the_gradient_goes_to_the_student_alone():
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    cosine_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_the_metric():
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    assert overconfidence(probabilities, torch.tensor([0, 0])).item() == pytest.approx(0.75 - 0.5)
    assert overconfidence(probabilities, torch.tensor([0, 1])).item() == pytest.approx(-0.25)


def test_an_image_depends_on_split_and_index_alone():
    train, test = (Stripes(None, split, samples=8, side=16) for split in ("train", "test"))
    assert train[5][0].tobytes() == Stripes(None, "train", samples=400, side=16)[5][0].tobytes()
    assert train[5][0].tobytes() != test[5][0].tobytes()
    assert (train[5][1], train[5][0].size, len(train)) == (train.targets[5], (16, 16), 8)
    with pytest.raises(ValueError, match="there is no split 'val', only train and test"):
        Stripes(None, "val", samples=8, side=16)


def test_the_model_halves_the_grid_four_times():
    model = PlainNet(num_classes=3, in_chans=1, width=2)
    assert model(torch.zeros(2, 1, 20, 12)).shape == (2, 3)
    assert [block.out_channels for block in model.blocks] == [2, 4, 8, 16]


def opened(logits, target, classes):
    predictions = SimpleNamespace(logits=torch.tensor(logits), target=torch.tensor(target))
    student = SimpleNamespace(classes=classes, num_classes=2)
    return SimpleNamespace(predictions=(predictions, None), student=student)


def test_the_section_escapes_names_and_is_left_out_without_mistakes():
    logits = [[2.0, 1.0], [2.0, 1.0], [0.0, 1.0]]
    section = confusions(opened(logits, [1, 1, -1], ("<b>", "owl")))
    assert section.text.startswith("2 of 3 images get a wrong class.")
    assert "<td>owl</td><td>&lt;b&gt;</td><td>2</td>" in section.figures[0]
    assert confusions(opened(logits, [0, 0, 1], None)) is None
