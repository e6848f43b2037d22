from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from kdcore import InputConfig, ModelOutput, OpenedModel, Problem, UserError
from kdcore.data.special_targets import BROKEN, UNLABELLED
from kdcore.features import PlainAdapter
from kdcore.inspect.predictions import Predictor, predict
from kdcore.inspect.teachers import MeanOfTeachers


class Given(nn.Module):
    """Its logits are its images."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, images: Tensor) -> Tensor:
        return self.drop(images.flatten(1))


class Doubling:
    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[()]:
        return ()

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[int], embedding: bool
    ) -> ModelOutput:
        logits = model(images)
        return ModelOutput(logits, embedding=2 * logits[:, :2] if embedding else None)


LOGITS = torch.arange(24.0).reshape(8, 3)
TARGET = torch.tensor([0, 1, BROKEN, 2, UNLABELLED, 0, BROKEN, 1])


def _data(batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    return iter(list(zip(LOGITS[..., None, None].split(batch), TARGET.split(batch), strict=True)))


def test_images_come_in_order_and_those_that_cannot_be_read_not_at_all():
    for batch in (1, 3, 8):
        model = Given().train()
        (found,) = predict([Predictor(model)], _data(batch))
        assert model.training
        assert found.position.tolist() == [0, 1, 3, 4, 5, 7]
        assert found.target.tolist() == [0, 1, 2, -1, 0, 1]
        torch.testing.assert_close(found.logits, LOGITS[found.position])
        assert found.embedding is None
        assert len(found) == 6


def test_all_models_see_the_same_images_each_in_its_way():
    one = Predictor(Given(), adapter=Doubling())
    other = Predictor(Given(), lambda images: -images)
    first, second = predict([one, other], _data(3), embeddings=True)
    torch.testing.assert_close(first.logits, -second.logits)
    torch.testing.assert_close(first.embedding, 2 * first.logits[:, :2])
    assert second.embedding is None


class NoEmbedding(Doubling):
    """An adapter of another package that gives logits alone."""

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[int], embedding: bool
    ) -> ModelOutput:
        if embedding:
            raise UserError(Problem("", "this model has no embedding"))
        return super().forward(model, images, stages, embedding)


def test_an_adapter_that_knows_no_embedding_gives_the_logits():
    (found,) = predict([Predictor(Given(), adapter=NoEmbedding())], _data(3), embeddings=True)
    assert found.embedding is None
    torch.testing.assert_close(found.logits, LOGITS[found.position])


def test_a_model_without_logits_is_refused_with_embeddings_too():
    class Two(Given):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return images, images

    for embeddings in (False, True):
        with pytest.raises(UserError, match="Two returns several outputs"):
            predict([Predictor(Two(), adapter=PlainAdapter())], _data(3), embeddings=embeddings)


def test_a_limit_counts_the_images_that_can_be_read():
    for batch in (1, 3, 8):
        seen: list[int] = []
        (found,) = predict([Predictor(Given())], _data(batch), limit=3, advance=seen.append)
        assert found.position.tolist()[:2] == [0, 1]
        assert len(found) <= 3
        assert sum(seen) <= 8
    (found,) = predict([Predictor(Given())], _data(1), limit=3)
    assert found.position.tolist() == [0, 1, 3]


def test_no_images_give_no_predictions():
    (found,) = predict([Predictor(Given())], iter([]))
    assert len(found) == 0
    assert found.logits.numel() == 0


def test_half_precision_comes_out_as_float32():
    (found,) = predict([Predictor(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))], _data(4), precision="bf16")
    assert found.logits.dtype == torch.float32
    assert torch.equal(found.logits, found.logits.bfloat16().float())


class Rounding(nn.Module):
    """Says the number format in which it computes."""

    def forward(self, images: Tensor) -> Tensor:
        product = images.flatten(1)[:, :2] @ torch.eye(2, device=images.device)
        return torch.full_like(product, float(product.dtype == torch.bfloat16))


def test_a_model_with_its_own_precision_computes_in_it():
    """A teacher may have one, for example as its logits are too large for 16 bits."""
    models = [Predictor(Rounding(), precision=own) for own in (None, "fp32", "bf16")]
    found = predict(models, _data(3), precision="bf16")
    assert [float(one.logits.mean()) for one in found] == [1.0, 0.0, 1.0]
    found = predict(models, _data(3))
    assert [float(one.logits.mean()) for one in found] == [0.0, 0.0, 1.0]


def test_the_mean_of_teachers_computes_each_in_its_own_precision():
    taken = InputConfig((1, 3), (0.5,), (0.5,))
    members = {
        str(own): OpenedModel(name="m", model=Rounding(), input=taken, precision=own)
        for own in (None, "fp32")
    }
    mean = MeanOfTeachers(members)
    seen: list[Tensor] = []
    for member in members.values():
        member.model.register_forward_hook(lambda _, given, output: seen.append(output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean(torch.zeros(2, 1, 1, 3))
    assert [float(one.mean()) for one in seen] == [1.0, 0.0]
    seen.clear()
    mean(torch.zeros(2, 1, 1, 3, device="meta"))  # to count operations
    assert all(one.is_meta for one in seen)
