"""Time and memory of a new process up to its first batch, by the number of samples.

The samples are made when they are read: only their order has a cost that can grow with their number. "All numbers
sorted" is kd's order of earlier versions: a random number for each sample, and the whole epoch sorted by them.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.memory import peak
from benchmarks.rounds import Case, Step

if TYPE_CHECKING:
    from benchmarks.groups import Cases

NAMES = ("kd", "all numbers sorted")
SIZES = {"10^6": 10**6, "10^8": 10**8, "10^9": 10**9}
LARGEST_SORTED = 10**8
BATCH = 256


def cases() -> Cases:
    """Seconds and memory for each size."""
    return {
        f"{size} samples, {unit}": partial(first_batch, size, unit) for size in SIZES for unit in ("s", "MiB")
    }


def first_batch(size: str, unit: str) -> Case:
    """Each round starts a process for every contender."""
    names = [name for name in NAMES if name == "kd" or SIZES[size] <= LARGEST_SORTED]
    steps: dict[str, Step] = {name: partial(_measure, name, size, unit) for name in names}
    notes = {"all numbers sorted": "not run: the numbers and their order take 16 GB"}
    return Case(f"first batch of {size} samples, {unit}", "kd", steps, unit=unit, notes=notes)


def _measure(contender: str, size: str, unit: str) -> float:
    command = [sys.executable, "-m", "benchmarks.order", contender, size, unit]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])  # noqa: S603


class Synthetic:
    """A data set of any length: each image has one colour, which is its number."""

    fixed = True

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        colour = (index & 255, index >> 8 & 255, index >> 16 & 255)
        return Image.new("RGB", (32, 32), colour), index % 10


def _first_batch(contender: str, samples: int, unit: str) -> float:
    import time

    from kdcore.data import sampler, train
    from kdcore.data.inputs import InputConfig
    from kdcore.data.keyed_randomness import ORDER
    from kdcore.data.registered import WrappedSource
    from kdcore.spec.models import DataSpec

    if contender != "kd":
        sampler.epoch_order = lambda seed, epoch, size: _sorted(size, ORDER, seed, epoch)
    source = WrappedSource(Synthetic(samples), "synthetic", 10)
    data = DataSpec(image_size=32, workers=0, in_memory=False)
    taken = InputConfig((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    start = time.perf_counter()
    built = train.build_train_data(source, data, taken, batch_size=BATCH, seed=0, num_classes=10)
    next(built.epoch(0))
    return time.perf_counter() - start if unit == "s" else peak()


def _sorted(size: int, *keys: int) -> Any:
    import numpy as np

    from kdcore.data.keyed_randomness import keyed_numbers

    return np.argsort(keyed_numbers(size, *keys), kind="stable")


if __name__ == "__main__":
    print(_first_batch(sys.argv[1], SIZES[sys.argv[2]], sys.argv[3]))
