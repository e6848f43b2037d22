"""Statistics of a teacher's features over the training set, and the standardisations that are made from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kdcore.ops import at_least_float32, full_precision, widest_float


def phi_s_scale(features: Tensor) -> Tensor:
    """The factor that makes the mean variance of the channels 1: sqrt(C / sum of the variances), a scalar.

    Features are `[M, C]`; the variances are unbiased. The result is float32 at least.

    Source: Ranzinger et al., "PHI-S: Distribution Balancing for Label-Free Multi-Teacher Distillation", 2024, eq. 13.

    Raises:
        ValueError: the features are not `[M, C]` with two samples or more.
    """
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(f"features has shape {list(features.shape)}; it must be [M, C] with M >= 2")
    total = at_least_float32(features).var(dim=0).sum()
    return (features.shape[1] / total).sqrt()


class Moments:
    """Count, mean and covariance of vectors that come in parts, in float64 if the device has it.

    Args:
        dim: C.
        device: where the vectors are.
    """

    def __init__(self, dim: int, device: torch.device) -> None:
        dtype = widest_float(device)
        self.count = 0
        self.mean = torch.zeros(dim, dtype=dtype, device=device)
        self.products = torch.zeros(dim, dim, dtype=dtype, device=device)

    def add(self, vectors: Tensor) -> None:
        """Add vectors `[..., C]`."""
        part = vectors.detach().flatten(0, -2).to(self.mean.dtype)
        count = self.count + len(part)
        mean = part.mean(dim=0)
        centred, shift = part - mean, mean - self.mean
        self.products += centred.T @ centred
        # what the parts' means differ by (Chan et al.), without a difference of large sums
        self.products += torch.outer(shift, shift) * (self.count * len(part) / count)
        self.mean += shift * (len(part) / count)
        self.count = count

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance `[C, C]`."""
        return self.products / max(self.count - 1, 1)


class Standardise(nn.Module):
    """Features minus their mean, divided by their deviation, channel by channel, with fixed statistics.

    Attributes:
        mean: `[C]`, a buffer; 0 until `fit`.
        scale: `[C]`, a buffer; 1 until `fit`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    @torch.no_grad()
    def fit(self, moments: Moments) -> None:
        """Take these statistics. A constant channel becomes 0."""
        variance = moments.covariance.diagonal()
        self.mean.copy_(moments.mean)
        self.scale.copy_(torch.where(variance > 0, variance.clamp(min=1e-12).rsqrt(), 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """`[..., C]` to `[..., C]`."""
        return (at_least_float32(features) - self.mean) * self.scale


class PhiS(nn.Module):
    """PHI-S: rotate features so that all channels have one variance, and scale it to 1, with fixed statistics.

    y = (x - mean) W^T, with W = scale * H U^T: U are the eigenvectors of the covariance, and H is a normalised Hadamard
    matrix, which mixes all directions equally.

    Args:
        dim: C: one that a Hadamard matrix is known for, here 1, 2 and most multiples of 4.

    Attributes:
        mean: `[C]`, a buffer; 0 until `fit`.
        matrix: W `[C, C]`, a buffer; the unit matrix until `fit`.

    Source: Ranzinger et al., "PHI-S: Distribution Balancing for Label-Free Multi-Teacher Distillation", 2024.

    Raises:
        ValueError: there is no Hadamard matrix of this size.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        _factors(dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))

    @torch.no_grad()
    def fit(self, moments: Moments) -> None:
        """Take these statistics."""
        covariance = moments.covariance
        _, vectors = torch.linalg.eigh(covariance)
        rotation = hadamard(len(covariance)).to(covariance) @ vectors.T
        scale = (len(covariance) / covariance.diagonal().sum().clamp(min=1e-12)).sqrt()
        self.mean.copy_(moments.mean)
        self.matrix.copy_(scale * rotation)

    def forward(self, features: Tensor) -> Tensor:
        """`[..., C]` to `[..., C]`."""
        with full_precision(features.device):
            return (at_least_float32(features) - self.mean) @ self.matrix.T


def hadamard(size: int) -> Tensor:
    """A Hadamard matrix divided by the root of its size: orthogonal, all elements of one absolute value, in float64.

    By Sylvester's construction from a matrix of Paley's, both of his constructions over prime fields.

    Raises:
        ValueError: these constructions have no matrix of this size.
    """
    doublings, prime, twice = _factors(size)
    matrix = torch.ones(1, 1, dtype=torch.float64, device="cpu") if prime == 0 else _paley(prime, twice)
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu")
    for _ in range(doublings):
        matrix = torch.kron(pair, matrix)
    return matrix / math.sqrt(size)


def _factors(size: int) -> tuple[int, int, bool]:
    """The doublings, the prime q of Paley's matrix (0: none), and whether it is of size 2 (q + 1) instead of q + 1."""
    rest, doublings = size, 0
    while rest >= 1:
        if rest == 1:
            return doublings, 0, False
        if _is_prime(rest - 1) and (rest - 1) % 4 == 3:
            return doublings, rest - 1, False
        if rest % 2 == 0 and _is_prime(rest // 2 - 1) and (rest // 2 - 1) % 4 == 1:
            return doublings, rest // 2 - 1, True
        if rest % 2:
            break
        rest, doublings = rest // 2, doublings + 1
    raise ValueError(f"PHI-S needs a Hadamard matrix of size {size}, and none is known here")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _paley(prime: int, twice: bool) -> Tensor:
    squares = {value * value % prime for value in range(1, prime)}
    signs = [0.0] + [1.0 if value in squares else -1.0 for value in range(1, prime)]
    table = torch.tensor(
        [[signs[(row - column) % prime] for column in range(prime)] for row in range(prime)],
        dtype=torch.float64,
        device="cpu",
    )
    core = torch.zeros(prime + 1, prime + 1, dtype=torch.float64, device="cpu")
    core[0, 1:] = 1
    core[1:, 1:] = table
    unit = torch.eye(prime + 1, dtype=torch.float64, device="cpu")
    if not twice:  # q = 3 mod 4: the core is skew
        core[1:, 0] = -1
        return core + unit
    core[1:, 0] = 1  # q = 1 mod 4: the core is symmetric
    plus = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu")
    minus = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64, device="cpu")
    return torch.kron(core, plus) + torch.kron(unit, minus)
