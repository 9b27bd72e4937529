"""First-order propagation of deterministic errors: the package against the closed forms, by finite differences.

The derivative is taken as [gap(+h) − gap(−h)] / 2h with h = 1e-5: the second order cancels, the third leaves
h² |gap‴| / 6, at most 1e-7 for the DoLP of at least 0.1 used here (the angle is the worst, gap‴ ~ P⁻³), and rounding
leaves 1e-16 / h = 1e-11. Hence TOLERANCE, per unit of error and in radians. That the sign is right is part of it.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests import closed_forms
from tests.equation import AOLP, DOLP, RADIANS, I, Q, U, gaps, lattice, states, with_extinction

from radsens.models.polarimeter import nominal

STEP = 1e-5
TOLERANCE = 1e-7
DIRECTIONS = ("instrument", "knowledge")
RATIOS = (None, 100.0, 8.0)

P, CHI = lattice([0.1, 0.3, 0.6, 1.0], np.radians([-90.0, -47.0, -15.0, 0.0, 10.0, 22.5, 30.0, 61.0]))
ROUNDING = 1e-14  # some tens of roundings of numbers near 1
TURN_ROUNDING = 1e-12  # the same of an angle in degrees, which is 1 / 2P as sensitive: 1e-14 × 57 / 0.2
RADIANCE = 0.3  # with one normalised radiance at full scale this is the mean signal in units of full scale


def efficiencies(ratio):
    return 1.0 if ratio is None else closed_forms.efficiency_of(ratio)


def errors_of_one_polariser(irm, name, h):
    """The model with the error ±h on each polariser in turn, (6, 3): +h on each, then −h."""
    step = np.concatenate([h * np.eye(3), -h * np.eye(3)])
    match name:
        case "orientation":
            return replace(irm, orientation=irm.orientation + step)
        case "transmission":
            return replace(irm, relative_transmission=irm.relative_transmission * (1 + step))
        case _:
            eta = irm.efficiency + step
            return replace(irm, extinction=(1 - eta) / (1 + eta))


def derivative(irm, wrong, scene, direction, count, **further):
    """[gap(+h) − gap(−h)] / 2h of the wrong model, whose first half of realisations has +h; AoLP in rad."""
    pair = (wrong, irm) if direction == "instrument" else (irm, wrong)
    found, _ = gaps(*pair, scene, count=2 * count, **further)
    found[:, AOLP:] *= RADIANS
    return (found[:count] - found[count:]) / (2 * STEP)


def assert_close(found, expected, p, chi, direction, tolerance=TOLERANCE):
    """All five quantities; found (..., quantity, pixel) and expected (ΔI/I, ΔDoLP, Δχ) in front."""
    sign = 1 if direction == "instrument" else -1
    np.testing.assert_allclose(found[..., [I, DOLP, AOLP], :], sign * np.moveaxis(expected, 0, -2), atol=tolerance, rtol=0)
    stokes = sign * np.moveaxis(closed_forms.stokes_gaps(p, chi, expected), 0, -2)
    np.testing.assert_allclose(found[..., [Q, U], :], stokes, atol=tolerance, rtol=0)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", closed_forms.PER_POLARISER)
def test_an_error_on_one_polariser_propagates_as_derived_for_any_efficiency(ideal, name, ratio, direction):
    instrument = with_extinction(ideal, ratio)
    scene = states(instrument, RADIANCE, P, CHI)
    irm = nominal(instrument, "P1")
    expected = closed_forms.PER_POLARISER[name](P, CHI, efficiencies(ratio))
    found = derivative(irm, errors_of_one_polariser(irm, name, STEP), scene, direction, 3)
    assert_close(found, expected, P, CHI, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("ratio", [500.0, 100.0, 8.0])
def test_an_error_on_the_extinction_is_one_on_the_efficiency_at_fixed_mean_transmission(ideal, ratio, direction):
    instrument = with_extinction(ideal, ratio)
    scene = states(instrument, RADIANCE, P, CHI)
    irm = nominal(instrument, "P1")
    wrong = replace(irm, extinction=irm.extinction * np.exp(STEP * np.concatenate([np.eye(3), -np.eye(3)])))
    rate = closed_forms.efficiency_per_log_extinction(ratio)
    expected = rate * closed_forms.efficiency(P, CHI, closed_forms.efficiency_of(ratio))
    assert_close(derivative(irm, wrong, scene, direction, 3), expected, P, CHI, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("order", "row"), [(2, closed_forms.quadratic), (3, closed_forms.cubic)])
@pytest.mark.parametrize("radiance", [0.05, 0.3, 0.6])
def test_a_non_linear_response_propagates_as_derived(ideal, order, row, radiance, direction):
    scene = states(ideal, radiance, P, CHI)
    irm = nominal(ideal, "P1")
    wrong = replace(irm, non_linearity=np.array([STEP, -STEP]), non_linearity_order=order)
    assert_close(derivative(irm, wrong, scene, direction, 1)[0], row(P, CHI, radiance), P, CHI, direction)


@pytest.mark.parametrize("order", [2, 3])
def test_the_calibration_pins_the_response_where_it_is_made(ideal, order):
    """Unpolarised light has no gap there whatever b, and elsewhere b (x^(n−1) − x₀^(n−1)) to first order."""
    pinned = 0.4
    x = np.array([0.1, pinned, 0.7])
    scene = states(ideal, x, 0.0, 0.0)
    irm = nominal(ideal, "P1")
    b = np.array([STEP, -STEP, 0.05])
    wrong = replace(irm, non_linearity=b, non_linearity_order=order, calibrated_at=pinned)
    found, _ = gaps(wrong, irm, scene, count=3)
    slope = (found[0, I] - found[1, I]) / (2 * STEP)
    np.testing.assert_allclose(slope, x ** (order - 1) - pinned ** (order - 1), atol=TOLERANCE, rtol=0)
    assert np.abs(found[:, I, 1]).max() <= ROUNDING


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_optics_polarise_as_derived(ideal, direction):
    scene = states(ideal, RADIANCE, P, CHI)
    phi, theta = np.arctan2(scene.y, scene.x), scene.theta
    irm = nominal(ideal, "P1")

    def gap(h):
        wrong = replace(irm, optics_polarisation=(h, 0.0))
        pair = (wrong, irm) if direction == "instrument" else (irm, wrong)
        found, _ = gaps(pair[0], pair[1], scene, optics=pair[1])
        found[:, AOLP] *= RADIANS
        return found[0] / theta**2

    expected = closed_forms.diattenuation(P, CHI, phi)
    assert_close((gap(STEP) - gap(-STEP)) / (2 * STEP), expected, P, CHI, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_optics_polarise_unpolarised_light_positively_whatever_the_sign_of_their_error(ideal, sign, direction):
    scene = states(ideal, RADIANCE, np.zeros(12), 0.0)
    irm = nominal(ideal, "P1")
    wrong = replace(irm, optics_polarisation=(sign * STEP, 0.0))
    pair = (wrong, irm) if direction == "instrument" else (irm, wrong)
    found, _ = gaps(*pair, scene, optics=pair[1])
    # DoLP = |ε| of at most 1e-5, and I keeps to 1 + ε² when Q and U vanish
    np.testing.assert_allclose(found[0, DOLP], STEP * scene.theta**2, rtol=1e-9, atol=ROUNDING)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_intensity_of_an_unpolarised_band_depends_on_the_polarisation_of_the_optics(ideal, direction):
    scene = states(ideal, RADIANCE, P, CHI, band="N1")
    phi = np.arctan2(scene.y, scene.x)
    irm = nominal(ideal, "N1")
    eps = 0.004  # the residual of Qian 2017: 0.4 % of I at P = 1
    wrong = replace(irm, optics_polarisation=(eps, 0.0))
    pair = (wrong, irm) if direction == "instrument" else (irm, wrong)
    found, _ = gaps(*pair, scene, optics=pair[1])
    x = closed_forms.unpolarised_diattenuation(P, CHI, phi) * eps * scene.theta**2
    exact = x if direction == "instrument" else -x / (1 + x)
    np.testing.assert_allclose(found[0, I], exact, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("order", [2, 3])
def test_the_intensity_of_an_unpolarised_band_follows_the_response(ideal, order):
    x = np.array([0.05, 0.3, 0.8])
    scene = states(ideal, x, 0.2, 0.3, band="N1")
    irm = nominal(ideal, "N1")
    wrong = replace(irm, non_linearity=np.array([STEP, -STEP]), non_linearity_order=order)
    found, _ = gaps(wrong, irm, scene, count=2)
    slope = (found[0, I] - found[1, I]) / (2 * STEP)
    np.testing.assert_allclose(slope, closed_forms.unpolarised_non_linearity(x, order), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("counts", [1.0, -1.0, 30.0])
def test_a_common_offset_of_the_counts_adds_intensity_and_no_angle(ideal, counts):
    """Exact: I grows by the offset, Q and U stay. When it is the processing that believes in one, I loses it."""
    scene = states(ideal, RADIANCE, P, CHI)
    irm = nominal(ideal, "P1")
    wrong = replace(irm, dark=irm.dark + counts)
    x = counts / (irm.full_scale * RADIANCE)
    for pair, offset in (((wrong, irm), x), ((irm, wrong), -x)):
        found, _ = gaps(*pair, scene)
        expected = closed_forms.common_offset(P, np.full_like(P, offset))
        np.testing.assert_allclose(found[0, [I, DOLP]], expected[:2], atol=ROUNDING, rtol=0)
        np.testing.assert_allclose(found[0, AOLP], expected[2], atol=TURN_ROUNDING)


@pytest.mark.parametrize(("extinction_ratio", "published"), [(100.0, -0.0198), (1000.0, -0.0020)])
@pytest.mark.parametrize("chi", [0.0, 0.4, -1.2])
def test_believing_perfect_polarisers_loses_a_fixed_part_of_the_polarisation(ideal, extinction_ratio, published, chi):
    instrument = with_extinction(ideal, extinction_ratio)
    p = np.array([0.1, 0.5, 1.0])
    irm = nominal(instrument, "P1")
    found, _ = gaps(irm, replace(irm, extinction=np.zeros(3)), states(instrument, RADIANCE, p, chi))
    expected = closed_forms.assumed_ideal(p, extinction_ratio)
    np.testing.assert_allclose(found[0, DOLP], expected, atol=ROUNDING)
    np.testing.assert_allclose(expected / p, published, atol=5e-5)  # as rounded in the note
    assert np.abs(found[0, I]).max() <= ROUNDING
    assert np.abs(found[0, AOLP]).max() <= TURN_ROUNDING


KNOWN = np.array([-0.02, 0.001, 0.03])


def test_believing_a_common_efficiency_that_is_wrong_scales_the_polarisation(ideal):
    instrument = with_extinction(ideal, 20.0)
    irm, eta = nominal(instrument, "P1"), closed_forms.efficiency_of(20.0)
    wrong = eta + KNOWN[:, None] * np.ones(3)
    found, outcome = gaps(irm, replace(irm, extinction=(1 - wrong) / (1 + wrong)), states(instrument, 0.2, P, CHI), count=3)
    expected = closed_forms.knowledge_of_efficiency(P, KNOWN[:, None], eta)
    np.testing.assert_allclose(found[:, DOLP], expected, atol=ROUNDING)
    assert not outcome.any()


def test_believing_a_common_transmission_that_is_wrong_is_a_gain(ideal):
    irm = nominal(ideal, "P1")
    believed = replace(irm, relative_transmission=1 + KNOWN[:, None] * np.ones(3))
    found, _ = gaps(irm, believed, states(ideal, 0.2, P, CHI), count=3)
    expected = closed_forms.knowledge_of_transmission(KNOWN)[:, None]
    np.testing.assert_allclose(found[:, I], expected * np.ones_like(P), atol=ROUNDING)
    assert np.abs(found[:, DOLP]).max() <= ROUNDING


def test_believing_a_common_orientation_that_is_wrong_turns_the_polarisation_with_it(ideal):
    irm = nominal(ideal, "P1")
    found, _ = gaps(irm, replace(irm, orientation=irm.orientation + KNOWN[:, None]), states(ideal, 0.2, P, CHI), count=3)
    np.testing.assert_allclose(found[:, AOLP], np.degrees(KNOWN[:, None] * np.ones_like(P)), atol=TURN_ROUNDING)
    assert np.abs(found[:, [I, DOLP]]).max() <= ROUNDING


def test_the_two_directions_differ_at_second_order_only(ideal):
    """gap(instrument) + gap(knowledge) falls a hundredfold when the error falls tenfold; third orders leave 1 %."""
    irm = nominal(ideal, "P1")
    scene = states(ideal, 0.2, P, CHI)
    sums = []
    for size in (np.radians(0.1), np.radians(0.01)):
        wrong = replace(irm, orientation=irm.orientation + size * np.array([1.0, -0.4, 0.7]))
        sums.append(gaps(wrong, irm, scene)[0] + gaps(irm, wrong, scene)[0])
    assert np.abs(sums[0][0, [I, DOLP]]).max() > 1e-7
    np.testing.assert_allclose(sums[1][0, [I, DOLP]], sums[0][0, [I, DOLP]] / 100, atol=0.01 * np.abs(sums[0]).max() / 100)
