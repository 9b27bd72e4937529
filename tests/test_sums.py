"""Partial sums of a row of gaps, alone."""

import numpy as np
import pytest

from radsens.gaps import sums


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 5, 64, 509, 1030])
def test_sums_of_a_row_however_short_are_those_of_its_gaps_and_of_plain_python(size, kind):
    """Gaps near 1 about 0.5, in float64 whatever their own precision: a sum of n numbers loses n roundings at most."""
    gap = (1 + 1e-3 * np.random.default_rng(size).standard_normal(size)).astype(kind)
    found = []
    for accumulate in (sums.accumulate, sums.accumulate.py_func):
        lanes, extremes = np.zeros((2, sums.LANES)), np.zeros((2, sums.LANES), kind)
        extremes[0], extremes[1] = np.inf, -np.inf
        accumulate(*lanes, *extremes, gap, 0.5)
        found.append((lanes, extremes))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    (total, square), (low, high) = found[0]
    t = gap.astype(float) - 0.5
    rounding = size * np.finfo(float).epsneg * np.array([np.abs(t).sum(), (t * t).sum()])
    assert (np.abs([total.sum() - t.sum(), square.sum() - (t * t).sum()]) <= rounding).all()
    assert (low.min(), high.max()) == (min(gap, default=np.inf), max(gap, default=-np.inf))
