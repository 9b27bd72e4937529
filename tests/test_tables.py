"""The sensitivity table: its statistics against their definitions, and its Monte Carlo error against repeated campaigns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from radsens import chunk, gather, io, random, sobol
from radsens.campaign import Campaign
from radsens.config import parse
from radsens.gaps.statistics import LOG_HALF, TOTAL_BINS, log_bin
from radsens.products import tables

TREE = {
    "campaign": "tables",
    "instrument": "ideal",
    "bands": ["P1", "N1"],
    "scene": {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 10, "pixels": 400},
    "strata": {"field": [0, 30, 70]},
    "seed": 5,
    "realisations": 12,
    "span": 5,
    "sources": {"relative_transmission": {"sigma": 0.002}, "radiometric_noise": {"snr": 100}},
    "combined": {"both": ["relative_transmission", "radiometric_noise"]},
}
sizes = st.floats(1e-6, 1e3)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "scene.nc"
    chunk.write_scene(Campaign(parse(TREE)).scene_spec, path)
    return path


def computed(scene, name, count=12, **changes):
    """Rows of a source over a whole campaign, without files."""
    campaign = Campaign(parse({**TREE, "realisations": count, **changes}))
    return gather.joined([chunk.compute(campaign.task(name), scene, range(campaign.realisations(name)))])


def test_histograms_of_chunks_add_up_to_every_gap_of_every_realisation(scene):
    campaign = Campaign(parse({**TREE, "realisations": 12}))
    parts = [chunk.compute(campaign.task("both"), scene, span) for span in (range(5), range(5, 12))]
    found = gather.joined(parts)
    np.testing.assert_array_equal(found["histogram"].sum(axis=-1), found["n"].sum(axis=0))
    np.testing.assert_array_equal(found["histogram"], computed(scene, "both")["histogram"])


def test_without_quantiles_the_histograms_of_a_chunk_are_empty_in_its_file_too(scene, tmp_path):
    task = Campaign(parse({**TREE, "quantiles": False})).task("both")
    chunk.write_chunk(task, scene, range(2), tmp_path / "chunk.nc")
    read = io.read(tmp_path / "chunk.nc")
    assert read["histogram_bin"].size == 0 and not gather.joined([read])["histogram"].any()


@given(
    st.integers(2, 50).flatmap(lambda n: st.tuples(arrays(float, n, elements=st.floats(-1, 1)), arrays(float, n, elements=sizes)))
)
def test_rms_is_mean_and_between_and_within(ms):
    """rms² = mean² + (N−1)/N between² + within², to the rounding of sums of N terms."""
    m, s = ms
    found = tables.statistics_of(m, s)
    n = m.size
    expected = found["mean"] ** 2 + (n - 1) / n * found["between"] ** 2 + found["within"] ** 2
    assert found["rms"] ** 2 == pytest.approx(expected, rel=1e-13)
    assert found["total"] ** 2 == pytest.approx(found["between"] ** 2 + found["within"] ** 2, rel=1e-13)


def test_one_realisation_has_no_spread_and_no_monte_carlo_error():
    found = tables.statistics_of(np.array([0.1]), np.array([0.2]))
    assert np.isnan([found[n] for n in ("between", "total", "mc_error")]).all()
    assert found["within"] == 0.2 and found["rms"] == pytest.approx(np.hypot(0.1, 0.2), rel=1e-15)


def test_no_realisation_that_did_not_fail_has_no_statistics():
    assert np.isnan(list(tables.statistics_of(np.empty(0), np.empty(0)).values())).all()


@pytest.mark.parametrize(("between", "within"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.3, 1.0)])
def test_mc_error_is_the_spread_of_total_over_repeated_campaigns(between, within):
    """2000 campaigns of 60 realisations, m normal, s² a chi-square of 30: the spread is known to 1/√4000 = 1.6 %, and
    the linear error of a standard deviation is short by about 1/(4 N) = 0.4 %: 6 % is 4 sigma of the first with room."""
    rng = np.random.default_rng(1)
    campaigns, n = 2000, 60
    m = between * rng.standard_normal((campaigns, n))
    s = within * np.sqrt(rng.chisquare(30, (campaigns, n)) / 30)
    found = [tables.statistics_of(a, b) for a, b in zip(m, s, strict=True)]
    spread = np.std([f["total"] for f in found], ddof=1)
    assert np.sqrt(np.mean([f["mc_error"] ** 2 for f in found])) == pytest.approx(spread, rel=0.08 if within == 0 else 0.06)


def effects_of(z):
    """Image mean and standard deviation of a realisation under four parameters: linear and quadratic; (..., 4) to (...)."""
    return z @ [0.6, 0.5, 0.4, 0.3] + 0.1 * z[..., 0] * z[..., 1], 0.7 * np.abs(z @ [0.1, 0.9, 0.5, 0.2])


@pytest.mark.parametrize("count", [256, 250, 1024])
def test_mc_error_of_sobol_points_is_the_spread_of_total_over_repeated_campaigns(count):
    """400 campaigns; 250 realisations are replicates of 31 and 32. Their spread is known to 2/400 in the variance, the mean
    square of the errors, of 7 degrees of freedom each, to 2/(7 · 400): 4.5 sigma are 0.34."""
    campaigns = 400
    m, s = effects_of(np.stack([sobol.draws(seed, "a", "b", range(count), range(4)) for seed in range(campaigns)]))
    found = [tables.statistics_of(*ms, np.arange(count) % sobol.REPLICATES) for ms in zip(m, s, strict=True)]
    total, error = (np.array([f[name] for f in found]) for name in ("total", "mc_error"))
    assert np.mean(error**2) / total.var(ddof=1) == pytest.approx(1, abs=0.34)
    m, s = effects_of(random.draws(1, "a", "b", range(2_000_000), 4))
    truth = tables.statistics_of(m, s)  # itself known to its own error
    error = np.hypot(truth["mc_error"], total.std() / np.sqrt(campaigns))
    assert total.mean() == pytest.approx(truth["total"], abs=4.5 * error)


def test_replicates_of_one_realisation_are_random_draws():
    """The formulas for replicates come down to those for independent realisations, to rounding."""
    m, s = effects_of(random.draws(1, "a", "b", range(50), 4))
    found, expected = tables.statistics_of(m, s, np.arange(50)), tables.statistics_of(m, s)
    assert found["total"] == pytest.approx(expected["total"], rel=1e-14)
    assert found["mc_error"] == pytest.approx(expected["mc_error"], rel=1.1 / 50)  # z_r differs by 1/N of its first term


def test_one_replicate_tells_no_error():
    found = tables.statistics_of(np.arange(4.0), np.ones(4), np.zeros(4, int))
    assert np.isnan([found[n] for n in ("between", "total", "mc_error")]).all() and found["rms"] > 1


@pytest.mark.parametrize(
    ("name", "by_replicate"), [("relative_transmission", True), ("both", True), ("radiometric_noise", False)]
)
def test_only_what_is_drawn_from_sobol_points_depends_on_its_replicate(scene, name, by_replicate):
    """Random fields are drawn for each realisation: alone, their realisations are independent with either sampling."""
    task = Campaign(parse({**TREE, "sampling": "sobol"})).task(name)
    found = tables.replicates(task, np.arange(5, 15))
    assert (found is not None) == by_replicate
    assert not by_replicate or found.tolist() == [5, 6, 7, 0, 1, 2, 3, 4, 5, 6]
    assert tables.replicates(Campaign(parse(TREE)).task(name), np.arange(5, 15)) is None


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_mc_error_holds_for_repeated_campaigns_of_the_model_itself(scene, sampling):
    """24 campaigns that differ by their seed: the spread of `total` has a chi-square of 23 about the mean `mc_error`²."""
    found = []
    for seed in range(24):
        rows = tables.rows_of(
            "relative_transmission", computed(scene, "relative_transmission", count=40, seed=seed, sampling=sampling)
        )
        found.append(next((r["total"], r["mc_error"]) for r in rows if r["stratum"] == "all" and r["quantity"] == "I"))
    total, error = np.array(found).T
    chi2 = 23 * total.var(ddof=1) / np.mean(error**2)
    assert 1e-4 < stats.chi2.sf(chi2, 23) < 1 - 1e-4


def test_the_table_has_a_row_for_each_source_band_stratum_and_quantity_that_there_is(scene):
    files = {name: computed(scene, name) for name in ("control", "relative_transmission", "radiometric_noise", "both")}
    table = tables.sensitivity(files)
    assert tuple(table.columns) == tables.COLUMNS
    strata, quantities = 3, 5
    rows = table.groupby(["source", "band"], sort=False).size().to_dict()
    assert rows == {
        ("relative_transmission", "P1"): strata * quantities,  # no polariser in N1: no row
        ("radiometric_noise", "P1"): strata * quantities,
        ("radiometric_noise", "N1"): strata,
        ("both", "P1"): strata * quantities,
        ("both", "N1"): strata,
    }
    assert (table["n_realisations"] == 12).all() and (table["n_failed"] == 0).all()


def test_sensitivity_is_rms_over_amplitude_and_empty_for_a_combination(scene):
    table = tables.sensitivity({n: computed(scene, n) for n in ("radiometric_noise", "both")})
    noise, both = table[table["source"] == "radiometric_noise"], table[table["source"] == "both"]
    assert (noise["amplitude"] == 0.01).all() and (noise["amplitude_unit"] == "1").all()  # 1 / snr
    np.testing.assert_array_equal(noise["sensitivity"], noise["rms"] / 0.01)
    assert both["sensitivity"].isna().all() and both["amplitude"].isna().all()


def test_an_assumption_has_neither_amplitude_nor_sensitivity_and_one_realisation(scene):
    sources = {"polariser_extinction": {"assume_ideal": True}}
    file = computed(scene, "polariser_extinction", sources=sources, combined={})
    table = tables.sensitivity({"polariser_extinction": file})
    assert table[["amplitude", "sensitivity", "between", "total", "mc_error"]].isna().all(axis=None)
    assert (table["n_realisations"] == 1).all()


def test_the_edges_of_the_bins_are_where_the_kernel_puts_them():
    inside = tables.edges()[1:-1]
    assert [log_bin(x) - LOG_HALF for x in inside[::97]] == list(range(1, LOG_HALF))[::97]
    assert [LOG_HALF - 1 - log_bin(-x) for x in inside[::97]] == list(range(1, LOG_HALF))[::97]


def histogram(values):
    return np.bincount([log_bin(v) for v in values], minlength=TOTAL_BINS)


@pytest.mark.parametrize("bias", [0, 1, 10, -3])
def test_p95_of_the_merged_histogram_is_that_of_all_absolute_gaps(bias):
    """Bins are 1/64 of a power of two: 1.6 % wide at the most, 0.8 % from a value in the middle; measured 0.1 %."""
    values = np.random.default_rng(2).normal(bias, 1, 20_000) * 1e-3
    found = tables.p95_abs(histogram(values), values.min(), values.max())
    assert found == pytest.approx(np.quantile(np.abs(values), 0.95), rel=4e-3)


@pytest.mark.parametrize("value", [3.7e-4, -3.7e-4, 0.0])
def test_p95_of_a_constant_gap_is_that_gap(value):
    assert tables.p95_abs(histogram([value] * 10), value, value) == abs(value)


def test_failed_realisations_are_counted_and_left_out(scene):
    file = computed(scene, "radiometric_noise")
    outcome = file["outcome"].copy()
    outcome[[2, 5], 0] = 4
    changed = {**file.variables, "outcome": io.Variable(file.variables["outcome"].dimensions, outcome)}
    row = tables.rows_of("radiometric_noise", io.File(changed, file.attributes))[0]
    kept = np.delete(np.arange(12), [2, 5])
    assert row["n_failed"] == 2 and row["n_realisations"] == 12
    assert row["mean"] == pytest.approx(file["mean"][kept, 0, 0, 0].mean(), rel=1e-12)


def test_the_record_of_a_realisation_says_what_the_processing_believed(scene):
    """`assume_ideal` is believed in both directions, and the draws of orientation are in the model that is wrong."""
    sources = {"polariser_extinction": {"assume_ideal": True}, "polariser_orientation": {"sigma": 0.5}}
    both = {"both": list(sources)}
    for direction in ("knowledge", "instrument"):
        file = computed(scene, "both", sources=sources, combined=both, error_in=direction, instrument="ideal")
        assert (file["efficiency"][:, 0] == 1).all()
        assert (file["orientation"][:, 0] != [-60, 0, 60]).all()
        assert np.isnan(file["orientation"][:, 1]).all()  # no polariser there
