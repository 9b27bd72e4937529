"""A total with the Gram tier as control variate: unbiased, honest about its error, far more precise where that tier is good."""

import numpy as np
import pytest
from tests.equation import lattice, states

from radsens import chunk, expectation, gram, io, random, sobol
from radsens.campaign import Campaign
from radsens.config import parse
from radsens.gaps.statistics import MEAN, STD
from radsens.gaps.strata import Strata, partition
from radsens.gather import joined
from radsens.products import tables
from radsens.products.refined import refined
from radsens.realise import LAST_REASON, Measurement, Task, realise_band, staged
from radsens.sources import SOURCES

SCALAR = {
    "polariser_orientation": {"sigma": 0.2},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.004},
}
LINEAR, BENT, INSIDE = np.array([0.6, 0.5, 0.4, 0.3]), 0.1, np.array([0.1, 0.4, 0.3, 0.2])
TOTAL = np.sqrt(LINEAR @ LINEAR + 2 * BENT**2 + INSIDE @ INSIDE)  # Var(z² − 1) = 2, and E (c · z)² = c²
CAMPAIGNS = 400


def effects_of(z):
    """Image mean and deviation under four parameters, with a second order, and what a first order says: its mean and rms."""
    g, s = z @ LINEAR, np.abs(z @ INSIDE)
    return g + BENT * (z[..., 0] ** 2 - 1), s, g, np.hypot(g, s)


def law_of(g, rms):
    """(replicate,) and (replicate, term) of many realisations, after their definition."""
    w = rms**2
    terms = np.stack([g, w, g * g, g * w, w * w], axis=-1)
    replicate = np.arange(g.size) % sobol.REPLICATES
    return np.bincount(replicate), np.stack([terms[replicate == k].sum(axis=0) for k in range(sobol.REPLICATES)])


def campaigns(sampling, count, of_law):
    """`refined` and its error of many campaigns, (2, campaign), that differ by their seeds."""
    most, found = max(count, of_law), []
    for seed in range(CAMPAIGNS):
        drawn = {"random": lambda s=seed: random.draws(s, "a", "b", range(most), 4)}
        drawn["sobol"] = lambda s=seed: sobol.draws(s, "a", "b", range(most), range(4))
        m, s, g, rms = effects_of(drawn[sampling]())
        replicate = np.arange(count) % sobol.REPLICATES if sampling == "sobol" else None
        law = law_of(g[:of_law], rms[:of_law])
        found.append(list(refined(m[:count], s[:count], g[:count], rms[:count], *law, replicate).values()))
    return np.array(found).T


@pytest.mark.parametrize(
    ("sampling", "count", "of_law"),
    [("random", 32, 2048), ("random", 200, 256), ("random", 512, 256), ("sobol", 16, 1024), ("sobol", 64, 512)],
)
def test_refined_is_unbiased_and_its_error_is_its_spread_over_repeated_campaigns(sampling, count, of_law):
    """Against the closed form. A bias within 4.5 standard errors of the mean of 400; the variance of 400 is known to
    √(2/400) = 7 %, the mean square of errors of 7 degrees of freedom to √(2/7/400) = 3 %, and 4.5 of both are 0.34."""
    found, error = campaigns(sampling, count, of_law)
    assert abs(found.mean() - TOTAL) < 4.5 * found.std() / np.sqrt(CAMPAIGNS)
    assert np.mean(error**2) / found.var(ddof=1) == pytest.approx(1, abs=0.34)
    deviate = (found - TOTAL) / error
    degrees, within = (7, 0.65) if sampling == "sobol" else (30, 0.35)  # 4.5 √((κ − 1)/400) of Student's law, κ its kurtosis
    assert deviate.var() == pytest.approx(degrees / (degrees - 2), abs=within)


def test_a_control_variate_that_is_worth_nothing_only_costs_precision():
    """A Gram tier of other draws leaves the estimate unbiased, and its error says that it costs √(1 + var c/var d) = √2 or so."""
    found = []
    for seed in range(CAMPAIGNS):
        m, s, *_ = effects_of(random.draws(seed, "a", "b", range(64), 4))
        _, _, *wrong = effects_of(random.draws(seed, "other", "b", range(2048), 4))
        law = law_of(*wrong)
        found.append([*refined(m, s, *(x[:64] for x in wrong), *law).values(), tables.statistics_of(m, s)["mc_error"]])
    total, error, plain = np.array(found).T
    assert abs(total.mean() - TOTAL) < 4.5 * total.std() / np.sqrt(CAMPAIGNS) + 0.01 * TOTAL  # a root is short by se²/2 of itself
    assert np.sqrt(np.mean(error**2)) == pytest.approx(total.std(ddof=1), rel=0.17)
    assert np.median(error / plain) == pytest.approx(np.sqrt(2), rel=0.1)


def stage_of(instrument, sources, span, sampling="random", direction="knowledge", strata=None):
    """A band made ready, and the sources that act."""
    settings = {"instrument": instrument.name, "seed": 3, "error_in": direction, "precision": "float64", "sampling": sampling}
    task = Task(**settings, measurement=Measurement(), sources=sources)
    active = [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]
    scene = states(instrument, *lattice([0.05, 0.4], [0.1, 0.3, 0.7], np.radians([-70, -20, 10, 50, 85])), 4, "490P")
    return staged(task, instrument, scene, partition(strata or Strata(), scene), active, span), active


def rows_of(stage, active):
    """Rows of the pass over the pixels, of the whole image: means and deviations, (realisation, quantity) each."""
    rows = realise_band(stage.task, stage.instrument, stage.scene, stage.partition, active, stage.span).rows[:, 0]
    return rows[..., MEAN], rows[..., STD]


@pytest.mark.parametrize("sampling", ["random", "sobol"])
@pytest.mark.parametrize("names", [*[[name] for name in SCALAR], [*SCALAR]], ids="+".join)
def test_sixteen_realisations_tell_the_totals_of_thousands_under_scalar_sources(parasol, names, sampling):
    """All five gaps, within 5 standard errors of a long campaign of other realisations, random ones; 80 totals are compared."""
    sources = {name: SCALAR[name] for name in names}
    stage, active = stage_of(parasol, sources, range(16), sampling)
    means = gram.of_scene(stage)
    law, told = expectation.expected(stage, means, active), gram.told(stage, means)[0]
    truth = rows_of(*stage_of(parasol, sources, range(20_000, 24_000)))
    m, s = rows_of(stage, active)
    replicate = tables.replicates(stage.task, np.arange(16))
    for q in range(5):
        plain, long = tables.statistics_of(m[:, q], s[:, q], replicate), tables.statistics_of(truth[0][:, q], truth[1][:, q])
        found = refined(m[:, q], s[:, q], told.mean[:, 0, q], told.rms[:, 0, q], law.n, law.sums[:, 0, q], replicate)
        assert found["refined_error"] < 0.01 * found["refined"] < plain["mc_error"] / 3
        error = np.hypot(found["refined_error"], long["mc_error"])
        assert abs(found["refined"] - long["total"]) < 5 * error


def test_expectations_are_sums_over_the_first_realisations_of_the_task_whatever_the_span(parasol):
    """Those of its definition, by replicate, over the draws that do not fail."""
    stage, active = stage_of(parasol, {"relative_transmission": {"sigma": 0.3}}, range(4, 6), "sobol", "instrument")
    means = gram.of_scene(stage)
    found = expectation.expected(stage, means, active)
    number = expectation.REALISATIONS["sobol"]
    whole, _ = stage_of(parasol, {"relative_transmission": {"sigma": 0.3}}, range(number), "sobol", "instrument")
    moments, good = gram.told(whole, means)[0], whole.setting.outcome == 0
    assert found.n.sum() == good.sum() < number
    g, w = moments.mean[:, 0, 0], moments.rms[:, 0, 0] ** 2
    for k in range(sobol.REPLICATES):
        here = good & (np.arange(number) % sobol.REPLICATES == k)
        expected = [x[here].sum() for x in (g, w, g * g, g * w, w * w)]
        np.testing.assert_allclose(found.sums[k, 0, 0], expected, rtol=1e-11, atol=1e-13 * here.sum())
    same = expectation.expected(whole, means, active)
    assert same.sums.tobytes() == found.sums.tobytes() and same.n.tobytes() == found.n.tobytes()


def test_many_strata_are_taken_fewer_realisations_at_a_time(parasol, monkeypatch):
    """The same sums but for their order."""
    stage, active = stage_of(parasol, SCALAR, range(2), "sobol", strata=Strata(dolp=(0, 0.2, 0.5, 1)))
    means = gram.of_scene(stage)
    found = expectation.expected(stage, means, active)
    monkeypatch.setattr(expectation, "VALUES", 24 * 4 * 5 + 7)
    few = expectation.expected(stage, means, active)
    np.testing.assert_array_equal(found.n, few.n)
    np.testing.assert_allclose(found.sums, few.sums, rtol=1e-9, atol=1e-12)


def test_what_is_not_drawn_is_expected_of_one_realisation_and_refines_nothing(parasol):
    """Of noise the tier says the same in each realisation: the difference has the mean and the error of the total itself."""
    stage, active = stage_of(parasol, {"radiometric_noise": {"snr": 100}}, range(12))
    means = gram.of_scene(stage)
    law, told, (m, s) = expectation.expected(stage, means, active), gram.told(stage, means)[0], rows_of(stage, active)
    assert law.n.tolist() == [1] + 7 * [0]
    for q in range(5):
        plain = tables.statistics_of(m[:, q], s[:, q])
        found = refined(m[:, q], s[:, q], told.mean[:, 0, q], told.rms[:, 0, q], law.n, law.sums[:, 0, q])
        assert found["refined"] == pytest.approx(plain["total"], rel=1e-7)
        assert found["refined_error"] == pytest.approx(plain["mc_error"], rel=0.1)


def test_nothing_is_refined_where_the_tier_says_nothing_or_one_realisation_stands():
    m, s, g, rms = effects_of(random.draws(0, "a", "b", range(64), 4))
    n, sums = law_of(g, rms)
    untold = [(m, s, np.nan * g, np.nan * g, n, np.nan * sums), (m, s, g, rms, 0 * n, np.nan * sums)]
    short = [(m[:1], s[:1], g[:1], rms[:1], n, sums), (m[:3], s[:3], g[:3], rms[:3], n, sums, np.zeros(3, int))]
    for arguments in (*untold, *short):
        assert np.isnan(list(refined(*arguments).values())).all()


def test_gaps_that_are_zero_have_a_refined_total_of_zero():
    zero = np.zeros(5)
    assert refined(zero, zero, zero, zero, np.full(8, 2), np.zeros((8, 5))) == {"refined": 0.0, "refined_error": 0.0}


def test_the_error_of_a_row_is_the_smaller_of_those_that_are_told():
    row = {"mc_error": 0.2, "refined_error": 0.1}
    assert tables.error_of(row) == 0.1 and tables.error_of(row | {"mc_error": 0.05}) == 0.05
    assert tables.error_of(row | {"refined_error": np.nan}) == 0.2
    assert np.isnan(tables.error_of(dict.fromkeys(row, np.nan)))


TREE = {
    "campaign": "refined",
    "instrument": "ideal",
    "bands": ["P1", "N1"],
    "scene": {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 10, "pixels": 60},
    "seed": 5,
    "realisations": 12,
    "sources": {"relative_transmission": {"sigma": 0.002}},
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Rows of a source over some of its realisations, without files."""
    campaign, path = Campaign(parse(TREE)), tmp_path_factory.mktemp("refined") / "scene.nc"
    chunk.write_scene(campaign.scene_spec, path)
    return lambda *span: chunk.compute(campaign.task("relative_transmission"), path, range(*span))


def test_chunks_of_a_source_hold_the_same_expectations(computed):
    one, other = computed(0, 5), computed(5, 12)
    for name in ("law_n", "law_sums"):
        assert one[name].tobytes() == other[name].tobytes()
    assert one["law_n"].sum(axis=0).tolist() == [expectation.REALISATIONS["random"], 0]  # no polariser in N1


def test_a_pixel_that_fails_leaves_its_band_without_a_refined_total(computed):
    """The tier does not know which other draws would fail so, and its expectation would hold them."""
    file = joined([computed(0, 12)])
    (whole, *_) = tables.rows_of("relative_transmission", file)
    assert whole["refined_error"] < whole["mc_error"] / 5
    for outcome, kept in ((LAST_REASON, True), (LAST_REASON + 1, False)):
        codes = file["outcome"].copy()
        codes[3, 0] = outcome
        changed = {**file.variables, "outcome": io.Variable(file.variables["outcome"].dimensions, codes)}
        row = tables.rows_of("relative_transmission", io.File(changed, file.attributes))[0]
        assert np.isfinite(row["refined"]) == np.isfinite(row["refined_error"]) == kept
