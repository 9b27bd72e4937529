"""Why a chunk is as it is: its state, what was drawn, where, and a line that makes the same bits here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.operate_tools import faulty, told
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, TINY

from radsens import chunk, io
from radsens.campaign import Campaign
from radsens.cli import app, run


@pytest.fixture
def tiny(here):
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return Campaign.read("tiny.yaml")


def log_of(campaign, source, span):
    path = campaign.root / "logs" / source / campaign.keys[source] / f"{span}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("both", "CHUNK: give SOURCE/REALISATION, SOURCE/FIRST-LAST or the path of a chunk, such as both/7; got 'both'"),
        ("stray_light/0", "CHUNK: 'stray_light' is not in the campaign; it has control, polariser_orientation, "),
        ("both/5", "CHUNK: both has no realisation 5; the last one is 4"),
        ("control/1", "CHUNK: control has no realisation 1; the last one is 0"),
        ("both/000001-000002", "CHUNK: both has no span 000001-000002; its first is 000000-000001"),
        (
            "results/tiny/chunks/both/0123456789ab/000000-000001.nc",
            "results/tiny/chunks/both/0123456789ab/000000-000001.nc: is of",
        ),
        ("both/-1", "CHUNK: give SOURCE/REALISATION"),
    ],
)
def test_what_the_campaign_has_not_is_told_in_one_sentence(tiny, refused, what, said):
    assert refused("why", "tiny.yaml", what).startswith(said)


def explained(capsys, what):
    assert run(lambda: app(["why", "tiny.yaml", what])) == 0
    return capsys.readouterr().out


def test_a_span_that_never_ran_is_missing_and_the_line_makes_its_scene_too(tiny, capsys):
    said = explained(capsys, "both/3")
    assert said.startswith(f"both/{SPANS[1]}: missing\n")
    assert "record: none" in said
    assert said.splitlines()[-1] == (
        f"  radsens scene tiny.yaml --output {tiny.scene} && "
        f"radsens realise both {SPANS[1]} --task tiny.yaml --output both-{SPANS[1]}.nc"
    )


def test_a_technical_failure_says_where_and_shows_the_end_of_its_logs(tiny, capsys):
    log = log_of(tiny, BOTH, SPANS[0])
    log.write_text("\n".join(f"line {i}" for i in range(40)), encoding="utf-8")
    log.with_name("o.4711.3").write_text("killed by the scheduler", encoding="utf-8")
    about = {"host": "node12", "pid": 9, "scheduler": "Grid Engine", "job_id": "4711.3", "exit_code": 1, "seconds": 7.5}
    told(log, **about, state="failed", ended="2026-01-02", reason="not enough memory", attempt=2, earlier=[{"state": "lost"}])
    said = explained(capsys, f"both/{SPANS[0]}")
    assert said.startswith(f"both/{SPANS[0]}: failed: technical failure: not enough memory\n")
    assert "attempt 2" in said and "host node12, process 9, Grid Engine job 4711.3" in said
    assert "after 7.5 s with exit code 1" in said and 'earlier: {"state": "lost"}' in said
    assert "  line 39" in said and "  line 25" in said and "  line 24" not in said
    assert "killed by the scheduler" in said


def test_a_lost_job_is_told_apart(tiny, capsys):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    told(log_of(tiny, BOTH, SPANS[0]), state="running", pid=dead.pid)
    assert "failed: technical failure: lost: " in explained(capsys, "both/0")


def test_a_numerical_failure_is_a_result_with_its_reason_and_its_draws(here, capsys):
    reckless = {
        **TINY,
        "sources": {"relative_transmission": {"sigma": 0.3}},
        "combined": {},
        "error_in": "instrument",
        "realisations": 2000,
        "span": 2000,
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(reckless), encoding="utf-8")
    campaign, name = Campaign.read("tiny.yaml"), "relative_transmission"
    chunk.write_scene(campaign.scene_spec, campaign.scene)
    made = chunk.compute(campaign.task(name), campaign.scene, range(2000))
    io.write(campaign.chunks(name)[0], made)
    bad = int(np.flatnonzero(made["outcome"][:, 0])[0])
    said = explained(capsys, f"{name}/{bad}")
    assert f"realisation {bad}: a numerical failure, which is a result: unphysical transmission in band 490P" in said
    drawn = ", ".join(f"{v:.9g}" for v in made["relative_transmission"][bad, 0])
    assert f"  relative_transmission 490P: {drawn} [1]" in said
    assert "technical" not in said
    whole = explained(capsys, campaign.chunks(name)[0])
    failed = int((made["outcome"] > 0).any(axis=1).sum())
    assert f"realisations: 2000, of which {failed} are numerical failures" in whole


@pytest.mark.workflow
def test_the_line_of_why_makes_the_same_bits(desk):
    said = desk.radsens("why", "tiny.yaml", f"{BOTH}/4").out
    file = io.read(desk.chunk(BOTH, SPANS[2]))
    assert f"results_sha256 {file.attributes[io.DIGEST]}" in said
    assert "attempt 1" in said and "with exit code 0" in said and "numba " in said
    line = said.splitlines()[-1].strip()
    assert desk.command("bash", "-c", line).code == 0
    assert io.read(desk.root / f"{BOTH}-{SPANS[2]}.nc").attributes[io.DIGEST] == file.attributes[io.DIGEST]


@pytest.mark.workflow
def test_every_job_of_the_workflow_leaves_its_record_and_numerical_failures_are_counted_from_it(finished, desk, tmp_path):
    from radsens import record

    logs = finished.results / "logs"
    found = {str(p.relative_to(logs).parts[0]).partition("-")[0]: record.read(p) for p in logs.rglob("*.json")}
    assert set(found) == {"scene", "warm", CONTROL, ORIENTATION, LINEARITY, BOTH, "table"}
    assert {content["state"] for content in found.values()} == {"done"}
    spans = [record.read(p) for p in logs.rglob("00*.json")]
    assert len(spans) == 10 and all(one["numerical"] == {} and one["realisations"] in (1, 2) for one in spans)
    desk.chunk(BOTH).unlink()
    environment = faulty(desk, tmp_path / "site", f"memory:{BOTH}")
    assert desk.snakemake(**environment).code == 1
    said = desk.radsens("why", "tiny.yaml", f"{BOTH}/0").out
    assert "failed: technical failure: not enough memory" in said and "attempt 2" in said
    assert "radsens: not enough memory" in said  # of the log
