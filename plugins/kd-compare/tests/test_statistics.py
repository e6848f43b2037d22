from __future__ import annotations

import math

import pytest
from kd_compare.statistics import deviation, mean, paired_gain, t_quantile

# printed tables of Student's t, two-sided 95 % and 99 %
TABLE = {
    1: (12.7062, 63.6567),
    2: (4.3027, 9.9248),
    3: (3.1824, 5.8409),
    4: (2.7764, 4.6041),
    5: (2.5706, 4.0321),
}
TABLE |= {9: (2.2622, 3.2498), 10: (2.2281, 3.1693), 30: (2.0423, 2.7500), 120: (1.9799, 2.6174)}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_printed_tables(freedom: int):
    assert t_quantile(0.975, freedom) == pytest.approx(TABLE[freedom][0], abs=1e-4)
    assert t_quantile(0.995, freedom) == pytest.approx(TABLE[freedom][1], abs=1e-4)


def test_one_degree_of_freedom_is_cauchy():
    assert t_quantile(0.9, 1) == pytest.approx(math.tan(math.pi * 0.4))


def test_deviation_divides_by_one_less():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert deviation([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(7))
    assert deviation([1.0]) is None
    assert mean([]) is None
    assert deviation([]) is None


def test_the_gain_is_paired_by_seed():
    # differences 1, 2, 3: mean 2, deviation 1, half width 4.3027 / sqrt(3)
    gain = paired_gain({0: 71.0, 1: 52.0, 2: 93.0, 7: 0.0}, {2: 90.0, 0: 70.0, 1: 50.0, 8: 1.0})
    assert gain is not None
    assert (gain.mean, gain.pairs) == (2.0, 3)
    assert gain.half == pytest.approx(4.30265 / math.sqrt(3), abs=1e-5)
    assert gain.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-5)
    assert not gain.clear


def test_a_gain_whose_interval_leaves_out_zero_is_clear():
    worse = paired_gain({0: 1.0, 1: 1.1, 2: 1.2}, {0: 5.0, 1: 5.2, 2: 5.4})
    assert worse is not None
    assert worse.clear
    assert worse.mean < 0


def test_one_seed_has_no_interval():
    gain = paired_gain({0: 2.0}, {0: 1.0})
    assert gain is not None
    assert (gain.mean, gain.low, gain.high, gain.half, gain.clear) == (1.0, None, None, None, False)
    assert paired_gain({0: 2.0}, {1: 1.0}) is None
