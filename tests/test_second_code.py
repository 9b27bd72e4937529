"""The package against a second code of the same physics: Mueller products and 3×3 systems, pixel by pixel.

Draws and random fields are given to both; that they are what they should be is tested elsewhere (test_random.py).
"""

from dataclasses import replace

import numpy as np
import pytest
from tests import second_code
from tests.equation import AOLP, gaps, lattice, pixel_gaps, realise, states
from tests.second_code import Chain

from radsens.models.polarimeter import analyser, nominal, optics
from radsens.random import draws, field
from radsens.realise import Measurement

SEED = 20240229

# Both codes make some tens of roundings, and solve a system of condition number 1.5: 1e-14 of the signal. The angle, in
# degrees, is 57 / 2P as sensitive, 600 at the smallest DoLP here.
TOLERANCE = 1e-12
P, CHI, RADIANCE = lattice([0.05, 0.3, 0.7], np.radians([-80.0, -33.0, 0.0, 12.0, 45.0]), [0.05, 0.3])


def nominal_chain(instrument, name, scene):
    """The band as its file says, worked out again from the numbers of the file."""
    band, detector = instrument.band(name), instrument.detector(name)
    samples = 3 if band.polarised else 1
    radius = np.hypot(scene.x, scene.y)
    theta = np.arctan(radius)
    ratios = band.extinction_ratio if band.polarised else [1.0]
    rho = np.array([0.0 if ratio is None else 1 / ratio for ratio in ratios])[:, None]
    known = field(0, "inter_pixel", f"{instrument.name}.{name}", 0, scene.detector)[:samples]
    top = 2**detector.bits - 1
    return Chain(
        gain=(top - detector.dark) / band.saturation,
        transmission=np.array(band.relative_transmission if band.polarised else [1.0])[:, None],
        orientation=np.radians(band.orientation if band.polarised else [0.0])[:, None],
        eta=(1 - rho) / (1 + rho),
        eps=band.optics_polarisation[0] * theta**2 + band.optics_polarisation[1] * theta**4,
        phi=np.arctan2(scene.y, scene.x),
        low_frequency=1 + band.low_frequency[0] * theta**2 + band.low_frequency[1] * theta**4,
        high_frequency=1 + band.high_frequency * known.astype(float),
        dark=detector.dark,
        bits=detector.bits,
    )


def common_and_own(z, rho):
    """√ρ z_c + √(1−ρ) z_a, the common draw last, (polariser, 1)."""
    return (np.sqrt(rho) * z[3] + np.sqrt(1 - rho) * z[:3])[:, None]


def draw(source, place, realisation, count):
    return draws(SEED, source, place, range(realisation, realisation + 1), count)[0]


KNOBS = {
    "polariser_orientation": {"sigma": 0.3, "correlation": 0.2},
    "polariser_extinction": {"sigma": 0.25, "correlation": 0.4},
    "relative_transmission": {"sigma": 0.01, "correlation": 0.7},
    "hf_equalisation": {"sigma": 2e-3, "correlation": 0.5},
    "non_linearity": {"sigma": 0.05, "order": 2, "calibrated_at": 0.3},
}


def half_correlated(z):
    """Normals of unit variance and correlation ½ from three independent ones, (3, pixel): the symmetric root of
    [[1, ½, ½], [½, 1, ½], [½, ½, 1]], by its eigenvectors."""
    values, vectors = np.linalg.eigh(np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    return (vectors * np.sqrt(values)) @ vectors.T @ z


def wrong_chain(chain, name, scene, realisation, order):
    """All errors of KNOBS at once, of one realisation."""
    turn = common_and_own(draw("polariser_orientation", name, realisation, 4), 0.2)
    loss = common_and_own(draw("polariser_extinction", name, realisation, 4), 0.4)
    fade = common_and_own(draw("relative_transmission", name, realisation, 4), 0.7)
    z = field(SEED, "hf_equalisation", name, realisation, scene.detector).astype(float)
    rho = (1 - chain.eta) / (1 + chain.eta) * np.exp(0.25 * loss)
    return replace(
        chain,
        orientation=chain.orientation + np.radians(0.3) * turn,
        eta=(1 - rho) / (1 + rho),
        transmission=chain.transmission * (1 + 0.01 * fade),
        high_frequency=chain.high_frequency * (1 + 2e-3 * half_correlated(z)),
        b=0.05 * draw("non_linearity", "ccd", realisation, 1)[0],
        order=order,
        calibrated_at=0.3,
    )


def test_the_polarimetric_response_is_the_first_row_of_the_mueller_product(parasol):
    """[1, η cos 2α, η sin 2α] · O(ε, φ) against M_pol M_opt, to rounding, for large ε too."""
    scene = states(parasol, 0.2, np.full(60, 0.3), 0.1)
    irm = replace(nominal(parasol, "490P"), optics_polarisation=(0.4, 0.1))
    eps = 0.4 * scene.theta**2 + 0.1 * scene.theta**4
    assert eps.max() > 0.3
    phi = np.arctan2(scene.y, scene.x)
    found = np.einsum("ai,ijp->apj", analyser(irm), optics(irm, scene))
    expected = second_code.response(irm.efficiency[:, None], irm.orientation[:, None], eps, phi)
    np.testing.assert_allclose(found, expected, atol=5e-15)


def test_the_usual_first_order_response_departs_from_the_exact_one_by_half_the_square_of_the_diattenuation(parasol):
    """In P₂ and P₃, by at most ε²/2 and about that: a package that used it would not pass the test above."""
    irm = nominal(parasol, "490P")
    eps, phi = 0.05, np.radians(np.arange(0.0, 180.0, 5.0))
    arguments = irm.efficiency[:, None], irm.orientation[:, None], eps, phi
    departure = np.abs(second_code.response(*arguments) - second_code.hagolle(*arguments)).max()
    assert 0.8 * eps**2 / 2 < departure <= eps**2 / 2 * (1 + eps**2)


def test_optics_on_the_axis_have_no_azimuth(parasol):
    """ε vanishes there, and so must 0/0."""
    scene = states(parasol, 0.2, 0.3, 0.1)
    on_axis = replace(scene, x=np.zeros(1), y=np.zeros(1), theta=np.zeros(1))
    np.testing.assert_array_equal(optics(nominal(parasol, "490P"), on_axis)[..., 0], np.eye(3))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("direction", ["instrument", "knowledge"])
@pytest.mark.parametrize("band", ["490P", "865P"])
def test_all_deterministic_errors_together_give_the_gaps_of_the_second_code(parasol, band, direction, order):
    scene = states(parasol, RADIANCE, P, CHI, band=band)
    sources = {**KNOBS, "non_linearity": {**KNOBS["non_linearity"], "order": order}}
    span = range(40, 43)
    found = realise(parasol, scene, sources, span, direction, seed=SEED)
    assert not found.outcome.any()
    exact = nominal_chain(parasol, band, scene)
    for r, gap in zip(span, pixel_gaps(found), strict=True):
        wrong = wrong_chain(exact, band, scene, r, order)
        actual, believed = (wrong, exact) if direction == "instrument" else (exact, wrong)
        back = second_code.retrieved(second_code.measured(scene.stokes, actual), believed)
        expected = second_code.differences(back, scene.stokes)
        np.testing.assert_allclose(gap[:AOLP], expected[:AOLP], atol=TOLERANCE)
        np.testing.assert_allclose(gap[AOLP], expected[AOLP], atol=600 * TOLERANCE)
        assert np.abs(expected).max(axis=1).min() > 1e-3  # every quantity is put to the test


@pytest.mark.parametrize("model", ["snr", "instrument"])
@pytest.mark.parametrize("digital", [False, True])
def test_noise_enters_after_the_response_and_before_the_rounding_of_the_counts(parasol, model, digital):
    scene = states(parasol, 3 * RADIANCE, P, CHI, band="670P")  # up to 1.4 times full scale
    knobs = {"snr": 100} if model == "snr" else {"model": "instrument"}
    sources = {"radiometric_noise": knobs, "non_linearity": KNOBS["non_linearity"]}
    setting = Measurement(quantisation=digital, saturation=digital)
    found = realise(parasol, scene, sources, range(3, 5), "instrument", seed=SEED, measurement=setting)
    exact, ccd = nominal_chain(parasol, "670P", scene), parasol.detector("670P")
    for r, gap in zip(range(3, 5), pixel_gaps(found), strict=True):
        z = field(SEED, "radiometric_noise", "670P", r, scene.sample)[:3].astype(float)
        b = 0.05 * draw("non_linearity", "ccd", r, 1)[0]
        bent = replace(exact, b=b, calibrated_at=0.3)
        clean = second_code.measured(scene.stokes, bent) - bent.dark
        if model == "snr":
            sigma = (second_code.measured(scene.stokes, exact) - exact.dark).mean(axis=0) / 100
        else:
            sigma = np.sqrt(ccd.read_noise**2 + ccd.shot * clean)
        counts = second_code.measured(scene.stokes, bent, sigma * z, digital, digital)
        assert (counts.max() == 2**bent.bits - 1) == digital
        expected = second_code.differences(second_code.retrieved(counts, exact), scene.stokes)
        np.testing.assert_allclose(gap[:AOLP], expected[:AOLP], atol=TOLERANCE)
        np.testing.assert_allclose(gap[AOLP], expected[AOLP], atol=600 * TOLERANCE)


@pytest.mark.parametrize("direction", ["instrument", "knowledge"])
def test_an_unpolarised_band_gives_the_intensity_of_the_second_code(parasol, direction):
    scene = states(parasol, RADIANCE, P, CHI, band="443NP")
    sources = {k: KNOBS[k] for k in ("hf_equalisation", "non_linearity")}
    found = realise(parasol, scene, sources, range(2), direction, seed=SEED)
    exact = nominal_chain(parasol, "443NP", scene)
    for r, gap in enumerate(pixel_gaps(found)):
        z = field(SEED, "hf_equalisation", "443NP", r, scene.detector).astype(float)
        h = 2e-3 * z[:1]
        b = 0.05 * draw("non_linearity", "ccd", r, 1)[0]
        wrong = replace(exact, high_frequency=exact.high_frequency * (1 + h), b=b, calibrated_at=0.3)
        actual, believed = (wrong, exact) if direction == "instrument" else (exact, wrong)
        counts = second_code.measured(scene.stokes, actual)
        intensity = second_code.retrieved_intensity(counts, believed, scene.stokes)
        np.testing.assert_allclose(gap[0], intensity / scene.stokes[0] - 1, atol=TOLERANCE)
        assert gap.shape[0] == 1  # the intensity alone


def test_the_gap_of_an_angle_is_wrapped_between_minus_and_plus_ninety_degrees(ideal):
    """Polarisers believed turned by up to a whole turn turn the angle as much, modulo 180°, at every angle there is."""
    turn = np.arange(-177.0, 180.0, 4.0)  # never 90, where rounding decides the sign
    scene = states(ideal, 0.2, 0.5, np.radians(np.arange(-90.0, 90.0, 7.5)), band="P1")
    irm = nominal(ideal, "P1")
    believed = replace(irm, orientation=irm.orientation + np.radians(turn)[:, None])
    found, _ = gaps(irm, believed, scene, count=turn.size)
    expected = 90 - (90 - turn) % 180
    assert expected.min() > -90
    np.testing.assert_allclose(found[:, AOLP], expected[:, None] * np.ones(scene.theta.size), atol=TOLERANCE * 60)
