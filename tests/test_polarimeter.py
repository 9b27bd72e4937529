"""The stages of the polarimeter: response and its inverse, what makes a realisation fail, stages in one call."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.equation import AOLP, gaps, realise, states, with_extinction
from tests.second_code import Chain, bent, straightened

from radsens.models import polarimeter
from radsens.models.polarimeter import (
    REASONS,
    bend,
    curve,
    monotone,
    nominal,
    parameters,
    pixel_table,
    unbend,
)
from radsens.realise import OUTCOMES
from radsens.schema import Fault

EPS = {np.float64: 2.0**-52, np.float32: 2.0**-23}


@pytest.fixture(scope="module")
def irm(ideal):
    return nominal(ideal, "P1")


def chain(irm, b, order, pinned):
    """The second code's view of the same response."""
    one = np.ones((1, 1))
    return Chain(irm.absolute_gain, one, one, one, one, one, one, one, irm.dark, irm.bits, b, order, pinned)


# --- the response -----------------------------------------------------------------------------------------------------


@st.composite
def responses(draw):
    """(b, order, x₀) for which f rises from zero to full scale, to within a hundredth of where it does not."""
    order = draw(st.sampled_from([2, 3]))
    pinned = draw(st.sampled_from([0.0, 0.3, 1.0]))
    least, most = -1 / (order - pinned ** (order - 1)), (1 / pinned ** (order - 1) if pinned else 3.0)
    return draw(st.floats(0.99 * least, min(0.99 * most, 3.0))), order, pinned


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@given(responses(), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_the_inverse_of_the_response_undoes_it(irm, kind, response, parts):
    """f⁻¹(f(S)) = S within the roundings of y = f(S), which 1 / f′ ≥ 1 magnifies."""
    b, order, pinned = response
    wrong = replace(irm, non_linearity=b, non_linearity_order=order, calibrated_at=pinned)
    c1, c2 = (kind(c) for c in curve(wrong))
    s = (np.array(parts) * irm.full_scale).astype(kind)
    error = np.zeros_like(s)
    bend(error, s, c1, c2, order)
    unbend(error, s, c1, c2, order)
    s64, e = s.astype(float), 1 + float(c1)
    slope = e + order * float(c2) * s64 ** (order - 1)
    response_and_terms = s64 * (1 + abs(e) + abs(float(c2)) * s64 ** (order - 1))  # its terms may cancel
    # at most 8 roundings of terms of this size, in f and in the last step of Newton; and those of S itself
    allowed = EPS[kind] * (8 * response_and_terms / slope + 4 * s64)
    assert (np.abs(error.astype(float)) <= allowed + np.finfo(kind).tiny).all()


@given(responses(), st.lists(st.floats(1e-3, 1), min_size=1, max_size=8))
def test_the_inverse_of_the_response_is_the_closed_one(irm, response, parts):
    """Square root, sine or hyperbolic sine; agreement to the 1e-12 asked of the whole, magnified by 1 / f′."""
    b, order, pinned = response
    wrong = replace(irm, non_linearity=b, non_linearity_order=order, calibrated_at=pinned)
    c1, c2 = curve(wrong)
    s = np.array(parts) * irm.full_scale
    y = bent(s, chain(irm, b, order, pinned))
    error = np.zeros_like(y)
    unbend(error, y, c1, c2, order)
    x = y + error
    slope = 1 + c1 + order * c2 * s ** (order - 1)
    conditioned = 1e-12 * irm.full_scale / slope / min(1 + c1, 1.0)
    expected = straightened(y, chain(irm, b, order, pinned)) if abs(b) > 1e-9 else s
    assert (np.abs(x - expected) <= conditioned + 1e-9 * abs(b)).all()


@pytest.mark.parametrize(("order", "b", "top"), [(2, -0.45, 1 / 1.8), (3, -0.3, 2 / 3 / np.sqrt(0.9))])
def test_a_signal_above_the_maximum_of_the_response_has_no_inverse(irm, order, b, top):
    """f tops at S_fs / 4|b| or at 2/3 S_fs / √(3|b|): beyond, whatever the signal, the result is no number."""
    c1, c2 = curve(replace(irm, non_linearity=b, non_linearity_order=order))
    x = np.array([0.999, 1.001, 1.2, 2.0, 2.9, 3.1, 10.0, 1e3]) * top * irm.full_scale
    error = np.zeros_like(x)
    unbend(error, x, c1, c2, order)
    assert np.isfinite(error[0])
    assert np.isnan(error[1:]).all()


@pytest.mark.parametrize("order", [2, 3])
def test_a_measurement_that_the_believed_response_cannot_give_is_a_failed_realisation(ideal, order):
    """A believed response that tops at 0.7 of full scale, a signal at 0.9: a failure with its reason, not a number."""
    scene = states(ideal, [0.3, 0.9], 0.0, 0.0, band="P1")
    found = realise(ideal, scene, {"non_linearity": {"sigma": 0.2, "order": order}}, range(400), "knowledge")
    b = found.drawn["non_linearity"]
    top = np.full_like(b, np.inf)
    bends = b < 0
    top[bends] = 1 / (4 * -b[bends]) if order == 2 else 2 / 3 / np.sqrt(3 * -b[bends])
    unphysical = REASONS.index("non-linearity not invertible")
    expected = np.where(b <= -1 / order, unphysical, np.where(top < 0.9, OUTCOMES.index("non-finite gap"), 0))
    np.testing.assert_array_equal(found.outcome, expected)
    assert set(expected) == {0, unphysical, OUTCOMES.index("non-finite gap")}
    assert np.isnan(found.rows[found.outcome > 0]).all()
    assert np.isfinite(found.rows[found.outcome == 0][:, :, :AOLP]).all()


def test_the_response_must_rise_up_to_full_scale(irm):
    """b > −1/2 for order 2 and > −1/3 for order 3; with the gain pinned at full scale also b < 1."""
    for order, pinned, least, most in (
        (2, 0.0, -1 / 2, np.inf),
        (3, 0.0, -1 / 3, np.inf),
        (2, 1.0, -1, 1),
        (3, 1.0, -1 / 2, 1),
    ):
        bounds = [least - 1e-9, least + 1e-9, 0.0, min(most, 1e6) - 1e-9]
        wrong = replace(irm, non_linearity=np.array(bounds), non_linearity_order=order, calibrated_at=pinned)
        np.testing.assert_array_equal(monotone(wrong), [False, True, True, True])
        if np.isfinite(most):
            assert not monotone(replace(wrong, non_linearity=most + 1e-9))


# --- what makes a realisation fail ------------------------------------------------------------------------------------


def reasons(actual, believed, count=1):
    return [REASONS[k] for k in parameters(actual, believed, count)[1]]


def test_the_actual_instrument_must_be_physical_and_the_believed_one_invertible(irm):
    beyond = replace(irm, extinction=np.array([0.0, -0.01, 0.0]))  # an efficiency above one
    reversed_ = replace(irm, extinction=np.array([0.0, 1.01, 0.0]))
    opaque = replace(irm, relative_transmission=np.array([1.0, 0.0, 1.0]))
    folded = replace(irm, non_linearity=-0.6)
    twins = replace(irm, orientation=np.radians([-60.0, 0.0, 0.0]))
    blind = replace(irm, extinction=np.ones(3))
    assert reasons(irm, irm) == ["ok"]
    assert reasons(beyond, irm) == reasons(reversed_, irm) == ["unphysical efficiency"]
    assert reasons(irm, beyond) == ["ok"]  # it is merely wrong
    assert reasons(opaque, irm) == ["unphysical transmission"]
    assert reasons(irm, opaque) == ["singular triplet"]
    assert reasons(folded, irm) == reasons(irm, folded) == ["non-linearity not invertible"]
    assert reasons(irm, twins) == reasons(irm, blind) == ["singular triplet"]
    assert reasons(twins, irm) == reasons(blind, irm) == ["ok"]  # such an instrument can exist


def test_a_failure_of_one_realisation_is_of_that_one_alone(irm):
    t = np.array([[0.0, 0.0, 0.0], [0.0, -1.2, 0.0], [0.1, 0.0, 0.0]])
    actual = replace(irm, relative_transmission=1 + t, non_linearity=np.array([0.0, 0.0, -0.7]))
    assert reasons(actual, irm, 3) == ["ok", "unphysical transmission", "non-linearity not invertible"]


def test_the_first_reason_is_told_when_there_are_several(irm):
    bad = replace(irm, extinction=-np.ones(3) / 2, relative_transmission=-np.ones(3), non_linearity=-0.9)
    assert reasons(bad, bad) == ["unphysical efficiency"]


def test_a_transmission_lost_by_the_draw_is_a_failed_realisation(ideal):
    """σ = 0.3 at most: the draws below −1 are 1 in 2300 per polariser, and exactly these fail."""
    scene = states(ideal, 0.2, 0.3, 0.2, band="P1")
    found = realise(ideal, scene, {"relative_transmission": {"sigma": 0.3}}, range(6000), "instrument")
    lost = (found.drawn["relative_transmission"] <= 0).any(axis=1)
    assert 1 <= lost.sum() <= 20
    np.testing.assert_array_equal(found.outcome == REASONS.index("unphysical transmission"), lost)


def test_an_intensity_that_is_not_positive_is_a_failed_realisation(ideal):
    """Noise as large as the signal makes I < 0 somewhere: such an image has no DoLP to average."""
    scene = states(ideal, 0.2, 0.3, 0.2, pixels=2000, band="P1")
    found = realise(ideal, scene, {"radiometric_noise": {"snr": 1}}, range(2))
    assert [OUTCOMES[k] for k in found.outcome] == ["retrieved intensity not positive"] * 2
    assert not found.totals.any()


# --- the nominal model ------------------------------------------------------------------------------------------------


def test_unpolarised_light_of_the_saturation_radiance_fills_the_scale_on_the_axis(parasol):
    """For a perfect triplet each sample is A T_a I / ... = I (1 + P cos …): P₁ = 1 carries no factor one half."""
    for name in parasol.band_names:
        irm, band, ccd = nominal(parasol, name), parasol.band(name), parasol.detector(name)
        top = irm.absolute_gain * band.saturation
        np.testing.assert_allclose(top, 2**ccd.bits - 1 - ccd.dark, rtol=1e-15)


def test_a_band_that_the_instrument_lacks_is_a_fault(parasol):
    with pytest.raises(Fault, match="parasol has no band '500P'"):
        nominal(parasol, "500P")


def test_extinction_and_efficiency_are_two_names_of_one_property(ideal):
    for ratio, eta in ((100.0, 0.9802), (200.0, 0.9900), (500.0, 0.9960), (1000.0, 0.9980), (1e4, 0.9998)):
        found = nominal(with_extinction(ideal, ratio), "P1").efficiency
        np.testing.assert_allclose(found, (ratio - 1) / (ratio + 1), rtol=1e-15)
        np.testing.assert_allclose(found, eta, atol=5e-5)  # as rounded in the note


def test_the_chain_in_one_call_is_its_stages_one_after_the_other(parasol):
    """`simulate`, which the spans run, against the stages composed as in tests/equation.py: the same bits."""
    for name in ("490P", "443NP"):
        scene = states(parasol, 0.2, np.linspace(0.1, 0.9, 64), 0.4, band=name)
        exact = nominal(parasol, name)
        wrong = replace(exact, non_linearity=0.02, relative_transmission=1.01 * exact.relative_transmission)
        p, _ = parameters(wrong, exact, 1)
        table = pixel_table(exact, scene, "test")
        samples = 3 if exact.polarised else 1
        out, d, (x, hit, common) = np.zeros((5 if samples == 3 else 1, 64)), np.zeros((samples, 64)), np.zeros((3, 64))
        addresses = [a.astype(np.uint32) for a in (scene.detector, scene.sample)]
        polarimeter.simulate(
            out, d, x, hit, np.zeros((6, 64), np.float32), common, np.zeros((4, 64), np.uint32), table, *addresses, 0,
            np.zeros((2, 4), np.uint32), p[0], polarimeter.switches(wrong, exact),
        )  # fmt: skip
        np.testing.assert_array_equal(out, gaps(wrong, exact, scene)[0][0])
