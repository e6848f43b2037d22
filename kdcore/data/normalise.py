"""From grey levels to a model's input, for a whole batch at once and on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Normalise:
    """uint8 `[..., C, H, W]` -> float32 (x / 255 - mean) / std, on the images' device.

    The operations and their order are those of torchvision's ToTensor and Normalize: the results are bit-equal.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = (torch.tensor(list(values)).view(-1, 1, 1) for values in (mean, std))
        self._numbers = {torch.device("cpu"): (torch.tensor(255.0), self._mean, self._std)}

    def __call__(self, images: Tensor) -> Tensor:
        """The normalised images; images that are not uint8 are already normalised."""
        if images.dtype != torch.uint8:
            return images
        # the divisor is a tensor: for a plain number, CUDA would multiply with its rounded inverse
        levels, mean, std = self._on(images.device)
        return images.to(torch.float32).div_(levels).sub_(mean).div_(std)

    def __getstate__(self) -> dict[str, Any]:
        # a loader process works on the CPU and must not initialise the GPU
        cpu = torch.device("cpu")
        return {**self.__dict__, "_numbers": {cpu: self._numbers[cpu]}}

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        if device not in self._numbers:
            levels, mean, std = (number.to(device) for number in self._numbers[torch.device("cpu")])
            self._numbers[device] = (levels, mean, std)
        return self._numbers[device]


class Arrival:
    """Moves a batch from its loader to the device: as bytes if possible, a quarter of the size of floats.

    Args:
        device: the device of the images; the copy of a pinned batch is asynchronous.
        normalise: the normalisation of uint8 images.
    """

    def __init__(self, device: torch.device | str, normalise: Normalise) -> None:
        device = torch.device(device)
        # the meta device is for checks, which read no images
        self.device = torch.device("cpu") if device.type == "meta" else device
        self._normalise = normalise

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised float32 images on the device."""
        return self._normalise(images.to(self.device, non_blocking=True))
