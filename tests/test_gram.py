"""The Gram tier says of each realisation what the pass over the pixels finds: exactly, in expectation, or to first order."""

from dataclasses import replace

import numpy as np
import pytest
from tests import closed_forms
from tests.equation import AOLP, DOLP, RMS, I, Q, U, lattice, states, whole

from radsens import gram, realise
from radsens.gaps.quantities import QUANTITIES
from radsens.gaps.strata import Strata, partition
from radsens.models import polarimeter
from radsens.realise import Measurement, Task, pixels_of, realise_band, staged
from radsens.sources import SOURCES

LINEAR = [I, Q, U]
SCALAR = {
    "polariser_orientation": {"sigma": 0.5},
    "polariser_extinction": {"sigma": 0.5},
    "relative_transmission": {"sigma": 0.01},
}
OVERLAPPING = Strata(field=(0, 20, 40, 65), dolp=(0, 0.1, 0.4, 1), radiance=(0, 0.1, 1), cross=("field", "dolp"))


def scene_of(instrument, band, dolp=(0.05, 0.3, 0.7), pixels=12):
    """States of polarisation all around, two radiances, over the whole field."""
    return states(instrument, *lattice([0.05, 0.4], dolp, np.radians([-70, -20, 10, 50, 85])), pixels, band)


def stage_of(instrument, sources, direction="knowledge", span=range(4), band="490P", scene=None, strata=None, **measurement):
    """A band made ready, with all strata that overlap unless others are given."""
    task = Task(
        instrument=instrument.name,
        seed=11,
        error_in=direction,
        precision="float64",
        measurement=Measurement(**measurement),
        sources=sources,
    )
    active = [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]
    scene = scene_of(instrument, band) if scene is None else scene
    part = partition(OVERLAPPING, scene) if strata is None else strata(scene)
    return staged(task, instrument, scene, part, active, span), active


def both(*arguments, **settings):
    """Moments by the Gram tier, and rows of the pass over the pixels, of the same stage."""
    stage, active = stage_of(*arguments, **settings)
    rows = realise_band(stage.task, stage.instrument, stage.scene, stage.partition, active, stage.span).rows
    return gram.predicted(stage)[0], rows


def direct(stage):
    """Mean and rms of the linear gaps of each stratum, by their definition, pixel by pixel in extended precision.

    (realisation, stratum, 3) each. The matrices are those of the kernels.
    """
    setting = stage.setting
    t = pixels_of(setting.nominal, stage.instrument, stage.scene).astype(np.longdouble)
    p, _ = polarimeter.parameters(setting.actual, setting.believed, len(stage.span))
    wrong, m = (p[:, k : k + 9].reshape(-1, 3, 3).astype(np.longdouble) for k in (polarimeter.WRONG, polarimeter.INVERSE))
    e = (m[..., None] * wrong[:, None]).sum(axis=2)
    j = t[polarimeter.J + np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])]
    gaps = (j[None] * (e[..., None] * t[polarimeter.B : polarimeter.B + 3]).sum(axis=2)[:, None]).sum(axis=2)
    part = stage.partition
    inside = [(part.members[part.cell] == s).any(axis=1) for s in range(len(part.names))]
    mean = np.stack([gaps[..., here].mean(axis=-1) for here in inside if here.any()], axis=1)
    square = np.stack([(gaps[..., here] ** 2).mean(axis=-1) for here in inside if here.any()], axis=1)
    return mean, np.sqrt(square), np.array([here.any() for here in inside])


SETS = [*[[name] for name in SCALAR], [*SCALAR]]


@pytest.mark.parametrize("direction", ["knowledge", "instrument"])
@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_moments_of_linear_gaps_are_exact_in_every_stratum_under_scalar_sources(parasol, names, direction):
    """To 1e-12 of the rms, against the definition in extended precision."""
    stage, _ = stage_of(parasol, {name: SCALAR[name] for name in names}, direction)
    found, kinds = gram.predicted(stage)
    mean, rms, there = direct(stage)
    assert [gram.KINDS[k] for k in kinds] == ["exact"] * 3 + ["first order"] * 2
    assert (np.abs(found.rms[:, there][..., LINEAR] - rms) < 1e-12 * rms).all()
    assert (np.abs(found.mean[:, there][..., LINEAR] - mean) < 1e-12 * rms).all()


@pytest.mark.parametrize("direction", ["knowledge", "instrument"])
@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_a_realisation_of_the_gram_tier_is_that_of_the_pass_over_the_pixels(parasol, names, direction):
    """To 1e-12 of the rms, as no stage of the pass subtracts from a number nearly as large."""
    found, rows = both(parasol, {name: SCALAR[name] for name in names}, direction)
    rms = rows[..., LINEAR, RMS]
    there = np.isfinite(rms)
    assert (np.abs(found.mean[..., LINEAR] - rows[..., LINEAR, 0])[there] <= 1e-12 * rms[there]).all()
    assert (np.abs(found.rms[..., LINEAR] - rms)[there] <= 1e-12 * rms[there]).all()
    std = gram.std(found.mean, found.rms)[..., LINEAR]
    np.testing.assert_allclose(std[there], rows[..., LINEAR, 1][there], rtol=1e-9, atol=1e-12)


FIRST_ORDER = {
    "polariser_orientation": ({"sigma": 0.2}, [DOLP, AOLP]),
    "relative_transmission": ({"sigma": 0.004}, [DOLP, AOLP]),
    "non_linearity": ({"sigma": 0.02, "calibrated_at": 0.1}, [I, Q, U, DOLP, AOLP]),
}


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_what_is_left_of_a_first_order_falls_as_the_amplitude_squared(parasol, name):
    """A quarter of the amplitude leaves a sixteenth of the difference of the means; a third order moves that by some per cent."""
    knobs, quantities = FIRST_ORDER[name]
    left = []
    for scale in (1, 0.25):
        sources = {name: {**knobs, "sigma": scale * knobs["sigma"]}}
        found, rows = both(parasol, sources, strata=whole)
        difference = found.mean - rows[..., 0]
        assert (np.abs(difference) < 0.1 * found.rms)[..., quantities].all()
        left.append(np.abs(difference).mean(axis=(0, 1))[quantities])
    np.testing.assert_allclose(left[0] / left[1], 16, rtol=0.15)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("band", ["490P", "565NP"])
def test_a_bent_response_that_the_processing_does_not_know_is_exact(parasol, band, order):
    """It is linear in b, and the retrieval is linear: no second order in I, Q, U, in triplets and in unpolarised bands."""
    found, rows = both(parasol, {"non_linearity": {"sigma": 0.02, "order": order, "calibrated_at": 0.3}}, "instrument", band=band)
    linear = LINEAR if band == "490P" else [I]
    np.testing.assert_allclose(found.mean[..., linear], rows[..., linear, 0], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(found.rms[..., linear], rows[..., linear, RMS], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_equalisation_noise_has_the_rms_of_the_closed_form(ideal, rho):
    """DoLP and AoLP to the first order, which the closed form is too; a square that cancels leaves its root, 1e-8 of σ."""
    scene = states(ideal, 0.2, 0.3, np.radians(25), 40, "P1")
    stage, _ = stage_of(ideal, {"hf_equalisation": {"sigma": 1e-3, "correlation": rho}}, band="P1", scene=scene, strata=whole)
    found, _ = gram.predicted(stage)
    i, dolp, aolp = 1e-3 * np.array(closed_forms.correlated_transmission(0.3, np.radians(25), rho))
    expected = [i, dolp, np.degrees(aolp)]
    np.testing.assert_allclose(found.rms[0, 0, [I, DOLP, AOLP]], expected, rtol=1e-12, atol=2e-11)
    assert np.abs(found.mean).max() < 1e-13


def test_noise_of_three_samples_is_divided_by_the_root_of_three_in_the_intensity(ideal):
    """The SNR of I is √3 that of a sample, and Q and U, being 2/3 Σ X cos and 2/3 Σ X sin, have √2 the noise of I."""
    scene = states(ideal, 0.2, 0.3, np.radians(25), 40, "P1")
    stage, _ = stage_of(ideal, {"radiometric_noise": {"snr": 200}}, band="P1", scene=scene, strata=whole)
    found, kinds = gram.predicted(stage)
    one = 1 / (200 * np.sqrt(3))
    np.testing.assert_allclose(found.rms[0, 0, LINEAR], [one, np.sqrt(2) * one, np.sqrt(2) * one], rtol=1e-12)
    assert [gram.KINDS[k] for k in kinds[:3]] == ["expected"] * 3


@pytest.mark.parametrize(
    ("source", "rms"), [({"hf_equalisation": {"sigma": 2e-3}}, 2e-3), ({"radiometric_noise": {"snr": 250}}, 1 / 250)]
)
def test_the_one_sample_of_an_unpolarised_band_has_the_noise_of_the_sample(parasol, source, rms):
    found, _ = gram.predicted(stage_of(parasol, source, "instrument", band="565NP")[0])
    told = found.rms[np.isfinite(found.rms)]
    np.testing.assert_allclose(told, rms, rtol=1e-12)
    assert found.rms.shape[2] == 1


FIELDS = {
    "equalisation and scalars": {**SCALAR, "hf_equalisation": {"sigma": 0.003, "correlation": 0.4}},
    "ratio and scalars": {**SCALAR, "radiometric_noise": {"snr": 150}},
    "read and shot": {"radiometric_noise": {"model": "instrument"}},
    "both fields": {"hf_equalisation": {"sigma": 0.003}, "radiometric_noise": {"snr": 300}},
}


@pytest.mark.parametrize("name", FIELDS)
def test_mean_squares_under_random_fields_are_those_that_the_draws_let_expect(parasol, name):
    """Over 40 realisations the mean difference is within 5 of its standard errors, in every stratum; there are 57 of them."""
    found, rows = both(parasol, FIELDS[name], "instrument", span=range(40))
    difference = (rows[..., RMS] ** 2 - found.rms**2)[..., LINEAR]
    there = np.isfinite(difference[0, :, 0])
    difference = difference[:, there]
    error = difference.std(axis=0, ddof=1) / np.sqrt(40)
    assert (np.abs(difference.mean(axis=0)) < 5 * error).all()
    assert (error / (rows[..., RMS] ** 2)[..., LINEAR][:, there].mean(axis=0)).min() < 0.02  # the test can tell 10 %


def test_a_span_changes_no_bit_of_a_realisation(parasol):
    sources = {**SCALAR, "radiometric_noise": {"snr": 100}, "non_linearity": {"sigma": 0.01}}
    long, short = (gram.predicted(stage_of(parasol, sources, span=span)[0])[0] for span in (range(9), range(5, 9)))
    assert long.mean[5:].tobytes() == short.mean.tobytes() and long.rms[5:].tobytes() == short.rms.tobytes()


def test_kernels_are_their_equation_in_plain_python():
    """Compiled and interpreted give the same bits, and what numpy gives but for the order of the sums."""
    rng = np.random.default_rng(0)
    left, right, cells, lanes = rng.normal(size=(2, 96)), rng.normal(size=(3, 96)), np.array([0, 0, 1]), np.zeros(gram.LANES)
    found, plain = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    gram.row_products(found, left, right, cells, lanes)
    gram.row_products.py_func(plain, left, right, cells, lanes)
    np.testing.assert_array_equal(found, plain)
    for cell, here in enumerate((slice(0, 64), slice(64, 96))):
        np.testing.assert_allclose(found[cell], np.einsum("ai,bi->ab", left[:, here], right[:, here]), rtol=1e-12)
    out, same, e = np.empty((3, 5)), np.empty((3, 5)), rng.normal(size=(2, 5))
    gram.contract(out, found[0], e)
    gram.contract.py_func(same, found[0], e)
    np.testing.assert_array_equal(out, same)
    np.testing.assert_allclose(out, found[0].T @ e, rtol=1e-12)


def test_the_quadratic_form_is_the_square_of_the_bilinear_one():
    rng = np.random.default_rng(1)
    e, v, b, coefficients, same = rng.normal(size=(3, 3, 4)), rng.normal(size=3), rng.normal(size=3), *np.zeros((2, 36, 4))
    gram.add_form(coefficients, e, np.full(4, 2.0))
    gram.add_form.py_func(same, e, np.full(4, 2.0))
    means = [v[j] * v[i] * b[k] * b[h] for j, i in gram.TRIANGLE for k, h in gram.TRIANGLE]
    np.testing.assert_allclose(means @ coefficients, 2 * np.einsum("j,jkr,k->r", v, e, b) ** 2, rtol=1e-12)
    np.testing.assert_array_equal(coefficients, same)


def test_nothing_is_told_of_a_degree_of_polarisation_where_a_pixel_has_none(parasol):
    """√(q² + u²) has no differential at 0; the linear gaps have one, and the angle is excluded there."""
    scene = scene_of(parasol, "490P", dolp=(0.0, 0.5))
    found, _ = gram.predicted(stage_of(parasol, {"relative_transmission": {"sigma": 0.01}}, scene=scene, strata=whole)[0])
    assert np.isnan(found.rms[..., DOLP]).all()
    assert np.isfinite(found.rms[..., [I, Q, U, AOLP]]).all()


def test_draws_that_fail_have_no_moments(parasol):
    stage, _ = stage_of(parasol, {"relative_transmission": {"sigma": 0.3}}, "instrument", span=range(2000), strata=whole)
    found, _ = gram.predicted(stage)
    failed = stage.setting.outcome > 0
    assert 0 < failed.sum() < 100
    np.testing.assert_array_equal(np.isnan(found.rms[:, 0, I]), failed)


def test_of_a_wrong_dark_signal_nothing_is_told(parasol):
    stage, _ = stage_of(parasol, {"relative_transmission": {"sigma": 0.01}})
    setting = stage.setting
    wrong = stage._replace(setting=setting._replace(believed=replace(setting.believed, dark=setting.believed.dark + 1)))
    found, kinds = gram.predicted(wrong)
    assert np.isnan(found.mean).all() and {gram.KINDS[k] for k in kinds} == {""}


@pytest.mark.parametrize("knob", ["quantisation", "saturation"])
def test_counts_that_are_rounded_or_cut_leave_a_first_order(parasol, knob):
    stage, _ = stage_of(parasol, {"relative_transmission": {"sigma": 0.01}}, **{knob: True})
    assert {gram.kind(stage.setting.actual, stage.setting.believed, q) for q in QUANTITIES} == {gram.FIRST_ORDER}


def test_a_pass_over_the_pixels_that_goes_wrong_is_seen(parasol, monkeypatch):
    """One element of J is wrong by 1 % in the pass alone: the exact rows no longer agree."""
    stage, _ = stage_of(parasol, {"relative_transmission": {"sigma": 0.01}}, strata=whole)

    def spoilt(*arguments):
        table = pixels_of(*arguments)
        table[polarimeter.J + 1] += 0.01 * table[polarimeter.J]
        return table

    right = gram.predicted(stage)[0].rms[..., I]
    monkeypatch.setattr(realise, "pixels_of", spoilt)
    found, rows = both(parasol, {"relative_transmission": {"sigma": 0.01}}, strata=whole)
    np.testing.assert_array_equal(found.rms[..., I], right)
    assert (np.abs(rows[..., I, RMS] / found.rms[..., I] - 1) > 1e-3).all()
