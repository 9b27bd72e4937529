"""What a campaign takes: the proposed span keeps the jobs' length and number, and nothing is written where results go."""

from math import ceil
from pathlib import Path

import pytest
import yaml
from tests.workflow_tools import TINY

from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.operate import plan
from radsens.operate.plan import AIM, LONG, MOST_JOBS, SHORT, Cost

CONTROL = Cost("control", 1, 2.0, 0.0, 1000, 0)


def of(each, realisations=100_000, fixed=2.0, name="a"):
    return Cost(name, realisations, fixed, each, 1000.0, 10.0)


def test_a_job_lasts_its_fixed_part_and_its_realisations():
    one = of(0.5, realisations=25)
    assert (one.jobs(10), one.longest(10), one.longest(100), one.seconds(10)) == (3, 7.0, 14.5, 3 * 2 + 12.5)
    assert one.size(10) == (1000 + 250) + (3 * 1000 + 250)


@pytest.mark.parametrize("each", [0.01, 0.1, 1.0, 7.0])
@pytest.mark.parametrize("names", [1, 8])
def test_the_proposed_span_makes_jobs_of_five_to_thirty_minutes_and_not_too_many(each, names):
    realisations = ceil(names and min(100_000, MOST_JOBS * AIM / each / names / 1.3))
    costs = [CONTROL, *(of(each, realisations, name=str(k)) for k in range(names))]
    span, because = plan.proposal(costs, 50, 100)
    assert SHORT <= costs[1].longest(span) <= LONG, because
    assert sum(one.jobs(span) for one in costs) <= MOST_JOBS


def test_the_number_of_jobs_comes_before_their_length_and_it_says_so():
    costs = [CONTROL, of(10.0, 1_000_000)]
    span, because = plan.proposal(costs, 50, 100)
    assert sum(one.jobs(span) for one in costs) <= MOST_JOBS
    assert costs[1].longest(span) > LONG and "longer than 30 min" in because


def test_a_small_campaign_takes_one_job_for_each_source():
    span, because = plan.proposal([CONTROL, of(0.01, 60)], 20, 100)
    assert span == 60 and "so small" in because and "20 may stay" in because


def test_a_realisation_longer_than_a_job_should_be_makes_spans_of_one():
    assert plan.proposal([CONTROL, of(4000.0, 100)], 20, 100)[0] == 1


def test_jobs_are_shorter_where_longer_ones_would_leave_places_empty():
    costs = [CONTROL, of(1.0, 10_000)]
    assert plan.proposal(costs, 50, 5)[0] == 890
    span, _ = plan.proposal(costs, 50, 1000)
    assert SHORT <= costs[1].longest(span) < AIM


def test_the_wall_time_is_never_below_the_longest_job_nor_the_shared_work():
    costs = [CONTROL, of(1.0, 1000)]
    assert plan.wall(costs, 100, 1) == pytest.approx(2 + 10 * 102)
    assert plan.wall(costs, 100, 10) == pytest.approx(2 + 102)
    assert plan.wall(costs, 100, 1000) == pytest.approx(2 + 102)


@pytest.mark.parametrize(("span", "expected"), [(0.3, 1), (7.9, 7), (99, 99), (128, 120), (98_765, 98_000)])
def test_a_proposed_span_has_two_figures(span, expected):
    assert plan.tidy(span) == expected


@pytest.mark.parametrize(
    ("content", "jobs", "expected"),
    [("cores: 3\n", None, 3), ("jobs: 40\ncores: 3\n", None, 40), ("a: 1\n", None, 100), ("cores: 3\n", 7, 7), ("", None, 100)],
)
def test_the_jobs_at_once_are_those_of_the_profile_unless_given(here, content, jobs, expected):
    Path("profiles/own").mkdir(parents=True)
    Path("profiles/own/config.yaml").write_text(content, encoding="utf-8")
    assert plan.jobs_at_once(jobs, "own") == expected
    assert plan.jobs_at_once(jobs, None) == (jobs or 100)


def test_a_plan_is_measured_and_writes_nothing(here, capsys, monkeypatch):
    monkeypatch.setattr(plan, "BUDGET", 2.0)
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    assert run(lambda: app(["plan", "tiny.yaml", "--jobs", "4"])) == 0
    said = capsys.readouterr().out
    assert "as it is, span 2: 10 jobs" in said and "with 4 jobs at once" in said and "proposed, span 5: 4 jobs" in said
    assert [p.name for p in here.iterdir()] == ["tiny.yaml"]


def test_the_measured_sizes_are_those_of_the_chunks(here):
    from radsens import chunk, io

    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    campaign = Campaign.read("tiny.yaml")
    chunk.write_scene(campaign.scene_spec, "scene.nc")
    found = plan.cost(campaign, "both", Path("scene.nc"), 20.0)
    io.write("x.nc", chunk.compute(campaign.task("both"), "scene.nc", range(200)))
    # a histogram is packed, and grows the slower the fuller it is: a plan from few realisations is above the truth
    assert found.fixed_size + 200 * found.each_size == pytest.approx(Path("x.nc").stat().st_size, rel=0.3)
    assert found.each > 0 and found.realisations == 5
