from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from kdcore.run.evaluate import evaluate


class Given(nn.Module):
    """Its logits are its images."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, images: Tensor) -> Tensor:
        return self.drop(images.flatten(1))


class Data:
    def __init__(self, logits: Tensor, target: Tensor, batch: int) -> None:
        self.parts = list(zip(logits[..., None, None].split(batch), target.split(batch), strict=True))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.parts)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


# the first classes are 2, 0, 1, 6; the fives are right for the first three
LOGITS = torch.tensor(
    [
        [0.0, 1, 9, 2, 3, 4, 5],
        [9.0, 8, 7, 6, 5, 0, 1],
        [1.0, 9, 2, 3, 4, 5, 0],
        [0.0, 1, 2, 3, 4, 5, 6],
    ]
)
TARGET = torch.tensor([2, 4, 0, 0])


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_top1_and_top5_count_every_image_once(accelerator: Accelerator, batch: int):
    model = Given().train()
    found = evaluate(model, Data(LOGITS, TARGET, batch), accelerator)
    assert found.top1 == pytest.approx(25.0)
    assert found.top5 == pytest.approx(50.0)
    assert found.agreement is None
    assert found.predictions.tolist() == [2, 0, 1, 6]
    assert model.training


@pytest.mark.parametrize("classes", [3, 5])
def test_with_five_classes_or_fewer_top_5_is_100(accelerator: Accelerator, classes: int):
    found = evaluate(Given(), Data(LOGITS[:, :classes], torch.tensor([2, 1, 0, 1]), 4), accelerator)
    assert found.top1 is not None
    assert found.top5 == pytest.approx(100.0)  # in the files; what people see leaves it out


def test_agreement_with_the_teacher_and_unlabelled_images(accelerator: Accelerator):
    data = Data(LOGITS, torch.tensor([2, -1, -1, -1]), 3)
    found = evaluate(Given(), data, accelerator, teacher_predictions={"teacher": torch.tensor([2, 0, 0, 0])})
    assert found.top1 == pytest.approx(100.0)
    assert found.agreement == pytest.approx(50.0)
    unlabelled = Data(LOGITS, torch.full((4,), -1), 3)
    found = evaluate(
        Given(), unlabelled, accelerator, teacher_predictions={"teacher": torch.tensor([2, 0, 1, 6])}
    )
    assert found.as_dict() == {"agreement": pytest.approx(100.0)}


def test_the_images_are_transformed_first(accelerator: Accelerator):
    found = evaluate(Given(), Data(LOGITS, TARGET, 4), accelerator, transform=lambda images: -images)
    assert found.predictions.tolist() == [0, 5, 6, 0]


def test_logits_that_are_not_finite_are_counted(accelerator: Accelerator):
    logits = LOGITS.clone()
    logits[1, 2], logits[3, 0] = float("nan"), float("inf")
    found = evaluate(Given(), Data(logits, TARGET, 3), accelerator)
    assert found.not_finite == 2
    assert evaluate(Given(), Data(LOGITS, TARGET, 3), accelerator).not_finite == 0
