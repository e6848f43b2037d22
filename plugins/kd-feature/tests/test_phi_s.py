from __future__ import annotations

import pytest
import torch
from kd_feature import PhiS, phi_s_scale
from kd_feature.phi_s import Moments, Standardise, hadamard


def test_the_scale_is_one_over_the_root_of_the_mean_variance(draw):
    features = draw(9, 5) * torch.tensor([1.0, 2.0, 0.1, 4.0, 3.0])
    total = 0.0
    for column in features.T.tolist():
        mean = sum(column) / len(column)
        total += sum((x - mean) ** 2 for x in column) / (len(column) - 1)
    assert phi_s_scale(features).item() == pytest.approx((5 / total) ** 0.5, rel=1e-12)
    # variances 2 and 8
    assert phi_s_scale(torch.tensor([[0.0, 0.0], [2.0, 4.0]])).item() == pytest.approx(0.2**0.5)
    with pytest.raises(ValueError, match="M >= 2"):
        phi_s_scale(draw(1, 3))


KNOWN = (1, 2, 4, 8, 12, 20, 24, 28, 36, 44, 192, 384, 768)


@pytest.mark.parametrize("size", KNOWN)
def test_hadamard_matrices_mix_all_channels_equally(size):
    matrix = hadamard(size)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))
    torch.testing.assert_close(matrix.abs(), torch.full_like(matrix, size**-0.5))


@pytest.mark.parametrize("size", [1024, 1152, 1280, 1408, 1536, 1664, 2048])
def test_the_widths_of_foundation_models_have_one(size):
    PhiS(size)


@pytest.mark.parametrize("size", [3, 6, 10, 50, 52, 92])
def test_sizes_without_one_are_refused(size):
    with pytest.raises(ValueError, match=f"size {size}"):
        PhiS(size)


def test_every_channel_has_variance_1_exactly(draw):
    mixing = torch.diag(torch.logspace(-2, 2, 12, dtype=torch.float64)) @ draw(12, 12, seed=1)
    features = draw(500, 12) @ mixing + 1000
    moments = Moments(12, features.device)
    for part in features.split(77):
        moments.add(part)
    torch.testing.assert_close(moments.covariance, torch.cov(features.T), rtol=1e-9, atol=1e-6)
    standard = PhiS(12).double()
    standard.fit(moments)
    found = standard(features)
    torch.testing.assert_close(found.var(dim=0), torch.ones(12).double(), rtol=1e-7, atol=0)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(12).double(), rtol=0, atol=1e-7)
    # a rotation times one scale: W W^T is the scale squared
    square = standard.matrix @ standard.matrix.T
    scale = phi_s_scale(features).square() * torch.eye(12).double()
    torch.testing.assert_close(square, scale, rtol=1e-9, atol=1e-12)


def test_channel_by_channel(draw):
    features = draw(50, 2, 3) * torch.tensor([1.0, 5.0, 0.0]) + 2
    moments = Moments(3, features.device)
    moments.add(features)
    standard = Standardise(3).double()
    standard.fit(moments)
    found = standard(features).flatten(0, 1)
    torch.testing.assert_close(found.var(dim=0), torch.tensor([1.0, 1.0, 0.0]).double())
    assert set(standard.state_dict()) == {"mean", "scale"}
