"""How fast models are on this machine: medians with quartiles, all models in turn so that they meet the same load."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from kdcore.inspect import autocast, cost

if TYPE_CHECKING:
    from collections.abc import Sequence

_WARM_UP: Final = 0.2  # seconds for each model and batch size, two passes at least
_SECONDS: Final = 1.5  # for measuring each model and batch size
_FEWEST, _MOST = 5, 50  # passes


@dataclass(frozen=True)
class Speed:
    """One model at one batch size.

    Attributes:
        batch_size: images of one pass.
        milliseconds: the median of a pass.
        quartiles: the first and the third.
        milliseconds_per_image: the median, by the batch size.
        images_per_second: from the same median.
        memory_bytes: without weights and images: on a GPU the measured peak, otherwise the peak of all tensors
            that exist at the same time; None: not known.
        passes: how many were timed.
    """

    batch_size: int
    milliseconds: float
    quartiles: tuple[float, float]
    milliseconds_per_image: float
    images_per_second: float
    memory_bytes: int | None
    passes: int


@dataclass(frozen=True)
class Racer:
    """A model to time, on its device, and the shape `[C, H, W]` of one image."""

    model: nn.Module
    shape: tuple[int, int, int]


@torch.inference_mode()
def measure(
    racers: Sequence[Racer],
    batch_size: int,
    device: torch.device,
    *,
    precision: str = "fp32",
    channels_last: bool = False,
) -> list[Speed]:
    """Time each model on noise; the passes of the models take turns.

    Raises:
        torch.OutOfMemoryError: the device's memory is too small.
    """
    order = torch.channels_last if channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(0)
    batches = [
        torch.randn(batch_size, *racer.shape, generator=generator).to(device, memory_format=order)
        for racer in racers
    ]
    seconds: list[list[float]] = [[] for _ in racers]
    with autocast(device, precision):
        memory = [_memory(racer, images, device) for racer, images in zip(racers, batches, strict=True)]
        for racer, images in zip(racers, batches, strict=True):
            end = time.perf_counter() + _WARM_UP
            _pass(racer.model, images, device)
            while _pass(racer.model, images, device) and time.perf_counter() < end:
                pass
        while not all(_enough(times) for times in seconds):
            for racer, images, times in zip(racers, batches, seconds, strict=True):
                if not _enough(times):
                    times.append(_pass(racer.model, images, device))
    return [_speed(batch_size, times, used) for times, used in zip(seconds, memory, strict=True)]


def machine(device: torch.device) -> str:
    """What a measurement was made on: the device's name and, of a CPU, the threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = about.read_text("utf-8", "replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def _pass(model: nn.Module, images: torch.Tensor, device: torch.device) -> float:
    """Seconds of one pass."""
    _wait(device)
    start = time.perf_counter()
    model(images)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _enough(times: list[float]) -> bool:
    return len(times) >= _MOST or (len(times) >= _FEWEST and sum(times) >= _SECONDS)


def _memory(racer: Racer, images: torch.Tensor, device: torch.device) -> int | None:
    if device.type != "cuda":
        found = cost(racer.model, (images.shape[0], *racer.shape))
        return None if found is None else found.activation_bytes
    _pass(racer.model, images, device)  # workspaces that are kept are made before
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    _pass(racer.model, images, device)
    return torch.cuda.max_memory_allocated(device) - before


def _speed(batch_size: int, seconds: list[float], memory: int | None) -> Speed:
    middle = median(seconds)
    first, _, third = quantiles(seconds, n=4, method="inclusive")
    return Speed(
        batch_size,
        1000 * middle,
        (1000 * first, 1000 * third),
        1000 * middle / batch_size,
        batch_size / middle,
        memory,
        len(seconds),
    )
