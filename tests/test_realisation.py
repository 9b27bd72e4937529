"""One realisation of a whole image: no error, no gap; fields at their addresses; counts; sources together."""

from dataclasses import replace

import numpy as np
import pytest
from tests.equation import DOLP, HIGH, LOW, MEAN, STD, I, Q, U, lattice, pixel_gaps, realise, states, whole, with_detector

from radsens.gaps.statistics import FIRST_QUANTILE
from radsens.realise import Measurement
from radsens.scenes import render
from radsens.scenes.analytic import Analytic

DIRECTIONS = ("instrument", "knowledge")

# With no error nothing remains but rounding: some tens of 1e-16, of the angle 57 / 2P ≤ 1500 times as much (P > 0.02).
NOTHING = 1e-12


@pytest.fixture(scope="session")
def image(parasol):
    """The whole field of view in all bands, by name, with the radiances of an ocean under the sun."""
    return {scene.band: scene for scene in render(Analytic(kind="analytic"), parasol, parasol.band_names)}


def largest(found):
    """Largest |gap| of each quantity over a run with the image as one stratum."""
    return np.abs(found.rows[:, 0, :, [LOW, HIGH]]).max(axis=(0, 1))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_realistic_image_without_error_has_no_gap_in_any_band(parasol, image, direction):
    for band, scene in image.items():
        found = realise(parasol, scene, {}, range(1), direction, whole)
        assert not found.outcome.any()
        assert found.rows.shape[2] == (5 if parasol.band(band).polarised else 1)
        assert largest(found).max() <= NOTHING


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["ideal", "parasol"])
def test_all_states_of_polarisation_without_error_have_no_gap(request, name, direction):
    """From 40 counts on; of a darker scene the 100 counts of dark, added and taken away again, cost more digits."""
    instrument = request.getfixturevalue(name)
    p, chi, i = lattice([0.0, 1e-6, 0.03, 0.4, 1.0], np.radians(np.arange(-90.0, 91.0, 15.0)), [0.01, 0.2, 1.2])
    for band in instrument.band_names:
        scene = states(instrument, i, p, chi, band=band)
        assert largest(realise(instrument, scene, {}, range(1), direction, whole)).max() <= NOTHING


ZERO = {
    "polariser_orientation": {"sigma": 0.0},
    "polariser_extinction": {"sigma": 0.0},
    "relative_transmission": {"sigma": 0.0},
    "hf_equalisation": {"sigma": 0.0},
}


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_errors_of_no_size_leave_no_gap_though_every_stage_is_at_work(parasol, image, direction, order):
    sources = {**ZERO, "non_linearity": {"sigma": 0.0, "order": order, "calibrated_at": 0.3}}
    found = realise(parasol, image["670P"], sources, range(2), direction, whole)
    assert largest(found).max() <= NOTHING


def test_an_unpolarised_band_is_retrieved_with_the_polarisation_of_its_optics(parasol):
    """No gap, though the signal depends on the polarisation of the light, by ε P: its weight against noise shows it."""
    scene = states(parasol, 0.2, np.full(200, 0.6), 0.5, band="443NP")
    eps, phi = parasol.band("443NP").optics_polarisation_at(scene.theta), np.arctan2(scene.y, scene.x)
    assert eps.max() > 0.02
    assert largest(realise(parasol, scene, {}, range(1), strata=whole))[I] <= NOTHING

    def noise(polarising):
        """ΔI/I under the same noise in counts, whatever the signal."""
        bands = [b if polarising else b.model_copy(update={"optics_polarisation": (0.0, 0.0)}) for b in parasol.bands]
        instrument = with_detector(parasol, read_noise=2.0, shot=0.0).model_copy(update={"bands": tuple(bands)})
        return pixel_gaps(realise(instrument, scene, {"radiometric_noise": {"model": "instrument"}}, range(1)))[0, I]

    # the smallest of 200 noises is a hundredth of their 1e-2, and known to 1e-15
    np.testing.assert_allclose(noise(False) / noise(True), 1 + 0.6 * eps * np.cos(2 * (phi - 0.5)), rtol=1e-9)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_views(ideal):
    """Every detector element sees the same light in two views; each view has its own samples."""
    once = states(ideal, 0.2, np.full(100, 0.3), 0.4, band="P1")
    twice = {k: np.tile(getattr(once, k), 2) for k in ("x", "y", "theta", "detector", "scene_class")}
    views = {"view": np.repeat([0, 1], 100), "sample": np.arange(200)}
    return replace(once, stokes=np.tile(once.stokes, 2), **twice, **views)


def views(gap):
    """(realisation, quantity, view, element)."""
    return gap.reshape(*gap.shape[:2], 2, -1)


def test_equalisation_errors_belong_to_the_detector_element_whatever_the_view(ideal, two_views):
    gap = views(pixel_gaps(realise(ideal, two_views, {"hf_equalisation": {"sigma": 1e-3}}, range(3))))
    np.testing.assert_array_equal(gap[:, :, 0], gap[:, :, 1])
    assert np.unique(gap[:, Q, 0]).size == 300  # and differ between elements and realisations


def test_noise_belongs_to_the_sample(ideal, two_views):
    gap = views(pixel_gaps(realise(ideal, two_views, {"radiometric_noise": {"snr": 200}}, range(3))))
    assert np.unique(gap[:, Q]).size == 600


def test_fields_of_two_bands_are_independent(ideal, two_views):
    for source, knobs in (("hf_equalisation", {"sigma": 1e-3}), ("radiometric_noise", {"snr": 200})):
        seen = (replace(two_views, band=band) for band in ("P1", "P2"))
        one, two = (pixel_gaps(realise(ideal, scene, {source: knobs}, range(20))) for scene in seen)
        # at least 2000 independent pairs; correlation of independent samples has the standard error 1/√n
        assert abs(np.corrcoef(one[:, Q].ravel(), two[:, Q].ravel())[0, 1]) < 4 / np.sqrt(2000)


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "published"), [(0.1, 5.8e-4), (0.3, 1.9e-4)])
def test_rounding_to_twelve_bits_spreads_the_polarisation(ideal, scale, published):
    """σ_q = √(2/3) / (√12 S̄): counts that vary by hundreds round independently. 20 000 pixels know it to 2 %."""
    n, counts = 20_000, scale * 4095
    gain = ideal.absolute_gain("P1")
    spread = np.random.default_rng(1).uniform(0.97, 1.03, n)  # of the radiance, and all angles
    scene = states(ideal, counts / gain * spread, 0.5, np.linspace(0, np.pi, n, endpoint=False), band="P1")
    setting = Measurement(quantisation=True)
    for direction in DIRECTIONS:
        found = realise(ideal, scene, {}, range(1), direction, strata=whole, measurement=setting)
        expected = np.sqrt(2 / 3) / np.sqrt(12) / counts
        np.testing.assert_allclose(found.rows[0, 0, [Q, U], STD], expected, rtol=0.02)
        np.testing.assert_allclose(expected, published, rtol=0.02)  # two figures


@pytest.mark.parametrize("polarised", [True, False])
def test_saturated_pixels_are_those_whose_brightest_sample_exceeds_full_scale(ideal, polarised):
    """S_a = I (1 + P cos 2(χ − α_a)) in units of full scale."""
    i, p, chi = lattice([0.5, 0.8, 0.999, 1.001, 1.4], [0.0, 0.3, 1.0], np.radians(np.arange(0.0, 180.0, 7.0)))
    scene = states(ideal, i, p, chi, band="P1" if polarised else "N1")
    alpha = np.radians([-60.0, 0.0, 60.0])[:, None]
    samples = i * (1 + p * np.cos(2 * (chi - alpha))) if polarised else i[None]
    hit = (samples > 1).any(axis=0)
    assert 0.2 < hit.mean() < 0.8
    setting = Measurement(saturation=True)
    found = realise(ideal, scene, {}, range(2), measurement=setting)
    np.testing.assert_array_equal(found.saturated[:, 1:], [hit, hit])
    np.testing.assert_array_equal(found.saturated[:, 0], [hit.sum()] * 2)
    gap = pixel_gaps(found)[0, I]
    assert (gap[hit] < 0).all()  # what is cut is lost
    assert np.abs(gap[~hit]).max() <= NOTHING
    unlimited = realise(ideal, scene, {}, range(1))
    assert not unlimited.saturated.any()
    assert np.nanmax(np.abs(pixel_gaps(unlimited))) <= NOTHING


def test_a_saturated_sample_of_three_makes_polarisation(ideal):
    """Clipped at full scale, light along polariser 2 (0°) of I = 0.9, P = 0.5 loses 0.35: ΔQ/I = −2/3 · 0.35 / 0.9."""
    scene = states(ideal, 0.9, 0.5, 0.0)
    found = realise(ideal, scene, {}, range(1), measurement=Measurement(saturation=True))
    gap = pixel_gaps(found)[0, :, 0]
    np.testing.assert_allclose(gap[[I, Q, U]], np.array([-0.35 / 3, -0.7 / 3, 0]) / 0.9, atol=NOTHING)


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6])
def test_single_precision_keeps_its_digits_however_small_the_errors_are(parasol, image, size):
    """Only errors are carried through the chain, none is told from a difference: a relative 6e-8 per operation is all that
    is lost, of a pixel's gap that is itself a sum of larger ones a few times that."""
    sources = {
        "polariser_orientation": {"sigma": 0.1 * size},
        "relative_transmission": {"sigma": 2e-3 * size},
        "non_linearity": {"sigma": 0.01 * size},
        "hf_equalisation": {"sigma": 1e-3 * size},
    }
    double, single = (
        realise(parasol, image["670P"], sources, range(2), strata=whole, precision=kind).rows[:, 0, :, :FIRST_QUANTILE]
        for kind in ("float64", "float32")
    )
    assert (single != double).all()  # so it is single precision indeed
    np.testing.assert_allclose(single[..., STD], double[..., STD], rtol=1e-6)
    np.testing.assert_allclose(single, double, rtol=1e-6, atol=1e-6 * double[..., [STD]].max())


def test_single_precision_changes_no_draw(parasol, image):
    """The same realisations in both precisions differ by the floor alone."""
    sources = {
        "relative_transmission": {"sigma": 2e-3},
        "hf_equalisation": {"sigma": 1e-3},
        "radiometric_noise": {"snr": 200},
    }
    double, single = (
        realise(parasol, image["490P"], sources, range(2), strata=whole, precision=kind).rows[:, 0, : DOLP + 1]
        for kind in ("float64", "float32")
    )
    np.testing.assert_allclose(single[..., :STD], double[..., :STD], atol=2e-7)
    np.testing.assert_allclose(single[..., STD], double[..., STD], rtol=1e-5)  # (floor / spread)² and rounding
    assert np.abs(double[..., MEAN]).max() > 1e-4


# --- sources together -------------------------------------------------------------------------------------------------

ALL = {
    "polariser_orientation": ("sigma", 0.5),
    "polariser_extinction": ("sigma", 0.3),
    "relative_transmission": ("sigma", 0.01),
    "hf_equalisation": ("sigma", 0.01),
    "radiometric_noise": ("snr", 100),
    "non_linearity": ("sigma", 0.05),
}


def sized(k):
    """Knobs of all sources with amplitudes k times those of ALL; noise is given by its inverse."""
    return {s: {knob: size / k if knob == "snr" else size * k} for s, (knob, size) in ALL.items()}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sources_together_have_exactly_the_draws_that_they_have_alone(parasol, direction):
    """Pixel by pixel and realisation by realisation the joint gap is the sum, up to a rest of second order.

    Ten times smaller errors leave a hundred times smaller rest, third orders a tenth of it. One draw that differed
    would leave a rest of first order, ten times smaller only.
    """
    scene = states(parasol, *lattice([0.1, 0.3], [0.2, 0.6], np.radians([-50.0, 0.0, 20.0, 70.0])), band="865P")

    def rest(k):
        knobs = sized(k)
        alone = [pixel_gaps(realise(parasol, scene, {s: knobs[s]}, range(20), direction)) for s in knobs]
        joint = pixel_gaps(realise(parasol, scene, knobs, range(20), direction))
        return joint - sum(alone), joint

    (large, joint), (small, _) = rest(0.1), rest(0.01)
    for q in range(5):
        assert np.abs(large[:, q]).max() > 1e-3 * np.abs(joint[:, q]).max()  # there is a second order to see
        np.testing.assert_allclose(small[:, q], large[:, q] / 100, atol=0.1 * np.abs(large[:, q]).max() / 100)


def test_adding_a_source_moves_no_draw_of_another(parasol):
    scene = states(parasol, 0.2, [0.2, 0.5], 0.3, band="490P")
    alone = realise(parasol, scene, {"relative_transmission": {"sigma": 0.01}}, range(5))
    zero = {**ZERO, "relative_transmission": {"sigma": 0.01}}
    together = realise(parasol, scene, zero, range(5))
    np.testing.assert_array_equal(together.drawn["relative_transmission"], alone.drawn["relative_transmission"])
    np.testing.assert_allclose(together.rows, alone.rows, atol=NOTHING)
