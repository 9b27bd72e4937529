"""Standard deviations of random errors: many realisations of the registry's sources against the closed forms.

The standard deviation of N independent draws has the relative standard error √((κ − 1) / 4N), κ the kurtosis: 3 for a
normal law, 9/5 for a uniform one and less than 3 for a sum of uniform ones. SIGMAS of these is the tolerance wherever
none is given; a seed is fixed, so that a test either always or never passes. Amplitudes are so small that the second
order is far below that.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests import closed_forms
from tests.equation import (
    AOLP,
    DOLP,
    RADIANS,
    STD,
    I,
    Q,
    U,
    lattice,
    pixel_gaps,
    realise,
    states,
    whole,
    with_detector,
    with_extinction,
)

SIGMAS = 4.0
N = 12_000
DIRECTIONS = ("instrument", "knowledge")

P, CHI = lattice([0.1, 0.3, 0.8], np.radians([-40.0, 0.0, 15.0, 30.0]))

# Registry source, one unit of its amplitude in the unit of the closed form, and an amplitude of 1e-5 to 1e-4.
SCALAR = {
    "orientation": ("polariser_orientation", RADIANS, 0.001),
    "transmission": ("relative_transmission", 1.0, 3e-5),
    "efficiency": ("polariser_extinction", None, 1e-3),
}
RATIO = 50.0


def tolerance(n, kurtosis=3.0):
    """Relative tolerance on a standard deviation."""
    return SIGMAS * np.sqrt((kurtosis - 1) / (4 * n))


def spread(values):
    """Standard deviations of (ΔI/I, ΔDoLP, Δχ [rad]) over the first axis, from (realisation, quantity, pixel)."""
    found = values[:, [I, DOLP, AOLP]].std(axis=0)
    found[2] *= RADIANS
    return found


def scalar(ideal, name, direction, **knobs):
    """Standard deviations per unit of the closed form's error, and the efficiency of the polarisers."""
    source, unit, sigma = SCALAR[name]
    instrument, eta = ideal, 1.0
    if name == "efficiency":
        instrument, eta = with_extinction(ideal, RATIO), closed_forms.efficiency_of(RATIO)
        unit = abs(closed_forms.efficiency_per_log_extinction(RATIO))
    scene = states(instrument, 0.3, P, CHI, band="P1")
    found = realise(instrument, scene, {source: {"sigma": sigma, **knobs}}, range(N), direction)
    assert not found.outcome.any()
    return spread(pixel_gaps(found)) / (sigma * unit), eta


@pytest.mark.parametrize("name", closed_forms.RMS)
def test_the_closed_standard_deviations_are_the_quadratic_sums_over_the_polarisers(name):
    """The oracle agrees with itself, to rounding: two derivations of the same row."""
    etas = (1.0, 0.9) if name == "efficiency" else (1.0,)
    for eta in etas:
        each = closed_forms.PER_POLARISER[name](P, CHI, eta)
        closed = closed_forms.RMS[name](P, CHI, *((eta,) if name == "efficiency" else ()))
        np.testing.assert_allclose(np.broadcast_to(closed, (3, P.size)) ** 2, (each**2).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("name", closed_forms.CORRELATED)
@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_the_closed_correlated_forms_are_the_quadratic_forms_of_the_covariance(name, rho):
    """Σ_ab m_a m_b [(1−ρ) δ_ab + ρ], to rounding."""
    each = closed_forms.PER_POLARISER[name](P, CHI)
    expected = (1 - rho) * (each**2).sum(axis=1) + rho * each.sum(axis=1) ** 2
    np.testing.assert_allclose(closed_forms.CORRELATED[name](P, CHI, rho) ** 2, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", SCALAR)
def test_independent_errors_on_the_polarisers_spread_the_gaps_as_derived(ideal, name, direction):
    found, eta = scalar(ideal, name, direction)
    expected = closed_forms.CORRELATED[name](P, CHI, 0.0, *((eta,) if name == "efficiency" else ()))
    np.testing.assert_allclose(found, expected, rtol=tolerance(N))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("rho", [0.5, 0.95])
@pytest.mark.parametrize("name", SCALAR)
def test_correlated_errors_on_the_polarisers_spread_the_gaps_as_derived(ideal, name, rho, distribution):
    """For uniform errors this says that the copula reaches the declared correlation."""
    found, eta = scalar(ideal, name, "knowledge", correlation=rho, distribution=distribution)
    expected = closed_forms.CORRELATED[name](P, CHI, rho, *((eta,) if name == "efficiency" else ()))
    np.testing.assert_allclose(found, expected, rtol=tolerance(N))


@pytest.mark.parametrize("name", SCALAR)
def test_fully_correlated_errors_leave_only_what_a_common_error_does(ideal, name):
    found, eta = scalar(ideal, name, "instrument", correlation=1.0)
    expected = closed_forms.CORRELATED[name](P, CHI, 1.0, *((eta,) if name == "efficiency" else ()))
    # what must vanish does so to second order in the amplitude, 1e-4 of it; or to rounding over the amplitude, 1e-11
    np.testing.assert_allclose(found, expected, rtol=tolerance(N), atol=1e-3)


@pytest.mark.parametrize("name", SCALAR)
def test_uniform_errors_have_the_standard_deviation_of_normal_ones(ideal, name):
    found, eta = scalar(ideal, name, "instrument", distribution="uniform")
    expected = closed_forms.CORRELATED[name](P, CHI, 0.0, *((eta,) if name == "efficiency" else ()))
    np.testing.assert_allclose(found, expected, rtol=tolerance(N))


def test_uniform_errors_stay_within_root_three_sigma(ideal):
    """|Σ m_a δ_a| ≤ √3 σ Σ |m_a|, approached within 10 % by the largest of N; a normal law would go beyond."""
    sigma = 3e-5
    scene = states(ideal, 0.3, P, CHI, band="P1")
    found = realise(ideal, scene, {"relative_transmission": {"sigma": sigma, "distribution": "uniform"}}, range(N))
    largest = np.abs(pixel_gaps(found)[:, I]).max(axis=0)
    bound = np.sqrt(3) * sigma * np.abs(closed_forms.transmission(P, CHI)[0]).sum(axis=0)
    assert (largest <= bound * (1 + 1e-4)).all()  # second order: 1e-4 of the first
    assert (largest > 0.9 * bound).all()


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(("order", "row"), [(2, closed_forms.quadratic), (3, closed_forms.cubic)])
def test_one_non_linearity_of_the_detector_spreads_the_gaps_as_derived(ideal, order, row, distribution):
    sigma, x = 1e-5, 0.3
    scene = states(ideal, x, P, CHI)
    knobs = {"sigma": sigma, "order": order, "distribution": distribution}
    found = realise(ideal, scene, {"non_linearity": knobs}, range(N))
    kurtosis = 3.0 if distribution == "normal" else 9 / 5
    expected = np.abs(row(P, CHI, x))
    np.testing.assert_allclose(spread(pixel_gaps(found)) / sigma, expected, rtol=tolerance(N, kurtosis), atol=1e-4)
    other = realise(ideal, replace(scene, band="P2"), {"non_linearity": knobs}, range(50))
    np.testing.assert_array_equal(other.rows, found.rows[:50])  # the same detector, so the same draw


def test_transmissions_normalised_to_the_middle_polariser_are_not_isotropic(ideal):
    """Unpolarised light, errors on the outer two only: σ_q = √2/3 σ, σ_u = √(2/3) σ, rms DoLP = √(8/9) σ."""
    sigma = 1e-4
    scene = states(ideal, 0.3, np.zeros(1), 0.0, band="P1")
    found = realise(ideal, scene, {"relative_transmission": {"sigma": sigma, "normalisation": "middle"}}, range(N))
    gap = pixel_gaps(found)[:, :, 0] / sigma
    np.testing.assert_allclose(gap[:, Q].std(), np.sqrt(2) / 3, rtol=tolerance(N))
    np.testing.assert_allclose(gap[:, U].std(), np.sqrt(2 / 3), rtol=tolerance(N))
    # DoLP² = q² + u²: the standard error of its mean is below √(2/N) of it, half of that for the root
    np.testing.assert_allclose(np.sqrt(np.mean(gap[:, DOLP] ** 2)), np.sqrt(8 / 9), rtol=SIGMAS * np.sqrt(0.5 / N))
    # as rounded in the note
    assert np.allclose([np.sqrt(2) / 3, np.sqrt(2 / 3), np.sqrt(8 / 9)], [0.47, 0.82, 0.943], atol=5e-3)


# --- fields: the statistics are over the pixels of one state, realisation after realisation ---------------------------

PIXELS, REALISATIONS = 4000, 10


def field_spread(instrument, band, sources, p, chi, **settings):
    """Standard deviations within the image of the five quantities (AoLP in rad), PIXELS × REALISATIONS draws."""
    scene = states(instrument, 0.3, np.full(1, p), chi, pixels=PIXELS, band=band)
    found = realise(instrument, scene, sources, range(REALISATIONS), strata=whole, **settings)
    rows = found.rows[:, 0, :, STD]
    # the mean square about the mean of each realisation misses 1 / PIXELS, 2.5e-4, twenty times below the tolerance
    deviation = np.sqrt((rows**2).mean(axis=0))
    deviation[AOLP:] *= RADIANS
    return deviation


CASES = [(0.3, 0.0), (0.3, np.radians(30)), (0.8, np.radians(15))]
# Angles are far from linear at 3σ where σ/P is not small: 0.002 / 0.3 adds (σ_χ)² relative, 1e-5.
SNR = 500.0


@pytest.mark.parametrize(("p", "chi"), CASES)
def test_noise_at_a_given_ratio_is_the_same_on_the_three_samples(ideal, p, chi):
    deviation = field_spread(ideal, "P1", {"radiometric_noise": {"snr": SNR}}, p, chi) * SNR
    close = tolerance(PIXELS * REALISATIONS)
    np.testing.assert_allclose(deviation[[I, DOLP, AOLP]], closed_forms.additive_noise(p, chi), rtol=close)
    np.testing.assert_allclose(deviation[[I, Q, U]], closed_forms.additive_noise_of_stokes(), rtol=close)


@pytest.mark.parametrize(("p", "chi"), CASES)
@pytest.mark.parametrize(("read", "shot"), [(1.0, 0.0), (0.0, 2e-3), (1.0, 2e-3)])
def test_the_noise_of_the_instrument_adds_that_of_the_reading_to_that_of_the_signal(ideal, p, chi, read, shot):
    instrument = with_detector(ideal, read_noise=read, shot=shot)
    signal = 0.3 * instrument.absolute_gain("P1")
    by_reading, by_shot = (read / signal) ** 2, shot / signal
    deviation = field_spread(instrument, "P1", {"radiometric_noise": {"model": "instrument"}}, p, chi)

    def total(additive, proportional):
        return np.sqrt(by_reading * additive**2 + by_shot * proportional**2)

    close = tolerance(PIXELS * REALISATIONS)
    expected = total(closed_forms.additive_noise(p, chi), closed_forms.shot_noise(p, chi))
    np.testing.assert_allclose(deviation[[I, DOLP, AOLP]], expected, rtol=close)
    stokes = total(closed_forms.additive_noise_of_stokes(), closed_forms.shot_noise_of_stokes(p, chi))
    np.testing.assert_allclose(deviation[[I, Q, U]], stokes, rtol=close)


@pytest.mark.parametrize(("p", "chi"), CASES)
@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equalisation_noise_spreads_over_the_image_as_errors_of_transmission_do(ideal, p, chi, rho, direction):
    sources = {"hf_equalisation": {"sigma": 1e-3, "correlation": rho}}
    deviation = field_spread(ideal, "P1", sources, p, chi, error_in=direction) / 1e-3
    expected = closed_forms.correlated_transmission(p, chi, rho)
    np.testing.assert_allclose(deviation[[I, DOLP, AOLP]], expected, rtol=tolerance(PIXELS * REALISATIONS))


@pytest.mark.parametrize("sources", [{"radiometric_noise": {"snr": 500}}, {"hf_equalisation": {"sigma": 0.002}}])
def test_the_single_sample_of_an_unpolarised_band_shows_the_whole_error(ideal, sources):
    deviation = field_spread(ideal, "N1", sources, 0.3, 0.2)
    np.testing.assert_allclose(deviation[I], 0.002, rtol=tolerance(PIXELS * REALISATIONS))


def test_noise_adds_polarisation(ideal):
    """E[P̂] − P and E[P̂²] − P², against the standard error of their means over 2·10⁶ samples and the fourth order."""
    p, sigma, realisations, pixels = 0.3, 0.03, 500, 4000
    scene = states(ideal, 0.3, np.full(1, p), 0.3, pixels=pixels, band="P1")
    found = realise(ideal, scene, {"radiometric_noise": {"snr": 1 / sigma}}, range(realisations), strata=whole)
    mean, deviation = found.rows[:, 0, DOLP, 0], found.rows[:, 0, DOLP, STD]
    first, second = closed_forms.noise_bias(p, sigma)
    scatter = SIGMAS * deviation.mean() / np.sqrt(pixels * realisations)
    fourth = sigma**4 / p**3  # next order of 1/P
    np.testing.assert_allclose(mean.mean(), first, atol=scatter + fourth)
    square = (deviation**2 + mean**2 + 2 * p * mean).mean()
    np.testing.assert_allclose(square, second, atol=2 * p * scatter + 6 * sigma**4)
    assert first > 5 * (scatter + fourth)  # a null bias would be seen
    assert second > 5 * (2 * p * scatter + 6 * sigma**4)
