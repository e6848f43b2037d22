"""A small diffusion model of the teacher's features that removes the noise of the student's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TIMES = 1000  # steps of the noise
_ROWS = 1280  # of the embedding of times in the authors' code
_BETAS = (1e-4, 0.02)  # the first and the last variance, with equal distances between them


class FeatureDiffusion(nn.Module):
    """From the student's map to the teacher's, or its latent: projected, mixed with noise by a learnt part, denoised.

    Args:
        student_channels: C of the student's map.
        teacher_channels: C of the teacher's map, or of its latent.
        kernel_size: 3 for maps; 1 for logits as maps of 1x1.
        steps: steps of the denoising: the second half of twice as many.

    Raises:
        ValueError: the kernel is not 1 or 3.
    """

    kept: Tensor

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        kernel_size: int,
        steps: int = 5,
    ) -> None:
        super().__init__()
        if kernel_size not in (1, 3):
            raise ValueError(f"kernel_size is {kernel_size}; it must be 1 or 3")
        width = teacher_channels
        self.project = nn.Conv2d(student_channels, width, 1)
        self.times = nn.Embedding(_ROWS, width)
        self.predict = _noise_model(width, kernel_size)
        self.part = nn.Sequential(_part_features(width, kernel_size), nn.Flatten(1), nn.Linear(width, 2))
        self.out = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))
        kept = torch.cumprod(1 - torch.linspace(*_BETAS, _TIMES), dim=0)
        self.register_buffer("kept", kept, persistent=False)
        self.schedule = _schedule(steps)

    def forward(
        self, student: Tensor, teacher: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both maps `[B, C, H, W]` on one grid -> the student's refined map, the teacher's detached, the noise loss.

        The noise comes from the generator; None: torch's global one.
        """
        target = teacher.detach()
        return self.refine(student, generator), target, self.noise_loss(target, generator)

    def refine(self, student: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`[B, C, H, W]` of the student -> the same without noise, with the teacher's channels."""
        x = self.project(student)
        part = self.part(x).softmax(dim=1)[:, 0].view(-1, 1, 1, 1)
        x = part * x + (1 - part) * _noise_like(x, generator)
        for time, before in self.schedule:
            noise = self.noise_of(x, torch.full((len(x),), time, device=x.device))
            kept = self.kept[time]
            clean = (x - (1 - kept).sqrt() * noise) / kept.sqrt()
            previous = self.kept[before] if before >= 0 else torch.ones_like(kept)
            x = previous.sqrt() * clean + (1 - previous).sqrt() * noise
        refined: Tensor = self.out(x)
        return refined

    def noise_of(self, x: Tensor, times: Tensor) -> Tensor:
        """The noise that is predicted in `[B, C, H, W]` at times `[B]` from 0 to 999."""
        predicted: Tensor = self.predict(x + self.times(times)[:, :, None, None])
        return predicted

    def noise_loss(self, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The mean squared error of the predicted noise, at one time per sample, by chance."""
        times = torch.randint(0, _TIMES, (len(target),), device=target.device, generator=generator)
        noise = _noise_like(target, generator)
        kept = self.kept[times].view(-1, 1, 1, 1).to(target.dtype)
        noisy = kept.sqrt() * target + (1 - kept).sqrt() * noise
        return _mse(self.noise_of(noisy, times), noise)


class Autoencoder(nn.Module):
    """The teacher's map to a latent with other channels, and back."""

    def __init__(self, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, latent_channels, 1), nn.BatchNorm2d(latent_channels))
        self.decoder = nn.Conv2d(latent_channels, channels, 1)

    def forward(self, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, H, W]` -> its latent, and the mean squared error of what is made of it again."""
        latent: Tensor = self.encoder(teacher)
        return latent, _mse(self.decoder(latent), teacher)


class _Residual(nn.Module):
    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        middle = max(channels // reduction, 1)
        self.block = nn.Sequential(
            *_unit(channels, middle, 1),
            nn.ReLU(),
            *_unit(middle, middle, 3),
            nn.ReLU(),
            *_unit(middle, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.block(x)
        return added


def _unit(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs)


def _noise_model(width: int, kernel_size: int) -> nn.Sequential:
    if kernel_size == 3:
        return nn.Sequential(_Residual(width, 4), _Residual(width, 4), *_unit(width, width, 1))
    inner = (*_unit(width, 4 * width, 1), nn.ReLU())
    again = (*_unit(4 * width, width, 1), *_unit(width, 4 * width, 1), nn.ReLU())
    return nn.Sequential(*inner, *again, nn.Conv2d(4 * width, width, 1))


def _part_features(width: int, kernel_size: int) -> nn.Sequential:
    if kernel_size == 3:
        return nn.Sequential(_Residual(width, 8), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*_unit(width, 2 * width, 1), nn.ReLU(), *_unit(2 * width, width, 1))


def _schedule(steps: int) -> tuple[tuple[int, int], ...]:
    """Times from high to low, each with the one before it in the noise, which is below 0 at the end."""
    distance = _TIMES // (2 * steps)
    times = [distance * step for step in range(steps)]
    return tuple((time, time - distance) for time in reversed(times))


def _noise_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    # drawn in one type, so that a seed gives the same noise in every precision
    return torch.randn(x.shape, device=x.device, dtype=torch.float32, generator=generator).to(x.dtype)


def _mse(ours: Tensor, theirs: Tensor) -> Tensor:
    dtype = torch.promote_types(ours.dtype, torch.float32)
    return F.mse_loss(ours.to(dtype), theirs.to(dtype))
