"""The benchmark tells when a target is short, when it was not measured, and when two codes do not do the same job."""

import json
from dataclasses import fields, replace
from io import StringIO

import numpy as np
import pytest
from benchmarks import __main__ as bench
from benchmarks import campaign, cases, ceiling, page, peers, verdict
from benchmarks.baseline import Baseline
from benchmarks.timing import in_turn, least
from benchmarks.verdict import Row
from rich.console import Console

from radsens.gaps.strata import Strata, partition
from radsens.scenes import render
from radsens.scenes.analytic import Analytic


@pytest.fixture(scope="module")
def scene():
    """The scene of the benchmark, every eighth row and column of it: 1085 pixels."""
    (found,) = render(Analytic(kind="analytic", step=8), cases.INSTRUMENT, (cases.BAND,))
    return found


@pytest.fixture(scope="module")
def part(scene):
    return cases.classes(scene)


@pytest.fixture(scope="module")
def baseline(scene, part):
    return {case: Baseline(cases.numpy_job(case, scene, part)) for case in cases.CASES}


def test_a_target_is_reached_at_its_bound_and_short_beside_it():
    assert Row("a", 12.0, "≥", 12).verdict == "PASS" and Row("a", 11.99, "≥", 12).verdict == "short"
    assert Row("a", 200.0, "≤", 200).verdict == "PASS" and Row("a", 200.1, "≤", 200).verdict == "short"


def test_a_figure_that_is_missing_or_not_a_number_reaches_no_target():
    assert Row("a", None, "≥", 25).verdict == "absent"
    assert Row("a", float("nan"), "≥", 25).verdict == Row("a", float("nan"), "≤", 25).verdict == "short"


@pytest.mark.parametrize("measured", [None, 1.0])
def test_only_gated_targets_and_disagreements_fail_the_run(measured):
    good, bad = Row("good", 20.0, "≥", 12), Row("bad", measured, "≥", 12)
    assert verdict.passed([good, replace(bad, gated=False)], [])
    assert not verdict.passed([good, bad], [])
    assert not verdict.passed([good], ["two codes differ"])


def test_the_record_and_the_table_have_each_row_with_its_verdict():
    rows = [Row("fast", 20.0, "≥", 12), Row("lean", 300.0, "≤", 200, "MiB"), Row("peer", None, "≥", 25, note=peers.ABSENT)]
    written = json.loads(json.dumps(verdict.record(rows, ["what differs"], unit="ns")))
    assert [(row["name"], row["verdict"]) for row in written["rows"]] == [("fast", "PASS"), ("lean", "short"), ("peer", "absent")]
    assert set(written["rows"][0]) == {f.name for f in fields(Row)} | {"verdict"}
    assert not written["passed"] and written["disagreements"] == ["what differs"] and written["unit"] == "ns"
    console = Console(width=150, file=StringIO())
    verdict.show(rows, ["a line"], ["what differs"], console)
    printed = console.file.getvalue()
    assert all(word in printed for word in ("fast", "PASS", "lean", "short", "absent", peers.ABSENT, "a line", "what differs"))


def test_the_page_takes_the_last_measurement_and_keeps_what_is_around_it():
    about = {"time": "2026-11-21T18:00:00", "machine": "x86_64", "python": "3.11", "numpy": "2.4", "numba": "0.68"}
    record = verdict.record(
        [Row("fast", 20.0, "≥", 12), Row("slow", 1.0, "≥", 2, gated=False)], [], ceilings=["70 %"], about=about
    )
    once = page.renewed(page.PAGE.read_text(encoding="utf-8"), record)
    assert "| fast | 20 × | ≥ 12 × | PASS |" in once and "| slow | 1 × | ≥ 2 × | (short) |" in once and "70 %" in once
    assert once.startswith(page.PAGE.read_text(encoding="utf-8").split(page.BEGIN)[0]) and once.endswith(page.END)
    assert page.renewed(once, record) == once


def test_all_sources_are_as_fast_as_the_slower_direction_of_the_error():
    times = {(c, k, h): 1.0 for c in cases.CASES for k in cases.PRECISIONS for h in (False, True)}
    times |= {(c, "numpy", h): 20.0 for c in cases.CASES for h in (False, True)}
    times["all sources, in the instrument", "float32", True] = 4.0
    found = {row.name: row.measured for row in bench.of_cases(times)}
    assert found["all sources, moments"] == 20 and found["all sources, moments and histograms"] == 5
    assert found["histograms add"] == 300


def test_without_the_peer_its_rows_are_absent_and_the_run_fails(scene, part, monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda: False)
    rows = [*bench.of_peers(scene, part)[0], *bench.of_campaign()[0]]
    assert {row.verdict for row in rows} == {"absent"} and all("pip install" in row.note for row in rows)
    assert sum(row.gated for row in rows) == 3 and not verdict.passed(rows, [])


@pytest.mark.parametrize("case", cases.CASES)
def test_the_pass_and_the_baseline_do_the_same_job(case, scene, part, baseline):
    assert cases.compared(case, scene, part, baseline[case]) == []


def test_a_baseline_with_another_matrix_is_found_out(scene, part, baseline):
    job = baseline["scalar sources"].job
    tilted = Baseline(replace(job, forward=job.forward * (1 + 1e-6)))
    assert cases.compared("scalar sources", scene, part, tilted) == ["scalar sources: moments differ by more than rounding"]


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_baseline_with_another_noise_is_found_out(factor, scene, part, baseline):
    job = baseline["noise"].job
    louder = Baseline(replace(job, noise=factor * job.noise))
    assert cases.compared("noise", scene, part, louder) == ["noise: standard deviations differ"]


def test_a_bias_and_a_number_that_is_none_are_found_out():
    rng = np.random.default_rng(1)
    theirs = np.abs(rng.normal(1, 0.001, (8, 9, 5, 4)))
    n = np.full((9, 5), 1000)
    assert cases.disagreement("noise", theirs, theirs, n) == ""
    for wrong in (0.5, np.nan):
        ours = theirs.copy()
        ours[3, 2, 1, 0] += wrong
        assert "means differ" in cases.disagreement("noise", ours, theirs, n)
        assert "rounding" in cases.disagreement("scalar sources", ours, theirs, n)
        assert "float32" in cases.rounding(ours, theirs)


def test_the_function_given_to_the_peer_measures_what_radsens_does(scene, part):
    """Both with the same draws: without fields the gaps of one realisation are the same to rounding, in every stratum; a
    quantile of few pixels is that of a histogram to a part of the spread in its stratum, AoLP's to what its tails allow."""
    sources = {name: knobs for name, knobs in cases.ALL.items() if name not in ("radiometric_noise", "hf_equalisation")}
    stage = cases.stage(cases.task(sources, "instrument", "float64", quantiles=True), scene, part, 1)
    rows = peers.as_theirs(cases.realise.worker(stage)[0](0, 1).rows).reshape(5, 9, 9)
    irm = stage.setting.actual
    drawn = {
        "polariser_orientation": np.degrees(irm.orientation[0]),
        "polariser_extinction": np.log(irm.extinction[0]),
        "relative_transmission": irm.relative_transmission[0],
        "non_linearity": np.array([np.ravel(irm.non_linearity)[0], 0.0]),
    }
    function = peers.measurement(sources, scene, part, peers.statistics).function
    found = function(*(drawn[name] for name in sources)).reshape(5, 9, 9)
    np.testing.assert_allclose(found[..., :4], rows[..., :4], rtol=1e-8, atol=1e-11)
    assert (np.abs(found - rows)[..., 4:] <= 0.01 * rows[..., 1:2]).all()


def test_the_quantiles_of_the_peer_are_those_of_numpy():
    for n in (2, 7, 1000):
        gaps = np.random.default_rng(n).normal(size=(4, n))
        np.testing.assert_allclose(peers.quantiles(gaps), np.quantile(gaps, peers.QUANTILES, axis=1).T, rtol=1e-13, atol=1e-15)


def test_the_peers_inputs_have_the_amplitudes_of_the_sources(scene, part):
    job = peers.measurement(cases.ALL, scene, part, peers.moments)
    given = dict(zip(cases.ALL, zip(job.inputs, job.uncertainties, strict=True), strict=True))
    assert set(given["polariser_orientation"][1]) == {0.1} and set(given["polariser_extinction"][1]) == {0.25}
    x, u = given["hf_equalisation"]
    np.testing.assert_allclose(u / x, 0.001)
    assert given["non_linearity"][1].tolist() == [0.01, 0.0]


def test_two_codes_of_other_means_are_found_out():
    ours, theirs = np.random.default_rng(2).normal(0, 1, (2, 60, 35))
    assert peers.disagreement(ours, theirs) == ""
    theirs[:, 4] += 2
    assert peers.disagreement(ours, theirs).startswith("1 of 35 statistics")


def test_realisations_double_until_each_total_is_precise():
    """A standard deviation s that scatters by 10 % from image to image has a total with a relative error of 0.1/√N."""
    std = 1 + 0.1 * np.random.default_rng(3).standard_normal((campaign.MOST, 5))
    mean = np.zeros_like(std)
    n, (total, error) = campaign.doubled("noise", lambda a, b: (mean[a:b], std[a:b]), campaign.totals)
    assert n == 128 and (error <= 0.01 * total).all()  # (0.1 / 0.01)² = 100


def test_a_total_that_stays_uncertain_ends_the_campaign():
    mean = np.random.default_rng(4).standard_cauchy((campaign.MOST, 5))
    with pytest.raises(RuntimeError, match="noise: 256 realisations do not give every total"):
        campaign.doubled("noise", lambda a, b: (mean[a:b], np.ones((b - a, 5))), campaign.totals)


def test_a_total_is_taken_from_the_control_variate_where_that_knows_it_better():
    plain = {"total": 1.0, "mc_error": 0.1}
    rows = [plain | {"refined": 1.2, "refined_error": e} for e in (0.01, 0.2, np.nan)]
    np.testing.assert_array_equal(campaign.best(rows), [[1.2, 1.0, 1.0], [0.01, 0.1, 0.1]])


def test_a_ceiling_is_the_sum_of_the_arithmetic_unless_the_cache_is_slower():
    cost = {"flops": 1.0, "integers": 2.0, "divisions": 10.0, "roots": 20.0, "increments": 3.0, "rows": 5.0, "table": 1e9}
    count = ceiling.Count(flops=4, integers=3, divisions=1, roots=1, increments=1, rows=2, table=1)
    assert ceiling.ceiling(count, cost) == 4 + 6 + 10 + 20 + 3
    assert ceiling.ceiling(count.times(2) + ceiling.Count(rows=100), cost) == 104 * 5


def test_jobs_are_taken_in_turn_at_least_three_times():
    called: list[str] = []
    job = in_turn([lambda: called.append("a"), lambda: called.append("b")])
    found = least({"one": (job, 1.0), "two": (lambda: called.append("c"), 1.0)}, 0.0)
    assert called == ["a", "c", "b", "c", "a", "c"] and all(0 <= t < 1e9 for t in found.values())


def test_an_enlarged_scene_repeats_the_light_and_gives_each_pixel_its_own_address(scene):
    large = cases.enlarged(scene, 3000)
    assert np.unique(large.sample).size == np.unique(large.detector).size == 3000
    np.testing.assert_array_equal(large.stokes[:, : scene.theta.size], scene.stokes)
    assert partition(Strata(dolp=cases.edges(large)), large).cell.size == 3000
