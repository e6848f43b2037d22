"""From grey levels to what a model takes, a whole batch at once and on the device that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Normalise:
    """uint8 `[..., C, H, W]` -> float32 (x / 255 - mean) / std, on the images' device.

    The same operations in the same order as torchvision's ToTensor and Normalize: the same numbers to the bit.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = (torch.tensor(list(values)).view(-1, 1, 1) for values in (mean, std))
        self._numbers = {torch.device("cpu"): (torch.tensor(255.0), self._mean, self._std)}

    def __call__(self, images: Tensor) -> Tensor:
        """The normalised images; what is not uint8 is normalised already."""
        if images.dtype != torch.uint8:
            return images
        # a tensor as the divisor: by a plain number CUDA would multiply with its rounded inverse
        levels, mean, std = self._on(images.device)
        return images.to(torch.float32).div_(levels).sub_(mean).div_(std)

    def __getstate__(self) -> dict[str, Any]:
        # a loader process works on the CPU, and would wake the GPU for the others
        cpu = torch.device("cpu")
        return {**self.__dict__, "_numbers": {cpu: self._numbers[cpu]}}

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        if device not in self._numbers:
            levels, mean, std = (number.to(device) for number in self._numbers[torch.device("cpu")])
            self._numbers[device] = (levels, mean, std)
        return self._numbers[device]


class Arrival:
    """Takes a batch from its loader to the device: in bytes where it can, which are a quarter of the floats.

    Args:
        device: where the images are wanted; from a pinned batch the copy does not wait.
        normalise: what is still to be done with uint8 images.
    """

    def __init__(self, device: torch.device | str, normalise: Normalise) -> None:
        device = torch.device(device)
        # the meta device is for checks, which read no images
        self.device = torch.device("cpu") if device.type == "meta" else device
        self._normalise = normalise

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised float32 images on the device."""
        return self._normalise(images.to(self.device, non_blocking=True))
