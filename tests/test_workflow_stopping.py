"""Stopping by precision with the real Snakemake: early where the first stage is precise, at the limit where it is not."""

import json
import shutil

import pytest
from tests.operate_tools import faulty
from tests.workflow_tools import LINEARITY, changed, lay

pytestmark = pytest.mark.workflow

NOISE = "radiometric_noise"
# After 20 realisations total of non_linearity has a standard error of about 1/√(2·20) = 16 % (12 % in this sample), that of
# noise on 200 pixels of 1/√(2·20·200) = 1 %: at 25 % the one needs a second stage and the other none, at 5 % the one hundreds.
LOOSE, TIGHT = ({"relative_error": error, "first": 20} for error in (0.25, 0.05))
STOPPED = changed(
    bands=["490P"],
    strata={},
    realisations=60,
    span=20,
    stop_at=LOOSE,
    sources={NOISE: {"snr": 200}, "non_linearity": {"sigma": 0.01}},
    combined={},
)
FIRST, SECOND, THIRD = "000000-000019", "000020-000039", "000040-000059"


@pytest.fixture(scope="module")
def stopped(finished, tmp_path_factory):
    """The campaign, run with the loose rule, and what Snakemake said."""
    desk = lay(tmp_path_factory.mktemp("stopped") / "a desk", finished.source, finished.cache)
    desk.write(STOPPED)
    return desk, desk.run()


@pytest.fixture
def own(stopped, tmp_path):
    """A checkout of one's own in which that is finished."""
    return stopped[0].copy(tmp_path / "a desk")


def decision(desk, source):
    """The decision of a source; that of one rule alone must stand."""
    (path,) = (desk.results / "enough" / source).iterdir()
    return path, json.loads(path.read_text(encoding="utf-8"))


def counted(desk):
    return {source: held["realisations"] for source, held in desk.summary["sources"].items()}


def test_each_source_ends_where_it_is_precise(stopped):
    desk, said = stopped
    assert said.rules == {"scene": 1, "warm": 1, "realise": 4, "enough": 2, "gather": 3, "table": 1}
    assert {span for source, span in said.spans if source == NOISE} == {FIRST}
    assert {span for source, span in said.spans if source == LINEARITY} == {FIRST, SECOND}
    assert counted(desk) == {"control": 1, NOISE: 20, LINEARITY: 40}
    assert decision(desk, LINEARITY)[1]["needed"] in range(21, 41)
    assert desk.summary["unreached"] == []
    assert desk.plan().nothing
    state = desk.radsens("status", "tiny.yaml")
    assert state.code == 0 and f"{LINEARITY}: 40 realisations are enough" in state.out


def test_a_tighter_rule_adds_spans_up_to_the_limit_says_what_is_short_and_the_way_back_keeps_all(own):
    own.write(STOPPED, stop_at=TIGHT)
    done = own.run()
    assert done.spans == {(LINEARITY, THIRD): 1}
    assert done.rules == {"enough": 2, "realise": 1, "gather": 1, "table": 1}
    assert counted(own) == {"control": 1, NOISE: 20, LINEARITY: 60}
    assert {one["source"] for one in own.summary["unreached"]} == {LINEARITY}
    said = own.radsens("table", "tiny.yaml")
    assert "stop_at not reached: non_linearity, in " in said.out and "STALE" not in said.out
    assert own.plan().nothing
    own.write(STOPPED)
    assert own.run().rules == {"table": 1}
    assert counted(own) == {"control": 1, NOISE: 20, LINEARITY: 40}


def test_without_the_rule_the_rest_is_computed_and_nothing_is_decided(own):
    own.write({knob: value for knob, value in STOPPED.items() if knob != "stop_at"})
    planned = own.plan()
    assert planned.spans == {(NOISE, SECOND): 1, (NOISE, THIRD): 1, (LINEARITY, THIRD): 1}
    assert planned.rules == {"realise": 3, "gather": 2, "table": 1}


def test_lost_files_are_made_again_alone_and_the_same(own):
    table, (path, before) = own.table, decision(own, LINEARITY)
    path.unlink()
    shutil.rmtree(own.root / ".snakemake")
    assert own.run().rules == {"enough": 1}
    assert decision(own, LINEARITY)[1] == before
    own.chunk(LINEARITY, FIRST).unlink()
    own.chunk(LINEARITY, SECOND).unlink()
    own.chunk(NOISE, FIRST).unlink()
    assert own.plan().spans == {(LINEARITY, FIRST): 1, (LINEARITY, SECOND): 1, (NOISE, FIRST): 1}
    done = own.run()
    assert done.rules["enough"] == 0 and done.rules["realise"] == 3
    assert own.table == table
    assert own.plan().nothing


def test_a_failed_first_stage_keeps_no_other_source_from_its_second_and_runs_again_alone(stopped, tmp_path):
    done = stopped[0]
    desk = lay(tmp_path / "a desk", done.source, done.cache)
    desk.write(STOPPED)
    assert desk.snakemake("--retries", 0, **faulty(desk, tmp_path / "site", f"kill:{NOISE}")).code != 0
    assert list(desk.results.glob(f"gaps/{LINEARITY}/*-40.nc"))
    assert not (desk.results / "sensitivity.csv").exists()
    again = desk.run()
    assert again.spans == {(NOISE, FIRST): 1}
    assert again.rules == {"realise": 1, "enough": 1, "gather": 1, "table": 1}
    assert desk.table == done.table
