from __future__ import annotations

import pytest
import torch
from kd_feature.regressor import Regressor
from torch import nn

from kdcore import StageInfo


def _layers(student: tuple[int, int], teacher: tuple[int, int]) -> list[nn.Module]:
    return list(Regressor(StageInfo(1, 3, student), StageInfo(1, 5, teacher), nonlinear=False))


@pytest.mark.parametrize(
    ("student", "teacher", "kind", "kernel", "stride"),
    [
        ((8, 8), (8, 8), nn.Conv2d, 1, 1),
        ((1, 1), (1, 1), nn.Conv2d, 1, 1),
        ((8, 8), (4, 4), nn.Conv2d, 3, 2),  # RepDistiller's
        ((14, 10), (7, 5), nn.Conv2d, 3, 2),
        ((9, 9), (3, 3), nn.Conv2d, 3, 3),
        ((56, 56), (14, 14), nn.Conv2d, 5, 4),
        ((4, 4), (8, 8), nn.ConvTranspose2d, 4, 2),  # RepDistiller's
        ((2, 3), (6, 9), nn.ConvTranspose2d, 5, 3),
        ((7, 7), (28, 28), nn.ConvTranspose2d, 8, 4),
    ],
)
def test_one_convolution_takes_a_small_whole_step(student, teacher, kind, kernel, stride):
    (layer,) = _layers(student, teacher)
    assert type(layer) is kind
    assert layer.kernel_size == (kernel, kernel)
    assert layer.stride == (stride, stride)
    assert layer(torch.randn(2, 3, *student)).shape == (2, 5, *teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "first"),
    [
        ((8, 8), (7, 7), "resize"),
        ((56, 56), (7, 7), "resize"),
        ((8, 8), (1, 1), "resize"),
        ((7, 7), (14, 13), "convolution"),
        ((1, 1), (8, 8), "convolution"),
        ((4, 8), (8, 4), "convolution"),
        ((6, 2), (3, 3), "resize"),
    ],
)
def test_other_steps_resize(student, teacher, first):
    layers = _layers(student, teacher)
    convolution = layers[1 if first == "resize" else 0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.kernel_size == (1, 1)
    features = torch.randn(2, 3, *student)
    there = features
    for layer in layers:
        there = layer(there)
    assert there.shape == (2, 5, *teacher)
    # the order is for speed only
    back = features
    for layer in reversed(layers):
        back = layer(back)
    torch.testing.assert_close(there, back)


def test_a_larger_map_is_averaged():
    resize, _ = _layers((4, 4), (3, 1))
    features = torch.arange(16.0).view(1, 1, 4, 4)
    # rows 0-1, 1-2 and 2-3, all columns: means of 0..7, 4..11, 8..15
    assert resize(features).flatten().tolist() == [3.5, 7.5, 11.5]


def test_a_smaller_map_is_interpolated():
    _, resize = _layers((1, 2), (1, 11))
    stretched = resize(torch.tensor([[[[0.0, 11.0]]]])).flatten()
    # places 0..10 of 11 lie at (i + 1/2) * 2/11 - 1/2 of the two, held at the ends
    expected = [min(max((i + 0.5) * 2 / 11 - 0.5, 0), 1) * 11 for i in range(11)]
    assert stretched.tolist() == pytest.approx(expected, abs=1e-5)


def test_batch_norm_and_relu_follow_where_wanted():
    regressor = Regressor(StageInfo(1, 3, (8, 8)), StageInfo(1, 5, (7, 7)), nonlinear=True)
    assert [type(layer) for layer in regressor][1:] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    out = regressor(torch.randn(4, 3, 8, 8))
    assert out.shape == (4, 5, 7, 7)
    assert (out >= 0).all()
