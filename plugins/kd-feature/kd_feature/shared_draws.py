"""Random numbers that every process of a run draws alike, and that a resumed run continues."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from kdcore import Setup


class SharedDraws(nn.Module):
    """A source of generators, one for each call: a function of the seed and of the number of calls.

    torch's global generator has another seed on every process, so a loss over the whole batch must not use it. The
    number of calls is part of the state.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        device = setup.generator.device
        self.seed = int(torch.randint(2**62, (), generator=setup.generator, device=device))
        self.draws = 0

    def next(self, device: torch.device | str = "cpu") -> torch.Generator:
        """A generator on this device for this call; on the CPU for the meta device, which has none."""
        digest = blake2b(f"{self.seed} {self.draws}".encode(), digest_size=8).digest()
        self.draws += 1
        found = torch.Generator("cpu" if torch.device(device).type == "meta" else device)
        return found.manual_seed(int.from_bytes(digest) >> 1)

    def get_extra_state(self) -> Tensor:
        """The number of calls."""
        return torch.tensor(self.draws)

    def set_extra_state(self, state: object) -> None:
        """Continue after this number of calls."""
        self.draws = int(cast("Tensor", state))
