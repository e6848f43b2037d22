"""Batch norms folded into convolutions: the same outputs, and nothing folded where they would not be."""

import pytest
import timm
import torch
from torch import nn

from kdcore import Distillation, Requires
from kdcore.models.fold import fold_batch_norm


def trained_like(model: nn.Module) -> nn.Module:
    """Statistics and scales that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval().requires_grad_(False)


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """To the rounding of many layers, beside the largest value."""
    return bool((one - other).abs().max() < 1e-4 * other.abs().max())


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def fold(model: nn.Module, images: torch.Tensor) -> int:
    return fold_batch_norm(model, lambda: [model(images)])


@pytest.mark.parametrize(
    ("name", "all_of_them"),
    [("resnet10t", True), ("test_efficientnet", True), ("repvgg_a0", False)],
)
def test_timm_models_give_the_same(name, all_of_them):
    model = trained_like(timm.create_model(name, num_classes=10))
    images = torch.randn(2, 3, 32, 32)
    before, there = model(images), norms(model)
    folded = fold(model, images)
    assert folded == there if all_of_them else 0 < folded < there
    assert norms(model) == there - folded
    assert near(model(images), before)


def test_a_fold_by_hand():
    convolution, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    with torch.no_grad():
        convolution.weight.fill_(3.0), convolution.bias.fill_(1.0)
        (
            norm.running_mean.fill_(5.0),
            norm.running_var.fill_(4.0),
            norm.weight.fill_(6.0),
            norm.bias.fill_(0.5),
        )
    model = nn.Sequential(convolution, norm).eval().requires_grad_(False)
    assert fold(model, torch.randn(2, 1, 2, 2)) == 1
    # (3x + 1 - 5) / 2 * 6 + 0.5 = 9x - 11.5
    assert model[0].weight.item() == 9.0
    assert model[0].bias.item() == -11.5
    assert isinstance(model[1], nn.Identity)


class Twice(nn.Module):
    """The convolution's output is read by the norm and by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images):
        mapped = self.convolution(images)
        return self.norm(mapped) + mapped


class AsksTheNorm(Twice):
    def forward(self, images):
        return self.norm(self.convolution(images)) * self.norm.weight.mean()


class Shared(Twice):
    def forward(self, images):
        return self.norm(self.convolution(self.norm(self.convolution(images))))


@pytest.mark.parametrize("kind", [Twice, AsksTheNorm, Shared])
def test_what_would_change_is_left_as_it_was(kind):
    model = trained_like(kind())
    images = torch.randn(2, 3, 4, 4)
    before, state = model(images), {name: value.clone() for name, value in model.state_dict().items()}
    assert fold(model, images) == 0
    assert torch.equal(model(images), before)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_weight_that_is_computed_is_left_alone():
    from timm.layers import ScaledStdConv2d

    model = trained_like(nn.Sequential(ScaledStdConv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert fold(model, torch.randn(2, 3, 4, 4)) == 0


def test_a_norm_in_training_mode_of_its_statistics_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert fold(model, torch.randn(2, 3, 4, 4)) == 0


def test_channels_last_weights_stay_so():
    model = trained_like(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).to(
        memory_format=torch.channels_last
    )
    assert fold(model, torch.randn(2, 3, 8, 8)) == 1
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


class Reads(nn.Module):
    # a convolution as a stage: folded, its output would be another
    requires = Requires(teacher_stages=("layer2.0.conv1", 4), teacher_embedding=True)

    def forward(self, student, teacher, batch, progress):
        return {}


def test_what_a_distiller_reads_of_the_teacher_stays():
    torch.manual_seed(0)
    teacher = trained_like(timm.create_model("resnet10t", num_classes=10))
    student = timm.create_model("test_resnet", num_classes=10)
    distillation = Distillation(student, teacher, Reads(), num_classes=10, image_size=32)
    images = torch.randn(2, 3, 32, 32)
    before, there = distillation.teacher_passes["teacher"].compute(images), norms(teacher)
    assert distillation.teacher_passes["teacher"].fold() == there - 1
    after = distillation.teacher_passes["teacher"].compute(images)
    assert near(after.logits, before.logits)
    for stage, feature in before.features.items():
        assert near(after.features[stage].map, feature.map)
