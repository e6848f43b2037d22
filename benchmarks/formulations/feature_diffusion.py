"""DiffKD as its authors compute it, written from its formulas: the denoising loop with a general scheduler."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from benchmarks.formulations.loss import NARROW, Loss

if TYPE_CHECKING:
    from torch import Tensor

_TIMES, _STEPS = 1000, 5


@cache
def _networks(channels: int, dtype: torch.dtype, device: torch.device) -> Any:
    """The layers of both: they are the same."""
    from kd_feature import FeatureDiffusion

    torch.manual_seed(0)
    return FeatureDiffusion(channels, channels, 3, _STEPS).to(device, dtype)


def _generator(maps: Tensor) -> torch.Generator:
    return torch.Generator(maps.device).manual_seed(0)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, device=like.device, generator=generator).to(like.dtype)


def diffkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Huang et al.: steps of DDIM in the form of the library diffusers, with its variance, which is 0 here."""
    net, generator = _networks(student.shape[1], student.dtype, student.device), _generator(student)
    betas = torch.linspace(1e-4, 0.02, _TIMES, device=student.device)
    kept = torch.cumprod(1 - betas, dim=0)
    image = net.project(student)
    part = net.part(image).softmax(dim=1)[:, 0].view(-1, 1, 1, 1)
    image = part * image + (1 - part) * _noise(image, generator)
    apart = _TIMES // (2 * _STEPS)
    for time in reversed(range(0, _STEPS * apart, apart)):
        times = torch.full((len(image),), time, device=image.device)
        output = net.predict(image + net.times(times)[:, :, None, None])
        of_time, before = kept[time], kept[time - apart] if time else kept.new_ones(())
        original = (image - (1 - of_time) ** 0.5 * output) / of_time**0.5
        variance = (1 - before) / (1 - of_time) * (1 - of_time / before)
        deviation = 0.0 * variance**0.5
        direction = (1 - before - deviation**2) ** 0.5 * output
        image = before**0.5 * original + direction
    refined = net.out(image)
    times = torch.randint(0, _TIMES, (len(teacher),), device=teacher.device, generator=generator)
    noise = _noise(teacher, generator)
    of_times = kept[times].view(-1, 1, 1, 1).to(teacher.dtype)
    noisy = of_times**0.5 * teacher + (1 - of_times) ** 0.5 * noise
    output = net.predict(noisy + net.times(times)[:, :, None, None])
    return F.mse_loss(refined, teacher) + F.mse_loss(output, noise)


def our_diffkd(student: Tensor, teacher: Tensor) -> Tensor:
    """kd's, with the same layers and the same noise."""
    net = _networks(student.shape[1], student.dtype, student.device)
    refined, target, noise = net(student, teacher, _generator(student))
    return F.mse_loss(refined, target) + noise  # type: ignore[no-any-return]


LOSSES = {"diffkd": Loss(f"{__name__}:our_diffkd", diffkd, {}, NARROW)}
"""With the diffusion model's passes, which take nearly all of the time."""
