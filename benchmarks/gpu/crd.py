"""Both ways of CRD's loss at many sizes, and the constants of the cost model that fit them."""

from __future__ import annotations

import statistics
import time
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gpu.parts import Items, Turn

ROWS = (10_000, 50_000, 200_000, 1_281_167)
DIMS = (64, 128, 256)
BATCHES, CHOSEN = (64, 256), (1025, 4097, 16_385)
REPEATS = 7


class Time(NamedTuple):
    """Seconds of both ways for N rows of D numbers, B samples and C chosen rows; and the way that kd takes."""

    rows: int
    dim: int
    samples: int
    chosen: int
    all_rows: float
    chosen_rows: float
    takes_all: bool


def items(small: bool) -> Items:
    """One for each size of the memory."""
    sizes = [(60, 8)] if small else list(product(ROWS, DIMS))
    return {f"N = {rows:,}, D = {dim}": partial(_memory, rows, dim) for rows, dim in sizes}


def _memory(rows: int, dim: int, turn: Turn) -> list[Time]:
    """Both ways with each number of samples and of chosen rows."""
    import torch
    from kd_feature import crd_loss
    from torch.nn import functional as F

    from benchmarks.device import device

    draw = torch.Generator().manual_seed(0)
    place = device()
    memory = F.normalize(torch.randn(rows, dim, generator=draw), dim=1).to(place)
    shift = torch.zeros((), device=place)
    found = []
    for samples, each in [(3, 21), (4, 11)] if turn.small else product(BATCHES, CHOSEN):
        embedding = F.normalize(torch.randn(samples, dim, generator=draw), dim=1).to(place)
        chosen = torch.randint(rows, (samples, each), generator=draw).to(place)
        all_rows, chosen_rows = (
            _seconds(partial(way, embedding, memory, chosen, shift))
            for way in (crd_loss._by_product, crd_loss._by_rows)
        )
        takes_all = crd_loss._score_all(embedding, memory, chosen)
        found.append(Time(rows, dim, samples, each, all_rows, chosen_rows, takes_all))
    return found


def _seconds(way: Any) -> float:
    from benchmarks.device import synchronize

    times = []
    for _ in range(REPEATS + 1):
        synchronize()
        began = time.perf_counter()
        way()
        synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def fitted(times: Sequence[Time]) -> dict[str, float]:
    """The constants of `kd_feature.crd_loss.Costs` in ns, none below 0, and `start`, the ns before the first number.

    The relative errors are made small: the constants choose between ways, whatever they take.
    """
    import numpy as np

    whole = [
        [
            one.rows * one.dim,
            one.rows * one.samples,
            one.rows * one.samples * one.dim,
            one.samples * one.chosen,
            1,
        ]
        for one in times
    ]
    part = [[one.samples * one.chosen, one.samples * one.chosen * one.dim, 1] for one in times]
    found: dict[str, float] = {}
    for names, table, seconds in (
        (("row", "score", "term", "pick", "start"), whole, [one.all_rows for one in times]),
        (("chosen", "fetch", "start of chosen"), part, [one.chosen_rows for one in times]),
    ):
        wanted = 1e9 * np.array(seconds)
        found |= dict(zip(names, _not_negative(np.array(table) / wanted[:, None]), strict=True))
    return found


def _not_negative(table: Any) -> list[float]:
    """The x >= 0 for which `table @ x` is close to 1: the most negative one is left out until none is."""
    import numpy as np

    places = list(range(table.shape[1]))
    # columns of a like size, as their numbers differ by many powers of ten
    scale = np.abs(table).max(axis=0)
    while places:
        solved = np.linalg.lstsq(table[:, places] / scale[places], np.ones(len(table)), rcond=None)[0]
        if solved.min() >= 0:
            break
        places.pop(int(solved.argmin()))
    found = [0.0] * table.shape[1]
    for place, value in zip(places, solved if places else [], strict=True):
        found[place] = float(value / scale[place])
    return found


def choose(costs: dict[str, float], one: Time) -> bool:
    """Whether these constants take all rows; the same formula as `kd_feature.crd_loss._score_all`."""
    per_row = costs["row"] * one.dim + one.samples * (costs["score"] + costs["term"] * one.dim)
    each = costs["chosen"] + costs["fetch"] * one.dim - costs["pick"]
    return one.rows * per_row <= one.samples * one.chosen * each


def slower(one: Time, takes_all: bool) -> float:
    """How many times longer the way that is taken lasts than the other; below 1 if it is the faster one."""
    return one.all_rows / one.chosen_rows if takes_all else one.chosen_rows / one.all_rows
