"""What a forward pass costs whatever the machine: multiply-adds, and the memory of what is alive at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Cost:
    """Of one forward pass without gradient.

    Attributes:
        macs: multiply-adds of convolutions, matrix products and attention, for the whole batch.
        activation_bytes: the most that all tensors but the weights and the images take at one moment; buffers inside of
            an operator are not in it.
    """

    macs: int
    activation_bytes: int


def cost(model: nn.Module, shape: tuple[int, int, int, int]) -> Cost | None:
    """Count on the meta device, without computing; None for a model that reads values of its images.

    torch's `FlopCounterMode` counts two floating-point operations for each multiply-add.
    """
    try:
        meta = copy.deepcopy(model).to("meta").eval()
        images = torch.empty(shape, device="meta")
        counter = FlopCounterMode(display=False)
        memory = _LiveTensors([*meta.parameters(), *meta.buffers(), images])
        with torch.no_grad(), counter, memory:
            meta(images)
    except Exception:  # other people's code fails in any way without values
        return None
    return Cost(counter.get_total_flops() // 2, memory.peak)


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Watches the storages that operators make, and how much of them is alive at most."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._given = {tensor.untyped_storage()._cdata for tensor in given}
        self._live: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self._live = {key: entry for key, entry in self._live.items() if not entry[0].expired()}
        for value in tree_leaves(output):
            if not isinstance(value, Tensor):
                continue
            storage = value.untyped_storage()
            if storage._cdata not in self._given and storage._cdata not in self._live:
                weak: Any = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._live[storage._cdata] = (weak, storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return output
