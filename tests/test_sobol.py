"""Scrambled Sobol points: the published numbers, nets after scrambling and shuffling, and what they gain over random draws.

Variances are told against random draws: of the mean of a product of two normal draws over n points it is 1/n for those.
"""

from hashlib import sha256
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import stats

from radsens import random, sobol
from radsens.kernel import kernel
from radsens.schema import Fault
from radsens.sobol import BITS, DIMENSIONS, REPLICATES, directions, scrambled, shares
from radsens.sources import SOURCES
from radsens.sources._source import normals

SEED = 20240229
FIRST = range(13)  # the dimensions that the sources have today
SIGMAS = 4.5  # of the standard error, with fixed seeds


def points(n, dimensions=FIRST, seed=SEED, place="490P"):
    """Coordinates of the first n points of all replicates: (replicate, point, dimension)."""
    u = np.empty((REPLICATES * n, len(dimensions)))
    v = np.array([directions(d) for d in dimensions], dtype=np.int64)
    shares(u, 0, v, random.address(seed, "source", place), random.address(seed, sobol.SHUFFLE, place))
    return u.reshape(n, REPLICATES, -1).swapaxes(0, 1)


def samples(n, seeds, place="490P", dimensions=FIRST):
    """Normal draws of 8 replicates of n points for each seed: (replicate, point, dimension)."""
    drawn = [sobol.draws(seed, "source", place, range(REPLICATES * n), dimensions) for seed in range(seeds)]
    return np.concatenate([z.reshape(n, REPLICATES, -1).swapaxes(0, 1) for z in drawn])


def against_random(a, b):
    """Variance of the mean product of two sets of draws (replicate, point, dimension), in units of that of random draws."""
    return np.mean(np.einsum("rni,rnj->rij", a, b) ** 2, axis=0) / a.shape[1]


# --- the published numbers --------------------------------------------------------------------------------------------


def test_the_file_holds_the_rows_of_joe_and_kuo():
    """Laid out as new-joe-kuo-6.21201, the first 1024 lines have the SHA-256 of those lines as another project keeps them."""
    lines = ["d       s       a       m_i     "]
    for d, row in enumerate(sobol.numbers(), start=2):
        a, *m = row.split()
        lines.append(f"{d:<8}{len(m):<8}{a:<8}{' '.join(m)} ")
    assert len(lines) == DIMENSIONS
    assert (
        sha256("\n".join([*lines, ""]).encode()).hexdigest() == "52eeb57738dd69f5e1f593f2085c4efb3fb410c3af241d5396d7a2bef60b9257"
    )


def test_points_are_those_of_scipy_before_they_are_scrambled():
    """In all dimensions; scipy takes them in the order of the Gray code."""
    theirs = stats.qmc.Sobol(DIMENSIONS, scramble=False, bits=BITS).random(64)
    n = np.arange(64)
    bits = ((n ^ n >> 1)[:, None] >> np.arange(BITS)) & 1
    ours = np.array([np.bitwise_xor.reduce(bits * np.array(directions(d)), axis=1) for d in range(DIMENSIONS)]).T
    np.testing.assert_array_equal(ours * 2.0**-BITS, theirs)


def test_dimensions_beyond_the_numbers_are_refused():
    with pytest.raises(Fault, match="sampling: sobol has 1024 dimensions, and dimension 1024 is beyond them; use random"):
        sobol.draws(SEED, "source", "490P", range(8), range(DIMENSIONS - 1, DIMENSIONS + 1))


def test_a_file_of_other_numbers_is_refused(tmp_path, monkeypatch):
    (other := tmp_path / "joe_kuo.txt").write_bytes(sobol.NUMBERS.read_bytes().replace(b"\n1 1 3\n", b"\n1 1 1\n"))
    monkeypatch.setattr(sobol, "NUMBERS", other)
    with pytest.raises(Fault, match="not the file of direction numbers that the package was made with"):
        sobol.numbers.__wrapped__()


# --- scrambling -------------------------------------------------------------------------------------------------------


@kernel
def scramble_all(y, x, replicate, key):
    for i in range(x.size):
        y[i] = scrambled(x[i], 3, replicate, key[0], key[1], key[2], key[3])


def scramble(x, seed, replicate=0):
    """Words x (...) scrambled for a seed."""
    y = np.empty(x.size, np.int64)
    scramble_all(y, x.ravel(), replicate, random.address(seed, "source", "490P"))
    return y.reshape(x.shape)


def test_the_compiled_scramble_is_the_one_in_plain_python():
    x = np.array([0, 1, 2**31, 2**32 - 1, 0x9E3779B9, 0x7F4A7C15], dtype=np.int64)
    key = random.address(SEED, "source", "490P")
    assert scramble(x, SEED).tolist() == [scrambled.py_func(int(w), 3, 0, *key) for w in x]


@pytest.mark.parametrize("top", [0, 3, 7, 19, 24])
def test_a_bit_is_flipped_as_the_bits_above_it_say_and_as_no_lower_bit_does(top):
    """Words that agree in their `top` upper bits and go through the next eight in all ways, with any bits below."""
    below = BITS - top - 8
    x = np.array([(0x5BD1E995 >> (BITS - top)) << 8 | k for k in range(256)], dtype=np.int64)[:, None] << below
    x = x + np.arange(0, 2**below, max(2**below // 5, 1))[:5]
    y = scramble(x, SEED) >> below
    assert (y == y[:, :1]).all()  # whatever the lower bits
    assert len(set(y[:, 0] >> 8)) == 1  # one value of the bits above
    assert sorted(y[:, 0] & 255) == list(range(256))  # a permutation
    flips = (y[:, 0] ^ x[:, 0] >> below) & 255
    for level in range(8):  # nested: 2^level random bits at this level
        assert len({(k >> (8 - level), f >> (7 - level)) for k, f in zip(range(256), flips, strict=True)}) == 2**level


def test_flips_of_all_levels_are_even_and_independent():
    """One word under many scrambles: each bit is flipped in half of them, any two together in a quarter."""
    n = 4000
    y = np.array([scramble(np.array([0x12345678]), seed)[0] for seed in range(n)]) ^ 0x12345678
    flips = 2.0 * (y[:, None] >> np.arange(BITS) & 1) - 1
    even = flips.T @ flips / n - np.eye(BITS)
    assert np.abs(flips.mean(0)).max() < SIGMAS / np.sqrt(n)
    assert np.abs(even).max() < SIGMAS / np.sqrt(n)


def test_a_scrambled_point_is_uniform_by_itself():
    """So every replicate is unbiased; points 0 and 5 of all replicates of many seeds."""
    u = np.concatenate([points(6, seed=seed)[:, [0, 5]] for seed in range(300)])
    for p in range(2):
        for d in (0, 1, 12):
            assert stats.kstest(u[:, p, d], "uniform").pvalue > 1e-4
    assert u.min() > 0 and u.max() < 1


# --- nets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(11))
def test_the_first_points_hit_each_stratum_of_each_dimension_once(k):
    strata = np.floor(points(2**k, [*FIRST, 40, 200, 1023]) * 2**k)
    assert (np.sort(strata, axis=1) == np.arange(2**k)[:, None]).all()


def test_the_first_two_dimensions_hit_each_rectangle_of_the_plane_once():
    """A (0, 8, 2)-net: 2⁸ points, one in each of the 2⁸ boxes of every shape, in every replicate."""
    u = points(256, range(2))
    for k in range(9):
        boxes = np.floor(u[..., 0] * 2**k) * 2 ** (8 - k) + np.floor(u[..., 1] * 2 ** (8 - k))
        assert (np.sort(boxes, axis=1) == np.arange(256)).all()


def test_any_two_dimensions_of_the_sources_share_1024_points_evenly_among_64_boxes():
    """A (4, 10, 2)-net in every replicate: 16 points in each box of every shape."""
    u = points(1024)
    for i, j in combinations(FIRST, 2):
        for k in range(7):
            boxes = np.floor(u[..., i] * 2**k) * 2 ** (6 - k) + np.floor(u[..., j] * 2 ** (6 - k))
            assert all((np.bincount(b.astype(int), minlength=64) == 16).all() for b in boxes)


# --- independence -----------------------------------------------------------------------------------------------------


def test_two_parameters_of_a_place_are_far_less_correlated_than_random_draws():
    """Over 1024 points; measured 0.02 on average and 0.13 for the worst pair, known to 18 % each."""
    found = against_random(*2 * (samples(1024, seeds=8),))[np.triu_indices(len(FIRST), 1)]
    assert found.mean() < 0.04 and found.max() < 0.3


def test_two_places_are_no_more_correlated_than_random_draws_although_they_have_the_same_dimensions():
    """The shuffle; without it the same dimension in two places has 440 times the variance. Measured 1.4, the worst pair 2.1."""
    found = against_random(samples(1024, seeds=8), samples(1024, seeds=8, place="670P"))
    assert 0.5 < found.mean() < 2 and found.max() < 4
    assert np.diag(found).mean() < 2.5


def test_replicates_are_independent_of_each_other():
    """Over many seeds the means of a square, which 16 points of one scramble share, are uncorrelated between replicates."""
    seeds = 400
    means = (samples(16, seeds, dimensions=range(2)) ** 2).mean(axis=(1, 2)).reshape(seeds, REPLICATES)
    found = np.corrcoef(means.T)[np.triu_indices(REPLICATES, 1)]
    assert np.abs(found).max() < SIGMAS / np.sqrt(seeds)


def test_draws_of_two_sources_that_are_combined_are_uncorrelated():
    """As drawn for the sources of the registry in one band; those of a detector are of another place."""
    drawn = [s for s in SOURCES.values() if s.draws]
    for a, b in combinations(drawn, 2):
        place = {"band": "490P", "detector": "ccd"}
        x, y = (normals(s, "sobol", SEED, place[s.place], range(8 * 1024)) for s in (a, b))
        error = np.sqrt(1 if a.place == b.place else 2.2) / np.sqrt(len(x))  # 2.2: the worst pair of dimensions of two places
        assert np.abs(x.T @ y / len(x)).max() < SIGMAS * error


def test_no_two_sources_have_a_dimension_in_common():
    taken = [set(range(s.slot, s.slot + s.draws)) for s in SOURCES.values()]
    assert sum(map(len, taken)) == len(set().union(*taken))


def test_no_source_has_moved_to_other_dimensions():
    """A dimension is never given again, since results that stand are extended with it."""
    expected = {"polariser_orientation": 0, "polariser_extinction": 4, "relative_transmission": 8, "non_linearity": 12}
    assert {name: SOURCES[name].slot for name in expected} == expected


# --- realisations -----------------------------------------------------------------------------------------------------


def test_a_realisation_is_the_same_in_any_span():
    whole_span = sobol.draws(SEED, "source", "490P", range(1000), FIRST)
    parts = [sobol.draws(SEED, "source", "490P", range(*ab), FIRST) for ab in pairwise([0, 1, 7, 8, 500, 1000])]
    np.testing.assert_array_equal(np.concatenate(parts), whole_span)
    assert sobol.draws(SEED, "source", "490P", range(10**7, 10**7 + 3), FIRST).shape == (3, 13)
    assert sobol.draws(SEED, "source", "490P", range(5), range(0)).shape == (5, 0)


def test_draws_are_standard_normal():
    z = sobol.draws(SEED, "source", "490P", range(8 * 1024), FIRST)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)  # random draws: 1.1e-2
    np.testing.assert_allclose((z**2).mean(0), 1, atol=5e-3)  # random draws: 1.6e-2
    np.testing.assert_allclose((z**4).mean(0), 3, atol=0.1)
    assert max(stats.kstest(z[:, d], "norm").statistic for d in FIRST) < 2 / 1024  # random draws: 1e-2


# --- what is gained ---------------------------------------------------------------------------------------------------


def smooth(z):
    """√(zᵀ A z), the shape of the rms of a linear gap over an image under nine parameters: (..., 9) to (...)."""
    a = np.linalg.qr(np.cos(np.arange(81.0).reshape(9, 9)))[0] * np.linspace(0.2, 1, 9)
    return np.sqrt(((z @ a) ** 2).sum(-1))


def test_1024_points_give_the_mean_of_a_smooth_function_of_nine_parameters_with_a_fifth_of_the_random_error():
    """Standard errors over 64 scrambles, so known to 9 %; measured 1/12."""
    f = smooth(samples(1024, seeds=8, dimensions=range(9)))
    assert f.mean(axis=1).std(ddof=1) < f.std() / np.sqrt(1024) / 5


def test_eight_replicates_of_128_points_keep_a_good_part_of_that():
    """What 1024 realisations of a campaign are: the price of an honest error; measured 1/4.7, over 48 campaigns (10 %)."""
    f = smooth(samples(128, seeds=48, dimensions=range(9))).reshape(48, -1)
    assert f.mean(axis=1).std(ddof=1) < f.std() / np.sqrt(1024) / 3
