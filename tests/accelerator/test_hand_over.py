"""Images travel as bytes, and are the same numbers on both sides."""

from __future__ import annotations

import pytest
import torch

from kdcore.data.normalise import Arrival, Normalise

pytestmark = pytest.mark.accelerator
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def images() -> torch.Tensor:
    """Every level in every channel, `[2, 3, 16, 16]`."""
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)


def test_bytes_are_normalised_on_the_device_to_the_bits_of_the_processor(device, images):
    there, here = (Arrival(one, Normalise(MEAN, STD))(images) for one in (device, "cpu"))
    assert there.device.type == device.type
    assert there.dtype == torch.float32
    assert torch.equal(there.cpu(), here)


def test_pinned_batches_arrive_whole_while_the_device_works(device, images):
    if device.type != "cuda":
        pytest.skip("only CUDA copies from pinned memory in the background")
    arrival, busy = Arrival(device, Normalise(MEAN, STD)), torch.randn(2048, 2048, device=device)
    wanted = arrival(images.roll(1, 0)).clone()
    for _ in range(20):
        busy = (busy @ busy).tanh()
        found = arrival(images.pin_memory())
        assert found.is_contiguous()
    torch.accelerator.synchronize()
    assert torch.equal(found, wanted)
