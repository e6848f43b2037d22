from __future__ import annotations

import math

import pytest
from kd_compare.statistics import deviation, interval_text, mean, paired_gain, paired_gains, t_quantile

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
    assert (gain.corrected_low, gain.corrected_high, gain.corrected_half) == (None, None, None)
    assert paired_gain({0: 2.0}, {1: 1.0}) is None


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 30])
@pytest.mark.parametrize("methods", [1, 2, 13, 76])
def test_corrected_quantiles_are_those_of_scipy(freedom: int, methods: int):
    stats = pytest.importorskip("scipy.stats")
    probability = 1 - 0.05 / (2 * methods)
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-7)


def test_the_corrected_interval_holds_for_all_methods_together():
    # differences 1, 2, 3: mean 2, deviation 1. With 2 degrees of freedom t of p is (2p - 1) / sqrt(2 p (1 - p)), so at
    # 1 - 0.05 / 5 two-sided, p = 0.995, it is 0.99 / sqrt(0.00995) = 9.92484
    base = {0: 50.0, 1: 60.0, 2: 70.0}
    scores = {f"m{number}": {0: 51.0, 1: 62.0, 2: 73.0} for number in range(5)}
    gains = paired_gains({**scores, "other seeds": {8: 1.0}}, base)
    assert list(gains) == list(scores)  # the one without a common seed is not compared, and does not count
    gain = gains["m0"]
    assert gain.half == pytest.approx(4.30265 / math.sqrt(3), abs=1e-5)
    assert gain.corrected_half == pytest.approx(0.99 / math.sqrt(0.00995) / math.sqrt(3), rel=1e-9)
    assert (gain.corrected_low, gain.corrected_high) == (
        pytest.approx(2 - gain.corrected_half),
        pytest.approx(2 + gain.corrected_half),
    )


def test_one_method_alone_needs_no_correction():
    gain = paired_gains({"kd": {0: 51.0, 1: 63.0}}, {0: 50.0, 1: 60.0})["kd"]
    assert (gain.corrected_low, gain.corrected_high) == (gain.low, gain.high)
    assert "corrected" not in interval_text(1)
    assert interval_text(3).endswith("Student's t, corrected for 3 methods (Bonferroni)")


def test_what_is_clear_alone_need_not_be_clear_among_many():
    # differences 3, 4, 5: 4 - 4.30265 / sqrt(3) = 1.52; with ten methods t is 14.089 and 4 - 8.13 < 0
    scores, base = {0: 53.0, 1: 64.0, 2: 75.0}, {0: 50.0, 1: 60.0, 2: 70.0}
    alone, among = paired_gain(scores, base), paired_gain(scores, base, 10)
    assert alone is not None
    assert among is not None
    assert (alone.clear, among.clear) == (True, False)
    assert (among.low, among.high) == (alone.low, alone.high)
    assert among.corrected_half == pytest.approx(14.0890 / math.sqrt(3), abs=1e-3)
