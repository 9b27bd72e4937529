"""How a campaign stands, from its files alone: counted, in time, and never taking a numerical failure for a technical one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.operate_tools import jobs, lay_many, many, row, state, told
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, TIMEOUT, TINY, one_sentence

from radsens import record, work
from radsens.campaign import Campaign
from radsens.cli import app, run
from radsens.operate import status
from radsens.operate.outcomes import counted

# Counts what status asks of the file system under results/, in a process of its own: an audit hook cannot be taken away.
COUNTED = """
import sys
from collections import Counter
from radsens.campaign import Campaign
from radsens.operate import status
campaign = Campaign.read("big.yaml")
seen = Counter()
def hook(event, given):
    if event in ("open", "os.scandir") and given and "results" in str(given[0]):
        seen[event + (" chunk" if "chunks/" in str(given[0]) and event == "open" else "")] += 1
sys.addaudithook(hook)
found = status.status(campaign)
print(seen["open"], seen["open chunk"], seen["os.scandir"], sum(one.planned for one in found.sources), "pandas" in sys.modules)
"""


@pytest.fixture
def tiny(here):
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return Campaign.read("tiny.yaml")


def log_of(campaign, source, span):
    return campaign.root / "logs" / source / campaign.keys[source] / f"{span}.log"


def lay(path, content=b"whole"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def source_row(campaign, source):
    return next(one for one in status.status(campaign).sources if one.source == source)


def test_a_campaign_that_was_never_run_is_missing_altogether(tiny, capsys):
    assert run(lambda: app(["status", "tiny.yaml", "--json"])) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(r["source"], r["planned"], r["missing"]) for r in found["sources"]] == [
        (CONTROL, 1, 1),
        (ORIENTATION, 3, 3),
        (LINEARITY, 3, 3),
        (BOTH, 3, 3),
    ]
    assert not found["complete"] and not found["changed"] and found["master"] is None and found["bytes"] == 0
    assert [p.name for p in Path().iterdir()] == ["tiny.yaml"]


def test_each_state_of_a_job_is_told_from_its_files(tiny):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    first, second, third = SPANS
    lay(tiny.chunks(BOTH)[0])
    told(log_of(tiny, BOTH, first), state="done", seconds=12.0, realisations=2, numerical={"singular triplet": 1})
    told(log_of(tiny, BOTH, second), state="running")
    told(log_of(tiny, BOTH, third), state="failed", exit_code=1, reason="not enough memory")
    told(log_of(tiny, LINEARITY, first), state="running", pid=dead.pid)
    found = status.status(tiny)
    both = source_row(tiny, BOTH)
    assert (both.planned, both.done, both.running, both.failed, both.missing) == (3, 1, 1, 1, 0)
    assert both.mean_seconds == 12.0 and both.seconds_left == 24.0
    assert both.numerical == {"singular triplet": 1}
    reasons = {one["job"]: one["reason"] for one in found.failures}
    assert reasons[f"{BOTH}/{third}"] == "not enough memory"
    assert reasons[f"{LINEARITY}/{first}"].startswith("lost: ")
    assert len(reasons) == 2


@pytest.mark.parametrize(("age", "expected"), [(0, "running"), (record.SILENCE + 60, "failed")])
@pytest.mark.parametrize("sign", ["record", "work file"])
def test_a_job_of_another_host_lives_as_long_as_one_of_its_files_is_renewed(tiny, age, expected, sign):
    import os
    import time

    log, old = log_of(tiny, BOTH, SPANS[0]), time.time() - 10_000
    told(log, state="running", host="elsewhere")
    batches = work.beside(Path(tiny.chunks(BOTH)[0]))
    lay(batches)
    times = {record.path_of(log): old, batches: old}
    times[batches if sign == "work file" else record.path_of(log)] = time.time() - age
    for path, when in times.items():
        os.utime(path, (when, when))
    assert getattr(source_row(tiny, BOTH), expected) == 1


def test_a_chunk_that_was_taken_away_after_its_job_ended_well_is_missing(tiny):
    told(log_of(tiny, BOTH, SPANS[0]), state="done", seconds=1.0)
    assert source_row(tiny, BOTH).missing == 3


def test_records_of_other_settings_do_not_count(tiny):
    told(tiny.root / "logs" / BOTH / "0123456789ab" / f"{SPANS[0]}.log", state="failed", reason="of old")
    assert not status.status(tiny).failures


def test_a_step_that_is_not_a_span_tells_its_failure_too(tiny):
    told(tiny.root / "logs" / "scene" / f"{tiny.scene_key}.log", state="failed", reason="no space")
    told(tiny.root / "logs" / f"table-{tiny.id}.log", state="failed", reason="no rights")
    assert [one["reason"] for one in status.status(tiny).failures] == ["no space", "no rights"]


def test_a_realisation_that_failed_in_two_bands_counts_once():
    outcome = np.array([[0, 0], [0, 2], [1, 2], [2, 2]])
    names = np.array(["ok", "unphysical efficiency", "singular triplet"], dtype=object)
    assert counted(outcome, names) == {"realisations": 4, "numerical": {"unphysical efficiency": 1, "singular triplet": 2}}


def test_the_status_of_two_thousand_jobs_opens_each_record_once_and_no_chunk(here):
    Path("big.yaml").write_text(yaml.safe_dump({**TINY, "realisations": 666, "span": 1}), encoding="utf-8")
    campaign = Campaign.read("big.yaml")
    lay_many(campaign)
    assert jobs(campaign) == 1999
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    opened, chunks, listed, planned, pandas = done.stdout.split()
    assert int(planned) == 1999 and int(opened) <= 1999 + 10 and int(chunks) == 0 and pandas == "False"
    assert int(listed) <= 4 * len(campaign.names) + 10  # folders, not files


def test_the_time_left_is_that_of_what_remains_at_the_pace_of_what_runs(here):
    Path("big.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    campaign = many("big.yaml", 100, 1)
    lay_many(campaign)
    found = source_row(campaign, BOTH)
    assert (found.done, found.running, found.failed) == (90, 5, 5)
    assert found.seconds_left == 10 * 600 / 5


@pytest.mark.parametrize(("seconds", "said"), [(None, "-"), (3, "3 s"), (600, "10 min"), (36_000, "10 h")])
def test_a_time_is_said_as_a_person_says_it(seconds, said):
    assert status.duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (1500, "1.5 kB"), (2e9, "2 GB"), (3e13, "3e+04 GB")])
def test_a_size_is_said_as_a_person_says_it(count, said):
    assert status.size(count) == said


def test_a_campaign_that_cannot_be_read_is_told_in_one_sentence(refused):
    assert refused("status", "none.yaml").startswith("none.yaml: cannot be read")


@pytest.mark.workflow
def test_a_finished_campaign_is_complete_and_says_how_precise_it_is(finished):
    found = state(finished)
    assert found["complete"] and not found["failures"] and found["bytes"] > 10_000
    assert row(found, BOTH)["done"] == 3 and row(found, BOTH)["mean_seconds"] > 0
    shares = {
        line.split(",")[0]: 0.0 for line in (finished.results / "sensitivity.csv").read_text(encoding="utf-8").splitlines()[1:]
    }
    for line in (finished.results / "sensitivity.csv").read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        if cells[2] == "all" and float(cells[12]) > 0:
            shares[cells[0]] = max(shares[cells[0]], float(cells[15]) / float(cells[12]))
    for source, share in shares.items():
        assert row(found, source)["precision"] == pytest.approx(share)
    assert finished.radsens("status", "tiny.yaml").code == 0


@pytest.mark.workflow
def test_without_the_table_the_precision_comes_from_the_gathered_rows(desk):
    before = {one["source"]: one["precision"] for one in state(desk)["sources"]}
    for path in desk.results.glob(".tables/*"):
        path.unlink()
    found = state(desk)
    assert not found["complete"] and found["changed"]
    for one in found["sources"]:
        assert one["precision"] == (None if before[one["source"]] is None else pytest.approx(before[one["source"]]))


@pytest.mark.workflow
def test_changed_settings_are_told_and_losing_snakemakes_records_changes_nothing(desk):
    import shutil

    before = state(desk)
    shutil.rmtree(desk.root / ".snakemake")
    assert state(desk) == before
    desk.amplitude(**{LINEARITY: 0.02})
    found = state(desk)
    assert found["changed"] and not found["complete"]
    assert (row(found, LINEARITY)["missing"], row(found, ORIENTATION)["done"]) == (3, 3)
    assert "STALE" in desk.radsens("status", "tiny.yaml").out


@pytest.mark.workflow
def test_a_watched_status_of_a_complete_campaign_ends(finished):
    done = finished.radsens("status", "tiny.yaml", "--watch")
    assert done.code == 0 and "complete" in done.out


def test_a_bad_knob_is_told_by_each_command_in_one_sentence(here, capsys):
    Path("bad.yaml").write_text(yaml.safe_dump({**TINY, "spam": 1}), encoding="utf-8")
    for command in (["plan"], ["run"], ["status"], ["why"], ["rerun", "--failed"], ["prune"]):
        words = [command[0], "bad.yaml", *(["both/0"] if command[0] == "why" else command[1:])]
        assert run(lambda words=words: app(words)) == 2
        assert "spam" in one_sentence(capsys.readouterr().err)
