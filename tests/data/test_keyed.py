from __future__ import annotations

import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.keyed_randomness import kept_generators, keyed_numbers, mix64, seed_sample

NUMBERS = st.integers(0, 2**63)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_splitmix64_reference():
    # first outputs of splitmix64 with state 0, as published with the reference code
    assert mix64(0) == 0xE220A8397B1DCDAF
    assert mix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_last_key_never_collides(seed, epoch, one, other):
    assert (mix64(seed, epoch, one) == mix64(seed, epoch, other)) == (one == other)
    assert 0 <= mix64(seed, epoch, one) < 2**64


def test_neighbours_do_not_collide():
    keys = {
        mix64(seed, epoch, index, view)
        for seed in range(4)
        for epoch in range(20)
        for index in range(200)
        for view in range(3)
    }
    assert len(keys) == 4 * 20 * 200 * 3
    assert mix64(1, 2) != mix64(2, 1)
    assert mix64(1) != mix64(1, 0)


def test_numbers_are_frozen():
    # a change here changes everybody's order of samples
    assert keyed_numbers(2, 0, 0, 0).tolist() == [15574278746050927785, 17747026819023701187]


def test_each_generator_is_a_function_of_the_keys():
    def after(*keys: int) -> tuple[float, ...]:
        seed_sample(*keys)
        return draws()

    with kept_generators():
        first = after(0, 1, 2, 0)
        others = [after(*keys) for keys in ((1, 1, 2, 0), (0, 2, 2, 0), (0, 1, 3, 0), (0, 1, 2, 1))]
        assert after(0, 1, 2, 0) == first
    for other in others:
        assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))


def test_generators_are_kept_even_when_something_fails():
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(5)
    expected = draws()
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(5)
    try:
        with kept_generators():
            seed_sample(1)
            draws()
            raise KeyError
    except KeyError:
        pass
    assert draws() == expected


def test_accelerators_are_not_touched(monkeypatch):
    def touched(*_):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
    monkeypatch.setattr(torch.cuda, "manual_seed", touched)
    with kept_generators():
        seed_sample(1, 2)
