"""Stopping by precision: two stages give the standard error that is asked, with the confidence that is promised."""

import numpy as np
import pytest
from scipy import stats
from tests.workflow_tools import TINY, changed

from radsens import stopping
from radsens.campaign import Campaign
from radsens.config import parse
from radsens.products import tables
from radsens.schema import Fault
from radsens.stopping import Cell, Stages, StopAt

NOISE = "radiometric_noise"
STOPPED = changed(
    realisations=400,
    span=10,
    stop_at={"relative_error": 0.05, "first": 20},
    sources={**TINY["sources"], NOISE: {"snr": 200}},
)
ROW = {"band": "490P", "stratum": "all", "quantity": "I", "n_realisations": 20, "n_failed": 0, "mean": 0.0}


def campaign(**knobs):
    return Campaign(parse({**STOPPED, **knobs}))


def row(total, mc_error, **labels):
    return {**ROW, "total": total, "mc_error": mc_error, **labels}


def stages(first=20, most=10_000, span=10, drawn=True, **rule):
    return Stages(stop_at=StopAt(**(rule or {"relative_error": 0.01})), span=span, first=first, most=most, drawn=drawn)


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "digits", "delta"),
    [
        (0.000_35, 2, 0.5e-5),  # JCGM 101:2008, 7.9.2, example 1: 35 × 10⁻⁵ (recalled)
        (0.000_4, 1, 0.5e-4),  # example 2: 4 × 10⁻⁴ (recalled)
        (2.0, 1, 0.5),  # example 3: 2 × 10⁰ (recalled)
        (0.0996, 2, 0.5e-2),  # two digits of it are 10 × 10⁻²
        (99.6, 1, 50.0),  # one digit of it is 1 × 10²
    ],
)
def test_the_tolerance_is_half_a_unit_of_the_last_significant_digit(total, digits, delta):
    assert stopping.tolerance(total, digits) == pytest.approx(delta, rel=1e-15)
    assert 2 * StopAt(digits=digits).wanted(total) == pytest.approx(delta, rel=1e-15)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({}, "stop_at: give either relative_error or digits, not both and not neither"),
        ({"relative_error": 0.01, "digits": 1}, "stop_at: give either relative_error or digits"),
        ({"relative_error": 0}, "stop_at.relative_error: must be > 0"),
        ({"digits": 3}, "stop_at.digits: must be 1 or 2, got 3"),
        ({"digits": 1, "first": 5}, "stop_at.first: must be ≥ 20, got 5"),
        ({"digits": 1, "quantities": ["V"]}, "stop_at.quantities: there is no 'V'; there are I, Q, U, dolp, aolp"),
        (
            {"digits": 1, "strata": ["dolp:0-1"]},
            "stop_at.strata: there is no stratum 'dolp:0-1'; the campaign has all, those of ",
        ),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_is_refused_in_one_sentence(rule, sentence):
    with pytest.raises(Fault) as fault:
        campaign(stop_at=rule)
    assert str(fault.value).startswith(sentence)


# --- how many are enough ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [stopping.LEAST, 50, 100, 1000])
@pytest.mark.parametrize("drawn", [True, False])
def test_the_margin_is_that_of_a_chi_square(count, drawn):
    """Wilson and Hilferty's χ², whose largest error is that of the fewest realisations; see `margin`."""
    nu = stopping.freedom(count, drawn)
    assert stopping.margin(nu) == pytest.approx(nu / stats.chi2.ppf(0.1, nu), rel=0.03)


def test_replicates_of_sobol_points_give_seven_degrees_of_freedom_however_many_points_they_have():
    settings = {"stop_at": StopAt(relative_error=0.01), "span": 8, "first": 800, "most": 8000, "drawn": True}
    assert Stages(**settings, replicates=True).freedom == 7
    assert Stages(**settings).freedom == stopping.freedom(800, True) > 7
    pixels = Stages(**{**settings, "drawn": False}, replicates=True)
    assert pixels.freedom == stopping.freedom(800, False)  # nothing there is a Sobol point


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [3, 1, 0.1]])
def test_no_quadratic_form_of_normals_has_a_larger_kurtosis_than_a_single_square(weights):
    w = np.array(weights)
    z = np.random.default_rng(2).standard_normal((1_000_000, w.size)) ** 2 @ w
    exact = 3 + 12 * (w**4).sum() / (w**2).sum() ** 2
    assert exact <= stopping.DRAWN
    # the sample kurtosis of 10⁶ has a spread of about 0.6 at a single square (eighth moments), less elsewhere
    assert stats.kurtosis(z, fisher=False) == pytest.approx(exact, rel=0.15)


# Image means m and standard deviations s of n realisations, and var(z) / mean(z)² of their z in closed form: the standard
# error of total, relative to it, is the root of that over 2√n.
LAWS = {
    # one parameter: m and s are both proportional to it
    "one draw": (lambda rng, n: _one_draw(rng.standard_normal(n)), 2.0, True),
    # three independent parameters: z is χ² of 3
    "three draws": (lambda rng, n: _three_draws(rng.standard_normal((3, n))), 2 / 3, True),
    # one parameter upon noise that is thrice as large in the image
    "one draw in noise": (lambda rng, n: (rng.standard_normal(n), np.full(n, 3.0)), 2 / 100, True),
    # 200 pixels of noise: s² is χ²(200)/200, m has a spread of 1/√200
    "pixels": (lambda rng, n: (rng.standard_normal(n) / 200**0.5, np.sqrt(rng.chisquare(200, n) / 200)), 2 / 200, False),
}


def _one_draw(x):
    return x, 2 * np.abs(x)


def _three_draws(x):
    return x[0], np.hypot(x[1], x[2])


def needed_by(rng, law, first, relative, drawn):
    found = tables.statistics_of(*law(rng, first))
    ratio = found["mc_error"] / (relative * found["total"])
    return stopping.needed(1, ratio * first**0.5, stopping.freedom(first, drawn))  # as if none were there yet


@pytest.mark.parametrize("first", [20, 100])
@pytest.mark.parametrize("name", LAWS)
def test_nine_samples_of_ten_at_least_ask_for_realisations_enough(name, first):
    """1500 samples: a share of 0.9 is known to 0.008; the least of these, one draw in noise after 100, is about 0.93."""
    law, variance, drawn = LAWS[name]
    rng, relative = np.random.default_rng(3), 0.01
    asked = np.array([needed_by(rng, law, first, relative, drawn) for _ in range(1500)])
    enough = variance / (4 * relative**2)
    assert np.mean(asked >= enough) >= 0.9
    bare = asked / stopping.margin(stopping.freedom(first, drawn))
    assert np.mean(bare >= enough) < 0.7, "without the margin it would be a matter of luck"


def test_the_standard_error_that_the_table_tells_in_the_end_is_the_one_that_was_asked():
    """Both stages played 300 times for one drawn parameter, 5 % asked: the share that reaches it is known to 0.017."""
    law, rng, reached = LAWS["one draw"][0], np.random.default_rng(4), []
    for _ in range(300):
        m, s = law(rng, 20_000)
        at_first = tables.statistics_of(m[:100], s[:100])
        cell = Cell(band="", stratum="", quantity="", wanted=0.05 * at_first["total"], **_of(at_first))
        n = stopping.decide("", "", stages(100, 20_000), [cell]).realisations
        found = tables.statistics_of(m[:n], s[:n])
        reached.append(found["mc_error"] <= 0.05 * found["total"])
    assert np.mean(reached) >= 0.9


def _of(found):
    return {name: float(found[name]) for name in ("total", "mc_error")}


def test_an_image_of_noise_averages_over_its_pixels():
    """2000 images of 500 pixels: total to 1/√(2·500·2000) = 0.07 %, a number known to 1/√4000 = 2 %, 4 sigma below."""
    rng, pixels, images = np.random.default_rng(5), 500, 2000
    gaps = rng.standard_normal((images, pixels))
    found = tables.statistics_of(gaps.mean(axis=1), gaps.std(axis=1))
    share = found["mc_error"] / found["total"]
    assert share == pytest.approx(1 / np.sqrt(2 * pixels * images), rel=0.08)
    assert stopping.images_for(pixels, share) == pytest.approx(images, rel=0.16)


def test_realisations_come_in_whole_spans_and_never_more_than_are_allowed():
    assert [stopping.whole(n, 50, 120) for n in (1, 50, 51, 100.5, 1e9)] == [50, 50, 100, 120, 120]
    rule = StopAt(digits=1, first=100)
    assert stopping.first_stage(rule, True, 30, 1000) == 120
    assert stopping.first_stage(rule, False, 3, 1000) == 9, "pixels alone: eight images say enough"


# --- which cells ask --------------------------------------------------------------------------------------------------


def test_the_worst_cell_decides_and_the_decision_names_it():
    found = stopping.cells(
        StopAt(relative_error=0.1), [row(1.0, 0.05), row(2.0, 0.3, quantity="Q"), row(1.0, 0.01, quantity="U")]
    )
    decision = stopping.decide("k", "a", stages(100, relative_error=0.1), found)
    assert decision.worst == Cell(band="490P", stratum="all", quantity="Q", total=2.0, mc_error=0.3, wanted=0.2)
    nu = 2 * 100 / 14
    expected = 100 * 1.5**2 * nu / stats.chi2.ppf(0.1, nu)
    assert decision.needed == pytest.approx(expected, rel=0.01) and decision.realisations == 410 and not decision.cut
    assert stopping.sentence(decision) == (
        "a: 410 realisations are enough: after 100 the standard error of 490P Q is 0.15 of its total, 0.1 is wanted"
    )


def test_a_precise_first_stage_is_enough():
    assert stopping.decide("k", "a", stages(20), stopping.cells(StopAt(relative_error=0.1), [row(1.0, 0.001)])).needed == 20


def test_a_decision_that_is_cut_says_what_would_be_needed():
    decision = stopping.decide("k", "a", stages(20, 30), stopping.cells(StopAt(relative_error=0.01), [row(1.0, 0.2)]))
    assert decision.cut and decision.realisations == 30
    assert stopping.sentence(decision).startswith(f"a: 30 realisations, the most, where {decision.needed} are needed: ")


@pytest.mark.parametrize(
    "zeros",
    [
        [row(0.0, 0.0)],
        [row(3e-16, 2e-16)],  # rounding, and nothing beside it
        [row(1e-2, 1e-7), row(1e-9, 5e-10, quantity="dolp")],  # the rounding of float32 beside a gap
    ],
)
def test_a_gap_that_is_zero_but_for_rounding_asks_for_nothing(zeros):
    decision = stopping.decide("k", "a", stages(), stopping.cells(StopAt(relative_error=0.01), zeros))
    assert decision.realisations == 20


def test_cells_without_pixels_or_that_nobody_asks_about_ask_for_nothing():
    rule = StopAt(relative_error=0.01, strata=("all",), quantities=("I",))
    nan = float("nan")
    rows = [row(1.0, 0.5, stratum="field:0-30deg"), row(1.0, 0.5, quantity="U"), row(nan, nan, mean=nan)]
    assert stopping.cells(rule, rows) == []
    said = stopping.sentence(stopping.decide("k", "a", stages(), []))
    assert said == "a: 20 realisations: the gaps that stop_at asks about are zero, or not there"


@pytest.mark.parametrize(("failed", "mean"), [(20, float("nan")), (19, 0.1)])
def test_a_source_whose_realisations_failed_goes_to_the_limit_and_says_why(failed, mean):
    nan = float("nan")
    cells = stopping.cells(StopAt(relative_error=0.01), [row(nan, nan, mean=mean, n_failed=failed)])
    decision = stopping.decide("k", "a", stages(most=500), cells)
    assert decision.cut and decision.realisations == 500
    assert "too few of the first 20 did not fail" in stopping.sentence(decision)
