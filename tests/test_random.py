"""Addressed random numbers: the published generator, normal and independent in every direction of an address."""

from itertools import combinations
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from randomgen import ThreeFry
from scipy import stats

from radsens.instrument import load, names
from radsens.kernel import kernel
from radsens.random import (
    address,
    box_muller,
    draws,
    field,
    log32,
    normals_of_words,
    parameter_table,
    threefry,
    words,
)
from radsens.sources import SOURCES

SEED = 20240229
WORD = st.integers(0, 2**32 - 1)
FOUR = st.tuples(WORD, WORD, WORD, WORD)
ADDRESS = np.arange(100_000)
SIGMAS = 4.5  # 1 in 150 000 by chance, for a fixed seed: about a hundred numbers are compared in this file


@kernel
def one(out, x, k):
    out[0], out[1], out[2], out[3] = threefry(x[0], x[1], x[2], x[3], k[0], k[1], k[2], k[3])


def generate(counter, key):
    out = np.zeros(4, np.uint32)
    one(out, np.array(counter, np.uint32), np.array(key, np.uint32))
    return out.tolist()


# --- the generator ----------------------------------------------------------------------------------------------------

# Random123 (Salmon et al. 2011), file tests/kat_vectors, lines "threefry4x32 13": counter, key, result.
PI = "243f6a88 85a308d3 13198a2e 03707344"
KNOWN = [
    (" ".join(["00000000"] * 4), " ".join(["00000000"] * 4), "531c7e4f 39491ee5 2c855a92 3d6abf9a"),
    (" ".join(["ffffffff"] * 4), " ".join(["ffffffff"] * 4), "c4189358 1c9cc83a d5881c67 6a0a89e0"),
    (PI, "a4093822 299f31d0 082efa98 ec4e6c89", "4aa71d8f 734738c2 431fc6a8 ae6debf1"),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_generator_gives_the_published_answers(counter, key, result):
    counter, key, result = ([int(w, 16) for w in line.split()] for line in (counter, key, result))
    assert generate(counter, key) == result
    assert [int(w) for w in threefry.py_func(*map(np.uint32, counter + key))] == result


ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))


def of_the_paper(counter, key, rounds):
    """Threefry4x32 as Salmon et al. 2011 write it down, section 4.2 and table 2, for any number of rounds."""
    key = [*key, 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [(c + k) % 2**32 for c, k in zip(counter, key[:4], strict=True)]
    for r in range(rounds):
        for (a, b), n in zip(((0, 1), (2, 3)) if r % 2 == 0 else ((0, 3), (2, 1)), ROTATIONS[r % 8], strict=True):
            x[a] = (x[a] + x[b]) % 2**32
            x[b] = (x[b] << n | x[b] >> (32 - n)) % 2**32 ^ x[a]
        if r % 4 == 3:
            s = r // 4 + 1
            x = [(x[i] + key[(s + i) % 5] + (s if i == 3 else 0)) % 2**32 for i in range(4)]
    return x


@settings(max_examples=50)
@given(FOUR, FOUR)
def test_the_generator_agrees_with_an_independent_one(counter, key):
    """randomgen's ThreeFry of four 32-bit words has 20 rounds: it is the paper's, of which ours are the first 13.

    It adds one to its counter before the first block.
    """
    counter, key = [int(w) for w in counter], [int(w) for w in key]
    whole = (sum(w << (32 * i) for i, w in enumerate(counter)) - 1) % 2**128
    other = ThreeFry(
        counter=np.array([whole & 0xFFFFFFFFFFFFFFFF, whole >> 64], np.uint64),
        key=np.array([key[0] | key[1] << 32, key[2] | key[3] << 32], np.uint64),
        number=4,
        width=32,
    )
    assert [int(v) for v in other.random_raw(4)] == of_the_paper(counter, key, 20)
    assert generate(counter, key) == of_the_paper(counter, key, 13)
    assert [int(w) for w in threefry.py_func(*map(np.uint32, counter + key))] == of_the_paper(counter, key, 13)


@kernel
def pair(out, a, b):
    for i in range(a.size):
        out[0, i], out[1, i] = box_muller(a[i], b[i])


@kernel
def logarithms(out, x):
    for i in range(x.size):
        out[i] = log32(x[i])


def test_the_logarithm_errs_by_less_than_two_and_a_half_units_of_the_last_place():
    """All mantissas of the octave below 1, where ln changes most for its size, and one in 41 of others down to 2⁻³²."""
    for exponent, step in ((-1, 1), (-2, 41), (-3, 41), (-10, 41), (-32, 41)):
        bits = np.arange(0, 2**23, step, dtype=np.uint32) | np.uint32((127 + exponent) << 23)
        x = bits.view(np.float32)
        found = np.zeros_like(x)
        logarithms(found, x)
        exact = np.log(x.astype(float))
        assert (np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))).max() <= 2.4


def test_two_words_become_the_normals_of_box_and_muller():
    """√(−2 ln u) (± cos πx/2, sin πx/2). The modulus r ≤ 6.7 errs by some roundings of itself and of u.

    u keeps 24 bits near 1: 6e-8 / r. That changes the law of r below 3.5e-4 only, where 6e-8 of all numbers are.
    """
    w = np.random.default_rng(3).integers(0, 2**32, (2, 100_000), dtype=np.uint32)
    w[:, :6] = [[0, 1, 2**32 - 1, 2**32 - 2, 2**31, 0], [0, 2**31, 2**31 - 1, 2**32 - 1, 1, 2**31]]
    found = np.zeros((2, w.shape[1]), np.float32)
    pair(found, w[0], w[1])
    u = (w[0] >> 1).astype(float) * 2.0**-31 + 2.0**-32
    angle = np.pi / 2 * w[1].view(np.int32) / 2.0**31
    sign = np.where(w[0] & 1, -1.0, 1.0)
    modulus = np.sqrt(-2 * np.log(u))
    expected = modulus * [sign * np.cos(angle), np.sin(angle)]
    assert (np.abs(found - expected) <= 4e-7 * modulus + 6e-8 / modulus).all()
    assert np.isfinite(found).all()
    assert modulus.max() > 6.6


@settings(max_examples=30)
@given(st.lists(WORD, min_size=8, max_size=8), WORD, FOUR)
def test_compiled_draws_are_the_interpreted_ones(index, realisation, key):
    """Bit for bit: words are integers, and each operation on a normal is rounded once."""
    index, key = np.array(index, np.uint32), [np.uint32(k) for k in key]
    ours, theirs = np.zeros((2, 4, 8), np.uint32)
    words(*ours, index, np.uint32(realisation), np.uint32(0), *key)
    words.py_func(*theirs, index, np.uint32(realisation), np.uint32(0), *key)
    np.testing.assert_array_equal(ours, theirs)
    compiled, interpreted = np.zeros((2, 3, 8), np.float32)
    normals_of_words(*compiled, *ours)
    normals_of_words.py_func(*interpreted, *ours)
    np.testing.assert_array_equal(compiled.view(np.uint32), interpreted.view(np.uint32))


def test_a_compiled_table_of_parameters_is_the_interpreted_one():
    ours, theirs = np.zeros((2, 5, 3))
    key = address(SEED, "relative_transmission", "490P")
    parameter_table(ours, 17, key)
    parameter_table.py_func(theirs, 17, key)
    np.testing.assert_array_equal(ours, theirs)


# --- the law ----------------------------------------------------------------------------------------------------------


def assert_normal(z):
    """Moments within SIGMAS of their standard errors √(1, 2, 15, 96)/√n; and Kolmogorov's distance."""
    n = z.size
    assert abs(z.mean()) < SIGMAS / np.sqrt(n)
    assert abs((z**2).mean() - 1) < SIGMAS * np.sqrt(2 / n)
    assert abs((z**3).mean()) < SIGMAS * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < SIGMAS * np.sqrt(96 / n)
    assert stats.kstest(z, "norm").pvalue > 1e-4


def assert_independent(a, b):
    """No correlation of the values, of their squares, of their signs."""
    bound = SIGMAS / np.sqrt(a.size)
    for f in (np.asarray, np.square, np.sign):
        assert abs(np.corrcoef(f(a), f(b))[0, 1]) < bound


def noise(seed=SEED, source="radiometric_noise", band="490P", realisation=5, index=ADDRESS):
    return field(seed, source, band, realisation, index).astype(float)


def test_the_values_of_a_field_are_standard_normal():
    for z in noise():
        assert_normal(z)


def test_the_draws_of_parameters_are_standard_normal():
    assert_normal(draws(SEED, "relative_transmission", "490P", range(100_000), 1)[:, 0])


def test_the_tails_of_a_field_are_normal():
    """Beyond 4 sigma: 6.3e-5, of four million values 253 ± 16."""
    z = np.concatenate([noise(realisation=r).ravel() for r in range(10)])
    expected = z.size * 2 * stats.norm.sf(4)
    assert abs(np.sum(np.abs(z) > 4) - expected) < SIGMAS * np.sqrt(expected)


def test_the_four_values_of_a_pixel_are_independent():
    for a, b in combinations(noise(), 2):
        assert_independent(a, b)


OTHERS = {
    "the next realisation": {"realisation": 6},
    "a realisation far away": {"realisation": 2**31 + 5},
    "the next seed": {"seed": SEED + 1},
    "a seed that differs in its high word": {"seed": SEED + 2**40},
    "another band": {"band": "670P"},
    "another source": {"source": "hf_equalisation"},
    "the next pixel": {"index": ADDRESS + 1},
    "the next row of pixels": {"index": ADDRESS + 242},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_field_is_independent_of_that_of(other):
    for a, b in zip(noise(), noise(**OTHERS[other]), strict=True):
        assert not np.array_equal(a, b)
        assert_independent(a, b)


def test_the_draws_of_a_realisation_are_independent_of_each_other_and_of_the_next():
    z = draws(SEED, "polariser_orientation", "490P", range(100_001), 4)
    for a, b in combinations(range(4), 2):
        assert_independent(z[:, a], z[:, b])
    for a in range(4):
        assert_independent(z[1:, a], z[:-1, a])


def test_draws_of_different_places_and_sources_are_independent():
    def sample(source, place):
        return draws(SEED, source, place, range(100_000), 1)[:, 0]

    first = sample("polariser_orientation", "490P")
    assert_independent(first, sample("polariser_orientation", "670P"))
    assert_independent(first, sample("relative_transmission", "490P"))


def test_parameters_and_pixels_of_one_source_do_not_share_numbers():
    """The address says what its index counts."""
    z = draws(SEED, "hf_equalisation", "490P", range(5, 6), 4)[0]
    assert not np.isin(z.astype(np.float32), field(SEED, "hf_equalisation", "490P", 5, np.arange(4))).any()


# --- the address ------------------------------------------------------------------------------------------------------


def test_a_field_depends_on_the_address_of_a_pixel_and_not_on_its_place_in_the_row():
    whole = noise(index=np.arange(1000))
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(noise(index=order), whole[:, order])
    np.testing.assert_array_equal(noise(index=np.array([77])), whole[:, 77:78])


def test_a_draw_depends_on_the_number_of_its_realisation_and_not_on_the_span():
    whole = draws(SEED, "non_linearity", "ccd", range(60), 3)
    np.testing.assert_array_equal(draws(SEED, "non_linearity", "ccd", range(17, 42), 3), whole[17:42])
    np.testing.assert_array_equal(draws(SEED, "non_linearity", "ccd", range(60), 1), whole[:, :1])


def test_a_seed_of_64_bits_enters_whole():
    first = address(2**64 - 1, "a", "b")
    assert first.tolist() == [2**32 - 1, 2**32 - 1, crc32(b"a"), crc32(b"b")]
    assert address(2**32, "a", "b").tolist()[:2] == [0, 1]


def test_no_two_sources_and_no_two_places_share_an_address():
    """Their names enter by a hash of 32 bits: a new name that collides must be seen here."""
    sources = [*SOURCES, "inter_pixel"]
    instruments = [load(name) for name in names()]
    places = {d.name for i in instruments for d in i.detectors} | {b for i in instruments for b in i.band_names}
    places |= {f"{i.name}.{b}" for i in instruments for b in i.band_names}
    for group in (sources, places):
        assert len({crc32(name.encode()) for name in group}) == len(set(group))
    assert len(set(sources)) == len(sources)
