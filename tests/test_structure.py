"""What the errors of a triplet do whatever their size: facts of structure, and exact worst cases.

The facts and the numbers were derived apart from the package (Mueller calculus, all signs and angles tried).
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.equation import AOLP, DOLP, I, Q, U, gaps, lattice, pixel_gaps, realise, states, whole

from radsens.models.polarimeter import nominal

SIGNS = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
ANGLES = np.radians(np.arange(0.0, 60.0, 0.25))  # the triplet repeats every 60°; the maximum is flat
ROUNDING = 1e-14  # some tens of roundings of numbers near 1
TURN_ROUNDING = 1e-12  # the same of an angle in degrees, which is 1 / 2P as sensitive: 1e-14 × 57 / 0.2
P, CHI = lattice([0.1, 0.4, 1.0], np.radians(np.arange(-90.0, 90.0, 15.0)))


def turned(irm, delta):
    return replace(irm, orientation=irm.orientation + delta)


def faded(irm, t):
    return replace(irm, relative_transmission=irm.relative_transmission * (1 + t))


def loosened(irm, eta):
    return replace(irm, extinction=(1 - eta) / (1 + eta))


def drawn(matrix):
    """(realisation, polariser) from (realisation,) or one number."""
    return np.atleast_1d(matrix)[:, None] * np.ones(3)


# --- fact 1: what is common to the triplet ----------------------------------------------------------------------------

COMMON = np.array([-0.05, -1e-4, 2e-3, 0.03])


def test_a_common_orientation_error_only_turns_the_angle_of_polarisation_backwards(ideal):
    irm = nominal(ideal, "P1")
    found, _ = gaps(turned(irm, drawn(COMMON)), irm, states(ideal, 0.2, P, CHI), count=COMMON.size)
    assert np.abs(found[:, [I, DOLP]]).max() <= ROUNDING
    expected = np.degrees(-COMMON)[:, None] * np.ones(P.size)
    np.testing.assert_allclose(found[:, AOLP], expected, atol=TURN_ROUNDING)


def test_a_common_orientation_error_reaches_the_polarisation_when_the_optics_polarise(ideal):
    """The fact above is one of ε = 0: at ε = 0.03 and P = 0.3, one degree leaves up to 9.5e-4 of DoLP."""
    scene = states(ideal, 0.2, 0.3, ANGLES)
    everywhere = replace(scene, theta=np.ones(ANGLES.size))  # the azimuths stay, ε becomes uniform
    irm = replace(nominal(ideal, "P1"), optics_polarisation=(0.03, 0.0))
    found, _ = gaps(turned(irm, drawn(np.radians(1.0))), irm, everywhere)
    # the largest over 240 pairs of χ and φ comes within 5 % of the largest of all
    np.testing.assert_allclose(np.abs(found[0, DOLP]).max(), 9.5e-4, rtol=0.05)


def test_a_common_transmission_error_is_a_pure_gain(ideal):
    irm = nominal(ideal, "P1")
    found, _ = gaps(faded(irm, drawn(COMMON)), irm, states(ideal, 0.2, P, CHI), count=COMMON.size)
    np.testing.assert_allclose(found[:, I], COMMON[:, None] * np.ones(P.size), atol=ROUNDING)
    assert np.abs(found[:, DOLP]).max() <= ROUNDING
    assert np.abs(found[:, AOLP]).max() <= TURN_ROUNDING


def test_a_common_efficiency_error_only_scales_the_degree_of_polarisation(ideal):
    irm = nominal(ideal, "P1")
    loss = np.array([-0.2, -1e-3, -1e-5])
    found, _ = gaps(loosened(irm, 1 + drawn(loss)), irm, states(ideal, 0.2, P, CHI), count=loss.size)
    np.testing.assert_allclose(found[:, DOLP], loss[:, None] * P, atol=ROUNDING)
    assert np.abs(found[:, I]).max() <= ROUNDING
    assert np.abs(found[:, AOLP]).max() <= TURN_ROUNDING


# --- facts 2 and 3: unpolarised light ---------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["instrument", "knowledge"])
def test_orientation_and_efficiency_errors_make_no_polarisation_of_unpolarised_light(ideal, parasol, direction):
    for instrument, band in ((ideal, "P1"), (parasol, "490P")):
        irm = nominal(instrument, band)
        flat = replace(irm, optics_polarisation=(0.0, 0.0))
        wrong = [turned(flat, np.radians([5.0, -3.0, 8.0])), loosened(flat, np.array([0.9, 0.95, 0.8]))]
        for one in wrong:
            pair = (one, flat) if direction == "instrument" else (flat, one)
            found, _ = gaps(*pair, states(instrument, 0.2, 0.0, 0.0, pixels=50, band=band))
            assert np.abs(found[0, [I, DOLP]]).max() <= ROUNDING


def test_transmission_noise_equalisation_offset_and_optics_make_polarisation_of_unpolarised_light(ideal):
    irm = nominal(ideal, "P1")
    scene = states(ideal, 0.2, np.zeros(40), 0.0)
    bent_optics = replace(irm, optics_polarisation=(0.01, 0.0))
    makers = {
        "transmission": gaps(faded(irm, np.array([0.0, 1e-3, 0.0])), irm, scene)[0],
        "offset": gaps(irm, irm, scene, disturbed=np.array([[0.0], [1.0], [0.0]]))[0],
        "optics": gaps(bent_optics, irm, scene, optics=irm)[0],
        "noise": pixel_gaps(realise(ideal, scene, {"radiometric_noise": {"snr": 200}}, range(1))),
        "equalisation": pixel_gaps(realise(ideal, scene, {"hf_equalisation": {"sigma": 1e-3}}, range(1))),
    }
    for name, found in makers.items():
        assert found[0, DOLP].max() > 1e-4, name
        assert found[0, DOLP].min() >= 0, name  # a degree of polarisation is positive


def test_one_transmission_off_by_a_thousandth_makes_two_thirds_of_it_of_polarisation(ideal):
    """DoLP = 2t/3 / (1 + t/3) exactly: 6.7e-4."""
    irm = nominal(ideal, "P1")
    for a in range(3):
        found, _ = gaps(faded(irm, 1e-3 * np.eye(3)[a]), irm, states(ideal, 0.2, 0.0, 0.0))
        np.testing.assert_allclose(found[0, DOLP], 2e-3 / 3 / (1 + 1e-3 / 3), atol=ROUNDING)
        np.testing.assert_allclose(found[0, DOLP], 6.7e-4, atol=5e-6)


def test_the_polarisation_made_by_errors_of_transmission_follows_rayleighs_law(ideal):
    """q and u are independent of σ √(2/3): their modulus has mean 1.023 σ, rms 1.155 σ, 95 % below 2.00 σ."""
    sigma, n = 1e-4, 20_000
    scene = states(ideal, 0.2, 0.0, 0.0, band="P1")
    found = pixel_gaps(realise(ideal, scene, {"relative_transmission": {"sigma": sigma}}, range(n)))[:, :, 0] / sigma
    law = stats.rayleigh(scale=np.sqrt(2 / 3))
    np.testing.assert_allclose([law.mean(), np.sqrt(law.moment(2)), law.ppf(0.95)], [1.023, 1.155, 2.0], atol=2e-3)
    # an exact law and independent draws: p is uniform, below 1e-3 once in a thousand seeds
    assert stats.kstest(found[:, DOLP], law.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(found[:, Q], found[:, U])[0, 1]) < 4 / np.sqrt(n)


# --- facts 4 and 5: angle and response --------------------------------------------------------------------------------


def test_the_sensitivity_repeats_every_sixty_degrees_of_the_angle_of_polarisation(ideal):
    """All but Q and U, which are components: a turn of the light by 60° is a renumbering of the polarisers."""
    irm = nominal(ideal, "P1")
    delta = np.radians([0.3, -0.2, 0.5])
    chi = np.radians(np.arange(-90.0, 30.0, 7.0))
    here, _ = gaps(turned(irm, delta), irm, states(ideal, 0.2, 0.5, chi))
    there, _ = gaps(turned(irm, np.roll(delta, 1)), irm, states(ideal, 0.2, 0.5, chi + np.pi / 3))
    np.testing.assert_allclose(there[0, [I, DOLP]], here[0, [I, DOLP]], atol=ROUNDING)
    np.testing.assert_allclose(there[0, AOLP], here[0, AOLP], atol=TURN_ROUNDING)
    assert np.ptp(here[0, DOLP]) > 1e-3  # and it does vary in between


QUADRATIC, CUBIC = 2, 3
# Percent at a mean signal of full scale, deviation 1 % there; as rounded in the derivation.
RESPONSE = [(QUADRATIC, 0.3, 0.80, 1.09), (QUADRATIC, 0.8, 0.28, 1.07), (CUBIC, 0.3, 1.5, 2.35)]


@pytest.mark.parametrize(("order", "p", "lowest", "highest"), RESPONSE)
def test_a_response_off_by_one_percent_changes_the_polarisation_according_to_its_angle(ideal, order, p, lowest, highest):
    irm = nominal(ideal, "P1")
    wrong = replace(irm, non_linearity=0.01, non_linearity_order=order)
    found, _ = gaps(wrong, irm, states(ideal, 1.0, p, ANGLES))
    percent = 100 * found[0, DOLP] / p
    np.testing.assert_allclose([percent.min(), percent.max()], [lowest, highest], atol=5e-3 if order == 2 else 3e-2)


@pytest.mark.parametrize(("order", "expected"), [(QUADRATIC, 0.01), (CUBIC, 0.02)])
def test_weak_polarisation_changes_by_the_logarithmic_slope_of_the_response(ideal, order, expected):
    """ΔP/P → d ln(f/S) / d ln S = (n − 1) b / (1 + b), within b² and, over a whole turn of χ, within P²."""
    irm = nominal(ideal, "P1")
    wrong = replace(irm, non_linearity=0.01, non_linearity_order=order)
    found, _ = gaps(wrong, irm, states(ideal, 1.0, 1e-3, ANGLES))
    np.testing.assert_allclose(found[0, DOLP].mean() / 1e-3, expected / 1.01, rtol=1e-5)


@pytest.mark.parametrize("order", [QUADRATIC, CUBIC])
def test_a_bent_response_polarises_unpolarised_light_only_if_the_samples_differ(ideal, parasol, order):
    for instrument, band, polarises in ((ideal, "P1", False), (parasol, "490P", True)):
        irm = replace(nominal(instrument, band), high_frequency=0.0, optics_polarisation=(0.0, 0.0))
        wrong = replace(irm, non_linearity=0.01, non_linearity_order=order)
        found, _ = gaps(wrong, irm, states(instrument, 0.5, 0.0, 0.0, band=band))
        made = found[0, DOLP, 0]
        assert (made > 1e-5) if polarises else (made <= ROUNDING)


# --- fact 7: correlation of the equalisation --------------------------------------------------------------------------


@pytest.mark.parametrize(("rho", "sigma_q", "sigma_i"), [(0.0, 8.2e-4, 5.8e-4), (0.9, 2.6e-4, 9.7e-4), (0.99, 8e-5, 1.0e-3)])
def test_equalisation_noise_common_to_the_triplet_makes_no_polarisation(ideal, rho, sigma_q, sigma_i):
    """Rounded to two figures in the note; 60 000 pixels know a standard deviation to 1.2 % at four sigma."""
    scene = states(ideal, 0.2, np.zeros(1), 0.0, pixels=60_000, band="P1")
    found = realise(ideal, scene, {"hf_equalisation": {"sigma": 1e-3, "correlation": rho}}, range(1), strata=whole)
    i, q, u = found.rows[0, 0, [I, Q, U], 1]
    np.testing.assert_allclose([q, u], np.sqrt(2 / 3 * (1 - rho)) * 1e-3, rtol=0.012)
    np.testing.assert_allclose(i, np.sqrt((1 + 2 * rho) / 3) * 1e-3, rtol=0.012)
    np.testing.assert_allclose([q, u, i], [sigma_q, sigma_q, sigma_i], rtol=0.012, atol=5e-6 if rho > 0 else 1e-5)


# --- exact worst cases over all signs and angles ----------------------------------------------------------------------

DEGREES_OF_POLARISATION = (0.0, 0.1, 0.2, 0.5, 1.0)
WORST = [
    ("orientation", 0.05, (0, 1.2e-4, 2.7e-4, 8.0e-4, 2.05e-3)),
    ("orientation", 0.1, (0, 2.5e-4, 5.3e-4, 1.59e-3, 4.1e-3)),
    ("orientation", 0.5, (0, 1.26e-3, 2.69e-3, 7.99e-3, 2.05e-2)),
    ("orientation", 1.0, (0, 2.54e-3, 5.42e-3, 1.61e-2, 4.11e-2)),
    ("transmission", 0.001, (1.33e-3, 1.39e-3, 1.44e-3, 1.50e-3, 1.33e-3)),
    ("transmission", 0.005, (6.7e-3, 7.0e-3, 7.2e-3, 7.5e-3, 6.7e-3)),
    ("transmission", 0.01, (1.34e-2, 1.40e-2, 1.44e-2, 1.50e-2, 1.34e-2)),
]


def half_a_figure(value):
    """Half a unit of the last of the figures that a number is printed with, here two or three; and rounding."""
    if value == 0:
        return ROUNDING
    mantissa = f"{value:.2e}"
    step = 0.1 if mantissa[3] == "0" else 0.01
    return 0.51 * step * 10.0 ** int(mantissa.split("e")[1])


@pytest.mark.parametrize(("name", "size", "table"), WORST)
def test_the_largest_change_of_polarisation_is_that_of_the_table(ideal, name, size, table):
    irm = nominal(ideal, "P1")
    wrong = turned(irm, np.radians(size) * SIGNS) if name == "orientation" else faded(irm, size * SIGNS)
    for p, expected in zip(DEGREES_OF_POLARISATION, table, strict=True):
        found, _ = gaps(wrong, irm, states(ideal, 0.3, p, ANGLES), count=len(SIGNS))
        np.testing.assert_allclose(np.abs(found[:, DOLP]).max(), expected, atol=half_a_figure(expected), rtol=0)


@pytest.mark.parametrize(
    ("scale", "intensity", "polarisation", "one"),
    [(0.02, 1.2e-2, -3.6e-3, 6.9e-3), (0.1, 2.4e-3, -7e-4, 1.4e-3), (0.3, 8e-4, -2.4e-4, 4.6e-4)],
)
def test_an_offset_of_one_count_weighs_on_dark_scenes(ideal, scale, intensity, polarisation, one):
    """P = 0.3, the mean signal a part `scale` of 4095 counts; on the three samples, then on one at the worst angle."""
    irm = nominal(ideal, "P1")
    scene = states(ideal, scale * 4095 / irm.full_scale, 0.3, ANGLES)
    found, _ = gaps(replace(irm, dark=irm.dark + 1.0), irm, scene)
    # two figures, or one: half a unit of the last
    np.testing.assert_allclose(found[0, I], intensity, rtol=0.03)
    np.testing.assert_allclose(found[0, DOLP], polarisation, rtol=0.05)
    found, _ = gaps(irm, irm, scene, disturbed=np.array([[0.0], [1.0], [0.0]]))
    np.testing.assert_allclose(found[0, DOLP].max(), one, rtol=0.02)
