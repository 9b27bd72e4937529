"""Compiled kernels and their plain Python twins: the same bits.

Every operation of a kernel is rounded once by IEEE 754 (+ − × ÷ √ and the explicit fma; no fastmath, no contraction),
in an order that the text fixes. So compiled and interpreted results are equal, not close, and no tolerance is given.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.equation import realise, states, whole

from radsens import realise as equation
from radsens.gaps import quantities
from radsens.kernel import add32, fma, kernel, like, of_kind, rotl32, xor32
from radsens.models import polarimeter as model
from radsens.realise import Measurement

KINDS = [np.float64, np.float32]
WORD = st.integers(0, 2**32 - 1).map(np.uint32)
N = 5


def same(a, b):
    """Bit for bit, but for what a NaN carries."""
    np.testing.assert_array_equal(a, b)
    if np.asarray(a).dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a)[~np.isnan(a)], np.signbit(b)[~np.isnan(b)])


# --- machine operations -----------------------------------------------------------------------------------------------


@kernel
def multiply_add(out, a, b, c):
    for i in range(out.size):
        out[i] = fma(a[i], b[i], c[i])


def exactly(a, b, c, kind):
    """a b + c in exact arithmetic, then the nearest number of the type, ties to even: by integers alone."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    bits, lowest = (24, -149) if kind is np.float32 else (53, -1074)
    if exact == 0:
        return 0.0
    scale = max(_floor_log2(abs(exact)) - bits + 1, lowest)
    return float(round(exact / Fraction(2) ** scale) * Fraction(2) ** scale)  # round: half to even


def _floor_log2(x):
    k = x.numerator.bit_length() - x.denominator.bit_length()
    return k if Fraction(2) ** k <= x else k - 1


def numbers(kind, low=-30, high=30):
    """Signed numbers of every exponent in the range and of many mantissas, and zero."""
    bits = 24 if kind is np.float32 else 53
    mantissa = st.integers(-(2**bits) + 1, 2**bits - 1)
    return st.builds(lambda m, e: kind(math.ldexp(m, e - bits)), mantissa, st.integers(low, high))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300)
@given(st.data())
def test_a_fused_multiply_add_is_rounded_once(kind, data):
    a, b = data.draw(numbers(kind)), data.draw(numbers(kind))
    near = kind(-(float(a) * float(b)))  # where the product cancels, all but its rounding
    c = data.draw(st.one_of(numbers(kind, -60, 60), st.just(near), st.just(np.nextafter(near, kind(0)))))
    out = np.zeros(1, kind)
    multiply_add(out, np.array([a]), np.array([b]), np.array([c]))
    expected = exactly(a, b, c, kind)
    assert out[0] == expected
    assert fma.py_func(a, b, c) == expected
    assert type(fma.py_func(a, b, c)) is kind
    same(out[0], fma.py_func(a, b, c))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_multiply_add_differs_from_two_roundings(kind):
    """(1 + ε)(1 − ε) − 1 = −ε², which two roundings lose: the compiled operation is a fused one."""
    eps = np.finfo(kind).eps
    out = np.zeros(1, kind)
    multiply_add(out, np.array([1 + eps], kind), np.array([1 - eps], kind), np.array([-1], kind))
    assert out[0] == fma.py_func(kind(1 + eps), kind(1 - eps), kind(-1)) == -(float(eps) ** 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_fused_multiply_add_passes_on_what_is_not_finite(kind, value):
    for place in range(3):
        operands = [kind(2), kind(3), kind(-1)]
        operands[place] = kind(value)
        out = np.zeros(1, kind)
        multiply_add(out, *(np.array([v]) for v in operands))
        same(out[0], fma.py_func(*operands))
        assert not np.isfinite(out[0])


@kernel
def word_operations(out, a, b, n):
    out[0] = add32(a, b)
    out[1] = xor32(a, b)
    out[2] = rotl32(a, n)


@given(WORD, WORD, st.integers(1, 31))
def test_operations_on_words_are_those_of_integers_modulo_two_to_the_32(a, b, n):
    out = np.zeros(3, np.uint32)
    word_operations(out, a, b, n)
    i, j = int(a), int(b)
    expected = [(i + j) % 2**32, i ^ j, (i << n | i >> (32 - n)) % 2**32]
    assert out.tolist() == expected
    assert [int(add32.py_func(a, b)), int(xor32.py_func(a, b)), int(rotl32.py_func(a, n))] == expected


@kernel
def third(out, x):
    out[0] = like(x[0], 1 / 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_takes_the_precision_of_its_companion(kind):
    out, x = np.zeros(1, np.float64), np.ones(1, kind)
    third(out, x)
    assert out[0] == float(kind(1 / 3)) == float(like.py_func(kind(1), 1 / 3))


@kernel
def chosen(out, x):
    out[0] = of_kind(x[0], 1.0, 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_numbers_the_one_meant_for_the_precision_is_taken(kind):
    out, x = np.zeros(1), np.ones(1, kind)
    chosen(out, x)
    assert out[0] == float(of_kind.py_func(kind(1), 1.0, 2.0)) == (1 if kind is np.float32 else 2)


# --- stages -----------------------------------------------------------------------------------------------------------


def row(kind, low, high):
    width = 32 if kind is np.float32 else 64
    return arrays(kind, N, elements=st.floats(float(kind(low)), float(kind(high)), width=width))


def scalar(kind, low, high):
    return row(kind, low, high).map(lambda v: v[0])


def counts(kind):
    return row(kind, 0, 5000)


def z(kind):
    return row(np.float32, -6, 6)


def choice(*values):
    return lambda kind: st.sampled_from(values)


def between(low, high):
    return lambda kind: scalar(kind, low, high)


def rows(low, high):
    return lambda kind: row(kind, low, high)


def block(n, low, high):
    return lambda kind: st.lists(row(kind, low, high), min_size=n, max_size=n).map(np.stack)


RESPONSE = (between(-0.5, 0.5), between(-2e-5, 1e-3), choice(2, 3))
wrong = rows(-40, 40)


def triple(kind):
    return row(kind, -4000, 4000).map(lambda r: np.resize(r, 3))


STAGES = {
    "signal": (counts, wrong, rows(0.5, 1.5), rows(0.01, 1), rows(-1, 1), rows(-1, 1), triple, triple),
    "inter_pixel": (wrong, counts, z, rows(-9, 9), between(0, 0.01), between(0, 0.01)),
    "undo_inter_pixel": (wrong, counts, z, rows(-9, 9), between(0, 0.01), between(0, 0.01)),
    "bend": (wrong, counts, *RESPONSE),
    "unbend": (wrong, counts, *RESPONSE),
    "offset": (wrong, between(-200, 200)),
    "noise_snr": (wrong, counts, z, between(0, 0.1)),
    "noise_read_shot": (wrong, counts, z, between(0, 10), between(0, 1)),
    "quantise": (wrong, counts, between(0, 200)),
    "saturate": (wrong, counts, rows(0, 0), between(0, 200), between(1000, 4095)),
    "stokes": (block(3, 0, 0), block(6, -1.2, 1.2), rows(-1, 1), block(3, 0, 2), block(3, 0.5, 2)),
    "stokes_linear": (block(3, 0, 0), block(6, -1.2, 1.2), rows(-1, 1), block(3, 0, 2)),
    "total": (rows(0, 0), z, z, z),
}
GAPS = {
    "gap_row": (block(5, -1, 1), rows(-1, 1), rows(-1, 1), rows(0, 1)),
    "intensity_gap_row": (rows(0, 0), counts, rows(0.5, 2), rows(0.1, 10), between(1e-4, 1e-2)),
}


def compare(function, arguments):
    """Run both twins on copies; everything that they were given must come out the same."""
    ours, theirs = ([np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments] for _ in range(2))
    function(*ours)
    with np.errstate(all="ignore"):
        function.py_func(*theirs)
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=40)
@given(st.data())
def test_a_stage_of_the_polarimeter_is_its_equation(name, kind, data):
    arguments = [data.draw(strategy(kind)) for strategy in STAGES[name]]
    if name.startswith("stokes"):
        arguments[2] = np.resize(arguments[2], 9)
    compare(getattr(model, name), arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GAPS)
@settings(max_examples=40)
@given(st.data())
def test_a_gap_is_its_equation(name, kind, data):
    compare(getattr(quantities, name), [data.draw(strategy(kind)) for strategy in GAPS[name]])


# --- the whole pass: draws, stages, moments, histograms, quantiles ----------------------------------------------------

SOURCES = {
    "relative_transmission": {"sigma": 0.01},
    "hf_equalisation": {"sigma": 1e-3, "correlation": 0.5},
    "non_linearity": {"sigma": 0.02, "order": 3},
}
NOISES = {"snr": {"snr": 50}, "instrument": {"model": "instrument"}}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("direction", ["instrument", "knowledge"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_compiled_realisation_is_the_interpreted_one(parasol, monkeypatch, precision, direction, noise):
    """Every kernel of the pass at once, with every stage on: all statistics and histograms, bit for bit."""
    scene = states(parasol, np.linspace(0.1, 1.2, 20), np.linspace(0, 0.9, 20), np.linspace(-1.5, 1.5, 20), band="670P")
    sources = {**SOURCES, "radiometric_noise": NOISES[noise]}
    setting = {"precision": precision, "measurement": Measurement(quantisation=True, saturation=True), "strata": whole}
    compiled = realise(parasol, scene, sources, range(7, 9), direction, **setting)
    monkeypatch.setattr(equation, "span_pass", equation.span_pass.py_func)
    interpreted = realise(parasol, scene, sources, range(7, 9), direction, **setting)
    same(compiled.rows, interpreted.rows)
    same(compiled.totals, interpreted.totals)
    same(compiled.saturated, interpreted.saturated)
    same(compiled.outcome, interpreted.outcome)
    assert compiled.saturated.sum() > 0
    assert np.isfinite(compiled.rows).all()


def test_a_compiled_realisation_of_an_unpolarised_band_is_the_interpreted_one(parasol, monkeypatch):
    scene = states(parasol, np.linspace(0.1, 0.8, 20), 0.3, np.linspace(-1.5, 1.5, 20), band="443NP")
    sources = {k: v for k, v in SOURCES.items() if k != "relative_transmission"}
    compiled = realise(parasol, scene, sources, range(7, 9), strata=whole)
    monkeypatch.setattr(equation, "span_pass", equation.span_pass.py_func)
    interpreted = realise(parasol, scene, sources, range(7, 9), strata=whole)
    same(compiled.rows, interpreted.rows)
    same(compiled.totals, interpreted.totals)
