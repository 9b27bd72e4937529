"""Stopping by precision: two stages give the standard error that is asked, with the confidence that is promised."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, TINY, changed

from radsens import chunk, io, stopping
from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.config import parse
from radsens.gather import joined
from radsens.operate import prune, status
from radsens.products import screen, tables
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
    assert stopping.sentence(stopping.decide("k", "a", stages(), [])) == "a: 20 realisations: all its gaps are zero"


@pytest.mark.parametrize(("failed", "mean"), [(20, float("nan")), (19, 0.1)])
def test_a_source_whose_realisations_failed_goes_to_the_limit_and_says_why(failed, mean):
    nan = float("nan")
    cells = stopping.cells(StopAt(relative_error=0.01), [row(nan, nan, mean=mean, n_failed=failed)])
    decision = stopping.decide("k", "a", stages(most=500), cells)
    assert decision.cut and decision.realisations == 500
    assert "too few of the first 20 did not fail" in stopping.sentence(decision)


# --- what a campaign knows --------------------------------------------------------------------------------------------


def decide(one, name, count):
    """A decision as the workflow would have left it."""
    key, path = one.decision_keys[name], Path(one.decision_path(name))
    worst = Cell(band="490P", stratum="all", quantity="I", total=1.0, mc_error=0.1, wanted=0.05)
    found = stopping.decide(key, name, one.staged[name], [worst]).model_copy(update={"realisations": count, "needed": count})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(), encoding="utf-8")
    return path


def test_no_key_of_a_chunk_depends_on_the_rule(here):
    assert campaign().keys == campaign(stop_at=None).keys == campaign(stop_at={"digits": 1}).keys


def test_what_is_decided_has_a_key_of_all_that_it_is_made_of(here):
    changes = [{}, {"stop_at": {"digits": 1}}, {"realisations": 500}, {"span": 20}, {"seed": 1}]
    found = [campaign(**change) for change in changes]
    assert len({one.decision_keys[LINEARITY] for one in found}) == len(changes)
    assert len({one.id for one in found}) == len(changes)


def test_a_campaign_knows_its_first_stage_and_then_what_was_decided(here):
    one = campaign()
    assert list(one.staged) == [ORIENTATION, NOISE, LINEARITY, BOTH]
    assert [one.realisations(n) for n in one.names] == [1, 20, 10, 20, 20]
    assert [one.most(n) for n in one.names] == [1, 400, 400, 400, 400]
    first, identity = one.files, one.id
    decide(one, LINEARITY, 70)
    assert (one.realisations(LINEARITY), one.most(LINEARITY)) == (70, 70)
    assert one.spans(LINEARITY)[-1] == "000060-000069" and one.gaps(LINEARITY).endswith("-70.nc")
    assert one.id == identity, "Snakemake asks for it before anything is decided"
    assert set(one.begun) <= set(first) & set(one.files) and len(one.files) == len(first) + 5


@pytest.mark.parametrize("knobs", [{"stop_at": None}, {"realisations": 20}, {"realisations": 1}])
def test_a_campaign_of_one_stage_decides_nothing(here, knobs):
    one = campaign(**{**knobs, "sources": TINY["sources"]})
    assert not one.decisions and one.most(LINEARITY) == one.realisations(LINEARITY) == one.config.realisations


def test_a_decision_that_stands_waits_for_no_lost_chunk(here):
    one = campaign()
    assert one.decided_by(LINEARITY) == one.first_chunks(LINEARITY) and len(one.first_chunks(LINEARITY)) == 2
    decide(one, LINEARITY, 70)
    assert one.decided_by(LINEARITY) == []


@pytest.mark.parametrize("content", ["{", "{}", '{"key": 5}'])
def test_a_damaged_decision_is_told_in_one_sentence(here, capsys, content):
    one = campaign()
    decide(one, LINEARITY, 70).write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit):
        Campaign.load(STOPPED)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is damaged" in said and "take it away" in said


def test_a_decision_under_the_name_of_another_is_refused(here):
    one = campaign()
    path = decide(one, LINEARITY, 70)
    path.write_text(path.read_text(encoding="utf-8").replace(one.decision_keys[LINEARITY], "0123456789ab"), encoding="utf-8")
    with pytest.raises(Fault, match="holds the key 0123456789ab"):
        one.realisations(LINEARITY)


def test_status_says_what_is_decided_and_is_complete_only_with_all_decisions(here):
    one = campaign()
    decide(one, LINEARITY, 70)
    found = status.status(one)
    assert not found.complete
    assert next(r for r in found.sources if r.source == LINEARITY).planned == 7
    assert f"{ORIENTATION}: 20 realisations first, at most 400 in all: not decided yet" in found.stages
    assert any(line.startswith(f"{LINEARITY}: 70 realisations are enough: after 20 ") for line in found.stages)


def test_no_chunk_goes_before_it_is_decided_that_it_is_not_needed(here):
    one = campaign()
    late = Path(one.chunk_folder(LINEARITY), "000100-000109.nc")
    late.parent.mkdir(parents=True)
    late.touch()
    assert prune.leaves(one) == []
    path = decide(one, LINEARITY, 70)
    other = path.with_name("0123456789ab.json")
    other.write_text("{}", encoding="utf-8")
    whys = {leaf.path: leaf.why for leaf in prune.leaves(one)}
    assert whys == {late: "span of another cutting", other: "decision of other settings"}


def test_noise_that_is_realised_too_often_is_told_without_any_rule():
    one = campaign(stop_at=None, realisations=1000)
    assert one.averaging(50_000) == [
        "radiometric_noise: about 10 realisations give total to 0.1%, as an image averages over its pixels; 1000 are asked for"
    ]
    assert one.averaging(400) == [], "an image that small does need as many"


def test_check_says_it_and_names_the_strata_that_there_are(here, capsys):
    large = {**TINY["scene"], "pixels": 5000}
    Path("a.yaml").write_text(yaml.safe_dump({**STOPPED, "scene": large}), encoding="utf-8")
    assert run(lambda: app(["check", "a.yaml"])) == 0
    said = capsys.readouterr().out
    assert "20 to 400" in said and "radiometric_noise: about 100 realisations" in said and "4 decisions" in said
    rule = {"digits": 1, "strata": ["field:0-31deg"]}
    Path("a.yaml").write_text(yaml.safe_dump({**STOPPED, "stop_at": rule}), encoding="utf-8")
    assert run(lambda: app(["check", "a.yaml"])) == 2
    assert "stop_at.strata: there is no stratum 'field:0-31deg'; the scene has all, field:0-30deg" in capsys.readouterr().err


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def computed(here):
    """A campaign whose first stage of noise stands."""
    one = campaign(scene={**TINY["scene"], "pixels": 40}, strata={}, bands=["490P"])
    chunk.write_scene(one.scene_spec, one.scene)
    (path,) = one.first_chunks(NOISE)
    chunk.write_chunk(one.task(NOISE), one.scene, range(10), Path(path), key=one.keys[NOISE])
    return one


def enough(one, stages=None, key=None):
    stages = stages or one.staged[NOISE].model_dump_json()
    words = ["enough", one.chunk_folder(NOISE), "--stages", stages, "--key", key or one.decision_keys[NOISE]]
    return [*words, "--output", one.decision_path(NOISE)]


def test_a_decision_is_made_from_the_rows_of_the_first_stage(computed, capsys):
    assert run(lambda: app(enough(computed))) == 0
    decision = computed.decision(NOISE)
    assert stopping.sentence(decision) in capsys.readouterr().out
    rows = tables.rows_of(NOISE, joined([io.read(computed.first_chunks(NOISE)[0])]))
    worst = max(rows, key=lambda one: one["mc_error"] / one["total"])
    assert (decision.worst.quantity, decision.worst.mc_error) == (worst["quantity"], worst["mc_error"])
    ratio = worst["mc_error"] / worst["total"] / 0.05
    assert decision.needed == stopping.needed(10, ratio, 10.0) and decision.first == 10


def test_a_decision_that_cannot_be_made_is_refused_in_one_sentence(computed, refused):
    other = json.loads(computed.staged[NOISE].model_dump_json())
    assert "key: 0123456789ab was planned" in refused(*enough(computed, key="0123456789ab"))
    assert "--stages: not valid JSON" in refused(*enough(computed, stages="{"))
    missing = {**other, "first": 20}
    key = stopping.key(computed.keys[NOISE], Stages.model_validate(missing))
    assert "000010-000019.nc" in refused(*enough(computed, stages=json.dumps(missing), key=key))
    away = {**other, "stop_at": {**other["stop_at"], "strata": ["field:0-30deg"]}}
    key = stopping.key(computed.keys[NOISE], Stages.model_validate(away))
    said = refused(*enough(computed, stages=json.dumps(away), key=key))
    assert said == "stop_at.strata: there is no stratum 'field:0-30deg' in the rows; they have all"


def test_the_table_says_which_cells_have_not_reached_the_precision(computed, capsys):
    file = joined([io.read(computed.first_chunks(NOISE)[0])])
    frame = tables.sensitivity({CONTROL: file, NOISE: file})
    assert tables.unreached(frame, StopAt(relative_error=0.5)) == []
    found = tables.unreached(frame, StopAt(relative_error=0.001))
    assert len(found) == 5 and {one["source"] for one in found} == {NOISE}
    ratios = [one["mc_error"] / one["wanted"] for one in found]
    assert ratios == sorted(ratios, reverse=True) and ratios[-1] > 1
    screen.show_unreached(screen.console(), found)
    said = capsys.readouterr().out
    assert f"stop_at not reached: {NOISE}, in 5 cells; the worst is 490P {found[0]['quantity']} in all: standard error" in said
