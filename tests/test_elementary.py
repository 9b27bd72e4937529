"""Elementary functions: as accurate as their docstrings say, and the same bits on every processor."""

import os
import subprocess
import sys
from functools import reduce

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from radsens.elementary import ARCTAN, COS, EXP, LOG, SIN, TAIL, arctan, cos, exp, log, ndtr, ndtri, sin
from radsens.kernel import fma, like

mpmath.mp.dps = 50

ANGLE = st.floats(-1e3, 1e3)
NUMBER = st.floats(allow_nan=False)


def exact(coefficients, z):
    return sum(mpmath.mpf(c) * z**i for i, c in enumerate(coefficients))


def ulps(function, oracle, x):
    """Largest error of function(x), in units of the last place of the true value."""
    truth = [oracle(mpmath.mpf(float(v))) for v in x]
    gaps = [abs(mpmath.mpf(float(y)) - t) for y, t in zip(function(x), truth, strict=True)]
    return float(max(g / np.spacing(abs(float(t))) for g, t in zip(gaps, truth, strict=True)))


def grid(first, last, n=4000):
    """Numbers that share no pattern of trailing zeros: steps of the golden ratio, modulo the interval."""
    return first + (last - first) * (np.arange(1, n + 1) * 0.6180339887498949 % 1.0)


QUARTERS = np.array([float(k * mpmath.pi / 2) for k in range(-636, 637) if k])

# The tolerances in ulp count roundings: half an ulp for the last operation, up to one more of the reduced argument for
# sin and cos (two inexact subtractions), of 1/x for arctan; ndtr multiplies two exponentials by a ratio of sums, and ndtri is
# a ratio of sums of seven terms in a rounded argument.
ACCURACY = {
    "sin": (sin, mpmath.sin, 2.0, [grid(-4, 4), grid(-1e3, 1e3), grid(-1e-6, 1e-6)]),
    "cos": (cos, mpmath.cos, 2.0, [grid(-4, 4), grid(-1e3, 1e3), grid(-1e-6, 1e-6)]),
    "sin at multiples of π/2": (sin, mpmath.sin, 2.0, [QUARTERS]),
    "cos at multiples of π/2": (cos, mpmath.cos, 2.0, [QUARTERS]),
    "exp": (exp, mpmath.exp, 1.0, [grid(-1, 1), grid(-700, 700), grid(-1e-6, 1e-6)]),
    "log": (log, mpmath.log, 1.0, [grid(0.5, 2), grid(1 - 1e-6, 1 + 1e-6), 10 ** grid(-300, 300), [5e-324]]),
    "arctan": (arctan, mpmath.atan, 2.5, [grid(-1, 1), grid(0.9, 1.1), grid(-20, 20), 10 ** grid(-9, 9)]),
    "ndtr, lower half": (ndtr, mpmath.ncdf, 6.0, [grid(-1, 0), grid(-8, 0), grid(-37, -8)]),
    "ndtr, upper half": (ndtr, mpmath.ncdf, 3.0, [grid(0, 1), grid(0, 9)]),
    "ndtri": (ndtri, lambda p: -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * p), 6.0, [grid(0, 1, 1500), 10 ** grid(-12, -1, 500)]),
}


@pytest.mark.parametrize("name", ACCURACY)
def test_values_agree_with_mpmath(name):
    function, oracle, tolerance, grids = ACCURACY[name]
    assert ulps(function, oracle, np.concatenate(grids)) <= tolerance


def test_ndtr_errs_by_less_than_1e_15_absolutely_and_relatively_down_to_minus_8():
    x = grid(-8, 8)
    truth = [mpmath.ncdf(float(v)) for v in x]
    gap = [abs(mpmath.mpf(float(y)) - t) for y, t in zip(ndtr(x), truth, strict=True)]
    assert max(gap) <= 1e-15
    assert max(g / t for g, t in zip(gap, truth, strict=True)) <= 1e-15


def exp_from_fit(r):
    c = r - r * r * exact(EXP, r * r)
    return 1 + r + r * c / (2 - c)


def log_from_fit(x):
    s = (x - 1) / (x + 1)
    return 2 * s + s**3 * exact(LOG, s * s)


def tail_from_fit(a):
    return (0.5 + a / (a + 5) * exact(TAIL, (a - 5) / (a + 5))) / (1 + a)


FITS = {
    "sin": (lambda r: r + r**3 * exact(SIN, r * r), mpmath.sin, (1e-9, np.pi / 4), 7e-18),
    "cos": (lambda r: 1 - r * r / 2 + r**4 * exact(COS, r * r), mpmath.cos, (0, np.pi / 4), 1.4e-18),
    "exp": (exp_from_fit, mpmath.exp, (-np.log(2) / 2, np.log(2) / 2), 3e-19),
    "log": (log_from_fit, mpmath.log, (np.sqrt(0.5), np.sqrt(2)), 1.5e-18),
    "arctan": (lambda q: q * exact(ARCTAN, q * q), mpmath.atan, (1e-9, 1), 6.5e-17),
    "ndtr": (tail_from_fit, lambda a: mpmath.ncdf(-a) * mpmath.exp(a * a / 2), (0, 37), 7e-17),
}


@pytest.mark.parametrize("name", FITS)
def test_fits_err_by_what_is_written_beside_them_in_exact_arithmetic(name):
    fit, oracle, (first, last), bound = FITS[name]
    points = mpmath.linspace(first, last, 800)
    assert max(abs(fit(p) / oracle(p) - 1) for p in points) <= bound


# One ulp and a half: the last two operations round by half an ulp each (2⁻⁵² = 2.2e-16, 2⁻²³ = 1.2e-7), the rounding of
# the terms before shrinks with them.
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float64, 3e-16), (np.float32, 2e-7)])
def test_arctan_coefficients_serve_a_fused_horner_in_both_precisions(kind, tolerance):
    for q in np.linspace(0, 1, 301, dtype=kind)[1:]:
        z = kind(q * q)
        value = q * reduce(lambda total, c: fma.py_func(z, total, like.py_func(z, c)), ARCTAN[::-1], kind(0))
        assert value.dtype == kind
        assert abs(float(value) / float(mpmath.atan(float(q))) - 1) <= tolerance


def test_values_that_everybody_knows_are_exact():
    assert (sin(0.0), cos(0.0), exp(0.0), arctan(0.0), ndtr(0.0)) == (0.0, 1.0, 1.0, 0.0, 0.5)
    assert (arctan(1.0), arctan(-1.0)) == (np.pi / 4, -np.pi / 4)
    assert (arctan(np.inf), arctan(-np.inf)) == (np.pi / 2, -np.pi / 2)
    assert (ndtr(np.inf), ndtr(-np.inf)) == (1.0, 0.0)
    assert (ndtr(38.0), ndtr(-38.0)) == (1.0, 0.0)
    assert (log(1.0), log(2.0), log(4.0), ndtri(0.5)) == (0.0, np.log(2.0), 2 * np.log(2.0), 0.0)


@pytest.mark.parametrize("function", [sin, cos, exp, arctan, ndtr])
def test_shapes_and_scalars_come_back_as_float64(function):
    assert isinstance(function(1), np.float64)
    assert isinstance(function(np.float32(0.1)), np.float64)
    assert function(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    x = grid(-9, 9, 30).reshape(5, 6)
    np.testing.assert_array_equal(function(x).ravel(), [function(v) for v in x.ravel()])


@pytest.mark.parametrize("function", [sin, cos, exp, log, arctan, ndtr, ndtri])
def test_nan_gives_nan_without_a_warning(function):
    assert np.isnan(function(np.nan))


@pytest.mark.parametrize(("function", "limit"), [(sin, 1e3), (cos, 1e3), (exp, 700.0)])
def test_outside_the_domain_is_nan_and_never_a_wrong_number(function, limit):
    edge = np.array([-limit, limit])
    assert np.isfinite(function(edge)).all()
    assert np.isnan(function(np.append(np.nextafter(edge, 2 * edge), [-np.inf, np.inf]))).all()


def test_a_logarithm_or_a_normal_number_that_does_not_exist_is_nan_without_a_warning():
    assert np.isnan(log([0.0, -1.0, -np.inf, np.inf])).all()
    assert np.isnan(ndtri([0.0, 1.0, -0.5, 1.5, np.inf])).all()
    assert np.isfinite(ndtri([5e-324, np.nextafter(1, 0)])).all()


@given(ANGLE)
def test_sine_is_odd_and_cosine_even(x):
    assert sin(-x) == -sin(x)
    assert cos(-x) == cos(x)


@given(ANGLE)
def test_squares_of_sine_and_cosine_add_to_one(x):
    # An error of 2 ulp (2⁻⁵²) of each, doubled by the squares, whose weights add to one.
    assert abs(sin(x) ** 2 + cos(x) ** 2 - 1) <= 2**-50


@given(st.floats(-700, 700))
def test_exponentials_of_opposites_are_reciprocal(x):
    assert abs(exp(x) * exp(-x) - 1) <= 2.5 * 2**-52  # 1 ulp of each, half of the product


@given(st.floats(-700, 700))
def test_the_logarithm_undoes_the_exponential(x):
    assert abs(log(exp(x)) - x) <= 2.5 * 2**-52 * max(1.0, abs(x))  # 1 ulp of exp, absolutely; 1 ulp of log and its rounding


@given(st.integers(0, 2**32 - 1))
def test_ndtri_undoes_ndtr_and_is_odd(word):
    """At the shares of the Sobol points, 6 ulp of each: dp/p = z φ(z)/Φ(z) dz/z, and |z| φ(z)/Φ(z) ≤ 1 + z² below 0."""
    p = (word + 0.5) / 2**32
    assert ndtri(1 - p) == -ndtri(p)
    assert abs(ndtr(ndtri(p)) / p - 1) <= 2**-52 * (6 + 6 * (1 + ndtri(p) ** 2))


@given(NUMBER)
def test_arctan_is_odd_and_bounded(x):
    assert arctan(-x) == -arctan(x)
    assert abs(arctan(x)) <= np.pi / 2


@given(st.floats(1e-300, 1e300))
def test_arctan_of_reciprocals_add_to_a_right_angle(x):
    assert abs(arctan(x) + arctan(1 / x) - np.pi / 2) <= 4 * 2**-52  # 2.5 ulp of each at most, 1 ulp being ≤ 2⁻⁵²


@given(NUMBER)
def test_ndtr_of_opposites_add_to_one_exactly(x):
    assert ndtr(x) + ndtr(-x) == 1.0  # 1 − p rounds by at most 2⁻⁵⁴, and so does the sum, to even


@given(st.floats(-40, 40), st.floats(1e-13, 1))
def test_ndtr_never_decreases_over_more_than_its_rounding(x, step):
    assert ndtr(x) <= ndtr(x + step)


FINGERPRINT = """
from hashlib import sha256
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from radsens.elementary import arctan, cos, exp, log, ndtr, ndtri, sin
x = np.arange(-100_003, 100_003) * 0.6180339887498949
values = [sin(x / 64), cos(x / 64), exp(x / 91), arctan(x / 8192), ndtr(x / 8192), ndtr(x / 1024)]
values += [log(np.abs(x)), ndtri(np.abs(x) % 1)]
print([name for name in __cpu_dispatch__ if __cpu_features__[name]])
print(sha256(np.stack(values).astype("<f8").tobytes()).hexdigest())
"""


def fingerprint(**hidden):
    run = [sys.executable, "-c", FINGERPRINT]
    clean = {k: v for k, v in os.environ.items() if k not in ("NPY_DISABLE_CPU_FEATURES", "GLIBC_TUNABLES")}
    return subprocess.run(run, env=clean | hidden, check=True, capture_output=True, text=True).stdout.splitlines()


def test_the_bits_are_those_of_every_other_processor():
    # Recorded with and without AVX-512, AVX2 and FMA on x86-64. It changes when a function does, and so do results.
    assert fingerprint()[1] == "5b0c63fd90590fa5bf2ccf8fee893ce7560d566114d28ba36073c41555cbf3ee"


def test_hiding_the_features_of_the_processor_does_not_change_a_bit():
    present = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not present:
        pytest.skip("numpy has nothing to dispatch on this processor")
    features, native = fingerprint()
    glibc = "glibc.cpu.hwcaps=-AVX512F,-AVX2_Usable,-AVX2,-FMA,-FMA_Usable"
    left, hidden = fingerprint(NPY_DISABLE_CPU_FEATURES=" ".join(present), GLIBC_TUNABLES=glibc)
    assert features == str(present)
    assert left == "[]"
    assert hidden == native
