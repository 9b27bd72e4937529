"""What a campaign and its commands know of a rule of precision: first stage, decision, what is short of it."""

import json
from pathlib import Path

import pytest
import yaml
from tests.test_stopping import NOISE, STOPPED, campaign
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, TINY

from radsens import chunk, io, stopping
from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.gather import joined
from radsens.operate import prune, status
from radsens.products import screen, tables
from radsens.schema import Fault
from radsens.stopping import Cell, Stages, StopAt

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
