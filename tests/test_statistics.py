"""Statistics of the gaps in the image, against plain NumPy on the gaps of all pixels.

The package never holds an image of gaps: it sums tile by tile and finds quantiles in histograms. Here the image is held.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.equation import AOLP, DOLP, HIGH, LOW, MEAN, RMS, STD, I, realise, states, whole

from radsens import realise as equation
from radsens.gaps.statistics import FIRST_QUANTILE, QUANTILES, TOTAL_BINS
from radsens.gaps.strata import Strata, dolp, partition
from radsens.gaps.sums import PILOTS
from radsens.products.tables import p95_abs
from radsens.realise import OUTCOMES, Task
from radsens.scenes import render
from radsens.scenes.analytic import Analytic
from radsens.sources import SOURCES
from radsens.sources._source import ErrorSource

Q05, Q95 = FIRST_QUANTILE, FIRST_QUANTILE + 4
QUANTILE = slice(FIRST_QUANTILE, FIRST_QUANTILE + len(QUANTILES))
EVERYTHING = {
    "polariser_orientation": {"sigma": 0.1},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.002},
    "hf_equalisation": {"sigma": 0.001, "correlation": 0.3},
    "radiometric_noise": {"snr": 200},
    "non_linearity": {"sigma": 0.01},
}
NOTHING = SOURCES["hf_equalisation"].Amplitudes(sigma=0)  # knobs of a source made here, which reads none

# Bins are s/512 wide within 2 s of the middle, s/256 within 6 s, s/128 within 14 s, s being at most twice σ; a quantile
# is that of the middle of a bin, or better. So the error is below 2e-3 σ out to 2 σ, where 90 % of a normal row lies.
OF_SIGMA = 2e-3


def source(change, **more):
    """An error source for a test: change(model) -> model, acting in the instrument."""
    given = dict(name="test", symbol="", term="", model="polarimeter", unit="1", distribution="", correlated="", reference="")
    return ErrorSource(**given, Amplitudes=type(NOTHING), modify=lambda irm, _a, _z: change(irm), draws=0, **more), NOTHING


def named(sources):
    return [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]


def task(instrument, precision="float64", error_in="instrument", **measurement):
    settings = {"instrument": instrument.name, "seed": 5, "precision": precision, "error_in": error_in, "sources": {}}
    return Task.model_validate({**settings, "measurement": measurement})


def image(settings, instrument, scene, active, realisation):
    """Gaps of all pixels of a scene in one realisation, (quantity, pixel) float64."""
    return equation.gap_image(settings, instrument, scene, active, realisation)


def statistics(gap):
    """The ten statistics of a row of gaps."""
    moments = gap.mean(), gap.std(), np.sqrt((gap**2).mean()), gap.min(), gap.max()
    return np.array([*moments, *np.quantile(gap, QUANTILES)])


def compare(row, gap):
    """A row of the package against NumPy's. A mean of n numbers is rounded to some ε of their size, whatever the way."""
    expected, size = statistics(gap), np.abs(gap).max()
    np.testing.assert_allclose(row[[MEAN, STD, RMS]], expected[[MEAN, STD, RMS]], rtol=1e-10, atol=1e-14 * size)
    np.testing.assert_allclose(row[[LOW, HIGH]], expected[[LOW, HIGH]], rtol=0, atol=1e-15 * size)  # t + centre
    error = np.abs(row[QUANTILE] - expected[QUANTILE])
    assert (error <= OF_SIGMA * expected[STD] + 1e-14 * size).all(), error / expected[STD]
    assert (row[QUANTILE] >= row[LOW]).all()
    assert (row[QUANTILE] <= row[HIGH]).all()
    assert (np.diff(row[QUANTILE]) >= 0).all()


@pytest.fixture(scope="module")
def ocean(parasol):
    """The whole field of view, 66 308 pixels."""
    (scene,) = render(Analytic(kind="analytic"), parasol, ("490P",))
    return scene


@pytest.fixture(scope="module")
def strata(ocean):
    """Two fields, crossed, with a pixel or more outside their edges; strata of 66 308 down to some tens of pixels."""
    p, theta = dolp(ocean.stokes), np.degrees(ocean.theta)
    classes = tuple(np.quantile(p, [0.001, 0.01, 0.3, 0.7, 0.999]))
    return Strata(dolp=classes, field=(0, 1.0, 20, theta.max() - 0.5), cross=("dolp", "field"))


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error_in", ["knowledge", "instrument"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_statistics_of_every_stratum_are_those_of_its_pixels(parasol, ocean, strata, precision, error_in):
    part, settings, active = partition(strata, ocean), task(parasol, precision, error_in), named(EVERYTHING)
    found = equation.realise_band(settings, parasol, ocean, part, active, range(3, 5))
    sizes = []
    for k, r in enumerate(range(3, 5)):
        gaps = image(settings, parasol, ocean, active, r)
        for s in range(len(part.names)):
            inside = (part.members[part.cell] == s).any(axis=1)
            for q in range(5):
                chosen = inside & part.aolp if q == AOLP else inside
                assert found.n[s, q] == chosen.sum()
                if chosen.any():
                    compare(found.rows[k, s, q], gaps[q, chosen])
                sizes.append(chosen.sum())
    assert min(n for n in sizes if n) < 100
    assert max(sizes) == ocean.theta.size


def test_an_unpolarised_band_reports_the_intensity_alone(parasol, ocean):
    ocean = replace(ocean, band="443NP")
    active = [s for s in named(EVERYTHING) if not s[0].polarised]
    found = equation.realise_band(task(parasol), parasol, ocean, whole(ocean), active, range(1))
    assert found.rows.shape[2] == found.totals.shape[1] == 1
    gaps = image(task(parasol), parasol, ocean, active, 0)
    assert len(gaps) == 1
    compare(found.rows[0, 0, I], gaps[I])


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.25])
def test_the_angle_is_that_of_pixels_more_polarised_than_the_threshold(parasol, threshold):
    p = np.concatenate([np.zeros(3), np.linspace(0.01, 0.5, 300)])
    scene = states(parasol, 0.2, p, 0.4, band="490P")
    part = partition(Strata(aolp_min_dolp=threshold), scene)
    found = equation.realise_band(task(parasol), parasol, scene, part, named(EVERYTHING), range(1))
    chosen = dolp(scene.stokes) > threshold
    assert found.n[0, AOLP] == chosen.sum() < found.n[0, DOLP] == p.size
    compare(found.rows[0, 0, AOLP], image(task(parasol), parasol, scene, named(EVERYTHING), 0)[AOLP, chosen])


def test_without_a_polarised_pixel_there_is_no_row_of_the_angle_and_no_failure(ideal):
    scene = states(ideal, 0.2, np.zeros(70), 0.0, band="P1")
    found = realise(ideal, scene, EVERYTHING, range(2), strata=whole)
    assert not found.outcome.any()
    assert found.n[0].tolist() == [70, 70, 70, 70, 0]
    assert np.isnan(found.rows[:, 0, AOLP]).all()
    assert not found.totals[0, AOLP].any()
    assert np.isfinite(found.rows[:, 0, :AOLP]).all()


# --- quantiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [66_308, 5_000, 300, 40, 9, 2, 1])
@pytest.mark.parametrize("bias", [0, 10, 100, 1000])
def test_a_bias_however_large_does_not_hurt_the_quantiles(ideal, bias, n):
    """ΔI/I of noise at an snr of 2e4 has σ = 1 / (√3 snr); a common gain moves all of it by `bias` times σ."""
    scene = states(ideal, 0.2, np.full(n, 0.3), 0.4, band="P1")
    size = bias / (np.sqrt(3) * 2e4)
    gain = source(lambda irm: replace(irm, relative_transmission=irm.relative_transmission * (1 + size)))
    active = [gain, *named({"radiometric_noise": {"snr": 2e4}})]
    found = equation.realise_band(task(ideal), ideal, scene, whole(scene), active, range(3))
    for r in range(3):
        for row, gap in zip(found.rows[r, 0], image(task(ideal), ideal, scene, active, r), strict=True):
            compare(row, gap)
    if n > 1000:
        assert abs(found.rows[0, 0, I, MEAN] / found.rows[0, 0, I, STD] / (bias or np.inf) - 1) < 0.05 or not bias


@pytest.mark.parametrize("size", [0.0, 1e-6, 0.03, -0.5])
def test_quantiles_of_a_constant_gap_are_that_gap(ideal, size):
    scene = states(ideal, 0.2, np.full(3000, 0.3), 0.4, band="P1")
    gain = source(lambda irm: replace(irm, relative_transmission=irm.relative_transmission * (1 + size)))
    found = equation.realise_band(task(ideal), ideal, scene, whole(scene), [gain], range(1))
    np.testing.assert_allclose(found.rows[0, 0, I, QUANTILE], size, rtol=0, atol=1e-15)
    assert (found.rows[0, 0, :, Q05:] >= found.rows[0, 0, :, [LOW] * 5].T).all()
    assert (found.rows[0, 0, :, Q05:] <= found.rows[0, 0, :, [HIGH] * 5].T).all()


def unlike_the_pilots(n, share):
    """Pixels, a share of n of them, none of which is a pilot of an image of one cell."""
    chosen = np.arange(n) % 100 < 100 * share
    chosen[(np.arange(PILOTS) * n) // PILOTS] = False
    return chosen


@pytest.mark.parametrize("share", [0.3, 0.02])
def test_pixels_unlike_the_pilots_have_their_quantiles(ideal, share):
    """Pixels that saturate, none of them a pilot: the others have no gap at all, and bins for that would be far too narrow."""
    n = 6000
    odd = unlike_the_pilots(n, share)
    i = np.where(odd, 1.2 + 0.3 * np.random.default_rng(0).random(n), 0.5)
    scene = states(ideal, i, 0.3, 0.2, band="P1")
    settings = task(ideal, saturation=True)
    found = equation.realise_band(settings, ideal, scene, whole(scene), [], range(2))
    for row, gap in zip(found.rows[0, 0], image(settings, ideal, scene, [], 0), strict=True):
        compare(row, gap)
    if share == 0.3:
        assert found.rows[0, 0, I, Q05] < -0.2
    np.testing.assert_array_equal(found.saturated[:, 0], odd.sum())
    np.testing.assert_array_equal(found.totals.sum(axis=2), 2 * n)


def test_pilots_of_another_kind_do_not_coarsen_the_quantiles(ideal):
    """The pilots saturate, hardly any other pixel does: bins for them would be hundreds of times too wide."""
    n = 6000
    odd = unlike_the_pilots(n, 1.0)
    scene = states(ideal, np.where(odd, 0.5, 1.3), 0.3, 0.2, band="P1")
    active, settings = named({"radiometric_noise": {"snr": 1e5}}), task(ideal, saturation=True)
    found = equation.realise_band(settings, ideal, scene, whole(scene), active, range(1))
    gap = image(settings, ideal, scene, active, 0)[I]
    within = np.quantile(gap, 0.95) - np.quantile(gap, 0.05)
    assert within < gap.std() / 100
    compare(found.rows[0, 0, I], gap)


def test_quantiles_of_few_counts_are_those_of_their_steps(ideal):
    """Rounded to a few counts, the gaps take few values, each in many pixels."""
    i = np.tile(np.linspace(3, 9, 50) / ideal.absolute_gain("P1"), 40)
    scene = states(ideal, i, 0.2, 0.0, band="P1")
    settings = task(ideal, quantisation=True)
    found = equation.realise_band(settings, ideal, scene, whole(scene), [], range(1))
    for row, gap in zip(found.rows[0, 0, :DOLP], image(settings, ideal, scene, [], 0), strict=False):
        compare(row, gap)


def test_without_quantiles_the_moments_are_the_same_bits(parasol, ocean, strata):
    part, active = partition(strata, ocean), named(EVERYTHING)
    both, moments = (
        equation.realise_band(task(parasol).model_copy(update={"quantiles": asked}), parasol, ocean, part, active, range(2))
        for asked in (True, False)
    )
    np.testing.assert_array_equal(moments.rows[..., :FIRST_QUANTILE], both.rows[..., :FIRST_QUANTILE])
    assert np.isnan(moments.rows[..., QUANTILE]).all()
    assert not moments.totals.any()
    np.testing.assert_array_equal(moments.n, both.n)


@pytest.mark.parametrize("n", [(3, 2, 1), (40, 9, 300), (30_000, 10, 5_000)])
@pytest.mark.parametrize("apart", [0.0, 1.0, 1000.0])
def test_the_quantiles_of_the_whole_image_are_those_of_the_union_of_its_classes(ideal, n, apart):
    """Three classes of DoLP, and a fourth that is outside all of them; noise of very different size about common gains."""
    p = np.repeat([0.1, 0.3, 0.5, 0.9], [*n, 20])
    scene = states(ideal, 0.2, p, 0.4, band="P1")
    gain = source(lambda irm: replace(irm, orientation=irm.orientation + apart * np.array([1e-4, -1e-4, 2e-4])))
    active = [gain, *named({"radiometric_noise": {"snr": 2e4}})]
    part = partition(Strata(dolp=(0, 0.2, 0.4, 0.6)), scene)
    found = equation.realise_band(task(ideal), ideal, scene, part, active, range(2))
    for r in range(2):
        for row, gap in zip(found.rows[r, 0], image(task(ideal), ideal, scene, active, r), strict=True):
            compare(row, gap)


# --- histograms of a source -------------------------------------------------------------------------------------------


def test_every_pixel_of_every_realisation_is_in_the_histogram_of_its_source(parasol, ocean, strata):
    part = partition(strata, ocean)
    found = equation.realise_band(task(parasol), parasol, ocean, part, named(EVERYTHING), range(4))
    assert found.totals.dtype == np.int64
    assert found.totals.shape == (len(part.names), 5, TOTAL_BINS)
    assert found.totals.min() >= 0
    np.testing.assert_array_equal(found.totals.sum(axis=2), 4 * found.n)


@pytest.mark.parametrize("gain", [0.0, 0.001, -0.05])
def test_the_95th_percentile_of_the_size_of_the_gaps_is_known_to_one_percent(parasol, ocean, gain):
    """Bins are 1/64 of a power of two wide, 0.8 to 1.6 %, and a smooth distribution is read inside of one."""
    count = 4
    biased = source(lambda irm: replace(irm, relative_transmission=irm.relative_transmission * (1 + gain)))
    active = [biased, *named({"radiometric_noise": {"snr": 200}, "hf_equalisation": {"sigma": 0.001}})]
    part = whole(ocean)
    found = equation.realise_band(task(parasol), parasol, ocean, part, active, range(count))
    gaps = np.stack([image(task(parasol), parasol, ocean, active, r) for r in range(count)], axis=1)
    for q in range(5):
        size = np.abs(gaps[q][:, part.aolp] if q == AOLP else gaps[q])
        low, high = found.rows[:, 0, q, LOW].min(), found.rows[:, 0, q, HIGH].max()
        np.testing.assert_allclose(p95_abs(found.totals[0, q], low, high), np.quantile(size, 0.95), rtol=0.01)


# --- the order of the work --------------------------------------------------------------------------------------------


SPAN = range(24, 33)


def same(a, b):
    for name in ("n", "rows", "totals", "saturated", "outcome"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)


def joined(parts):
    """The spans of several runs as one."""
    rows = {k: np.concatenate([getattr(p, k) for p in parts]) for k in ("rows", "saturated", "outcome")}
    return replace(parts[0], **rows, totals=sum(p.totals for p in parts))


@pytest.fixture(scope="module", params=["float64", "float32"])
def work(request, parasol, ocean, strata):
    """A span in which pixels saturate and realisation 29 fails; and how to run it otherwise."""
    part = partition(strata, ocean)
    brighter = replace(ocean, stokes=ocean.stokes * 3.4)
    settings = task(parasol, request.param, "knowledge", noise=True, quantisation=True, saturation=True)
    active = named({**EVERYTHING, "non_linearity": {"sigma": 0.2}})

    def run(span, threads=1):
        return equation.realise_band(settings, parasol, brighter, part, active, span, threads)

    found = run(SPAN)
    assert set(found.outcome) > {0}
    assert (found.outcome == 0).sum() > 5
    assert found.saturated.any()
    return run, found


def test_the_length_of_the_spans_changes_no_bit(work):
    run, one = work
    for cuts in ([24, 25, 29, 33], [24, 30, 33]):
        same(joined([run(range(a, b)) for a, b in pairwise(cuts)]), one)


@pytest.mark.parametrize("threads", [2, 3, 20])
def test_the_number_of_threads_changes_no_bit(work, threads):
    run, one = work
    same(run(SPAN, threads), one)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 16])
def test_realisations_that_share_a_reading_of_the_pixels_change_no_bit(work, monkeypatch, block):
    run, one = work
    monkeypatch.setattr(equation, "BLOCKS", (block, block))
    same(run(SPAN), one)


@pytest.mark.parametrize("block", [1, 2, 3, 8])
def test_a_realisation_whose_pilots_stand_badly_is_taken_again_alone(ideal, monkeypatch, block):
    """In two realisations out of three, pixels saturate and no pilot does; each is what it is when run alone."""
    odd = unlike_the_pilots(3000, 0.3)
    scene = states(ideal, np.where(odd, 0.9, 0.5), 0.05, 0.2, band="P1")
    gains = np.array([1.0, 1.3, 1.5] * 3)

    def run(span):
        brighter = source(lambda irm: replace(irm, relative_transmission=np.outer(gains[span.start : span.stop], np.ones(3))))
        return equation.realise_band(task(ideal, saturation=True), ideal, scene, whole(scene), [brighter], span)

    alone = joined([run(range(r, r + 1)) for r in range(9)])
    assert (alone.saturated[:, 0] > 0).tolist() == [False, True, True] * 3
    monkeypatch.setattr(equation, "BLOCKS", (block, block))
    same(run(range(9)), alone)


# --- failure ----------------------------------------------------------------------------------------------------------


def test_one_pixel_that_is_not_finite_fails_its_realisation_and_no_other(ideal):
    """Believed to bend by −0.4 at full scale, the response reaches 0.625 of it at most: a brighter pixel has no retrieval."""
    gain = ideal.absolute_gain("P1")
    i = np.full(500, 0.2)
    i[321] = 0.7 * ideal.detector("P1").full_scale / gain
    scene = states(ideal, i, 0.0, 0.0, band="P1")
    bends = np.zeros(30)
    bends[[3, 7, 8]] = -0.4

    def run(span, error=bends):
        bent = source(lambda irm: replace(irm, non_linearity=error[span.start : span.stop]))
        active = [bent, *named({"radiometric_noise": {"snr": 300}})]
        strata = partition(Strata(radiance=(0, 0.4, 2)), scene)
        return equation.realise_band(task(ideal, error_in="knowledge"), ideal, scene, strata, active, span)

    found, sound = run(range(12)), [r for r in range(12) if bends[r] == 0]
    assert [OUTCOMES[k] for k in found.outcome[[3, 7, 8]]] == ["non-finite gap"] * 3
    assert not found.outcome[sound].any()
    assert np.isnan(found.rows[[3, 7, 8]]).all()  # in strata without that pixel too: the realisation is lost
    straight = run(range(12), np.zeros(30))
    np.testing.assert_array_equal(found.rows[sound], straight.rows[sound])
    np.testing.assert_array_equal(found.totals, sum(run(range(r, r + 1)).totals for r in sound))
    np.testing.assert_array_equal(found.totals.sum(axis=2), len(sound) * found.n)


def test_one_intensity_that_is_not_positive_fails_its_realisation(ideal):
    """At an snr of 1 ΔI/I has σ = 0.58: of 20 pixels all stay above −1 in two realisations out of five."""
    scene = states(ideal, 0.2, np.full(20, 0.3), 0.3, band="P1")
    active = named({"radiometric_noise": {"snr": 1}})
    found = equation.realise_band(task(ideal), ideal, scene, whole(scene), active, range(40))
    lowest = np.array([image(task(ideal), ideal, scene, active, r)[I].min() for r in range(40)])
    failed = lowest <= -1
    assert 5 < failed.sum() < 35
    np.testing.assert_array_equal(found.outcome, np.where(failed, OUTCOMES.index("retrieved intensity not positive"), 0))
    assert np.isnan(found.rows[failed]).all()
    assert np.isfinite(found.rows[~failed]).all()
    np.testing.assert_array_equal(found.totals.sum(axis=2)[0], 20 * (~failed).sum())


def test_a_realisation_that_is_known_to_fail_before_it_starts_leaves_nothing(ideal):
    scene = states(ideal, 0.2, np.full(20, 0.3), 0.3, band="P1")
    lost = np.where(np.arange(5) % 2, -1.0, 1.0)
    dead = source(lambda irm: replace(irm, relative_transmission=irm.relative_transmission * lost[:, None]))
    found = equation.realise_band(task(ideal, saturation=True), ideal, scene, whole(scene), [dead], range(5))
    assert [OUTCOMES[k] for k in found.outcome] == ["ok", "unphysical transmission"] * 2 + ["ok"]
    assert np.isnan(found.rows[1::2]).all()
    assert np.isfinite(found.rows[::2]).all()
    np.testing.assert_array_equal(found.totals.sum(axis=2)[0], 3 * 20)
