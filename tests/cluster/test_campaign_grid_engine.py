"""Campaigns on a real Grid Engine through the profile `sge`: the same bytes as on a laptop, whatever happens on the way."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from tests import workflow_tools
from tests.cluster import grid_engine
from tests.cluster.grid_engine import ENVIRONMENT, qdel, qstat, script, until, waiting
from tests.operate_tools import HELD
from tests.workflow_tools import LINEARITY, ORIENTATION

from radsens import io, work

pytestmark = [pytest.mark.cluster, pytest.mark.workflow]

SOURCES = {ORIENTATION: {"sigma": 0.1}, LINEARITY: {"sigma": 0.01}}
PROFILE = ("--profile", "profiles/sge", "--latency-wait", 5, "--seconds-between-status-checks", 1)


class Cell(workflow_tools.Desk):
    """A checkout whose workflow runs on Grid Engine."""

    def environment(self, **more):
        return super().environment(**{**ENVIRONMENT, **more})

    def submit(self, *words, **how):
        return self.command("snakemake", *words, *PROFILE, "--configfile", "tiny.yaml", **how)

    def run_there(self, *words):
        done = self.submit(*words)
        assert done.code == 0, done.text
        return done

    def start(self, *words):
        """A command in the background, in a process group of its own."""
        with (self.root / "said.txt").open("w") as said:
            how = {"stdout": said, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "start_new_session": True}
            return subprocess.Popen([*map(str, words)], cwd=self.root, env=self.environment(), **how)


def sixty(realisations=60):
    """A campaign of 60 spans, or of as many as its realisations."""
    tree = {k: v for k, v in workflow_tools.TINY.items() if k != "combined"}
    return {**tree, "sources": SOURCES, "realisations": realisations, "span": 2}


@pytest.fixture(scope="session")
def done_there(finished, tmp_path_factory):
    """The campaign of 60 spans, run on Grid Engine once for all workers: its checkout, to be copied, and what was said."""
    if reason := grid_engine.why_not():
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "grid engine"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        desk = Cell(shared / "a desk", finished.source, finished.cache)
        said = shared / workflow_tools.SAID
        if not said.exists():
            with grid_engine.own():
                shutil.rmtree(desk.root, ignore_errors=True)  # what another worker could not finish
                workflow_tools.lay(desk.root, desk.source, desk.cache)
                desk.write(sixty())
                said.write_text(desk.run_there().text, encoding="utf-8")
    return desk, workflow_tools.Run(0, said.read_text(encoding="utf-8"), "")


@pytest.fixture
def cell(done_there, tmp_path):
    """A checkout of one's own in which the campaign of 60 spans is done, and Grid Engine to itself."""
    desk, _ = done_there
    with grid_engine.own():
        found = desk.copy(tmp_path / "a desk")
        yield Cell(found.root, found.source, found.cache)


@pytest.fixture
def empty(done_there, tmp_path):
    """A checkout in which nothing was run, and Grid Engine to itself."""
    desk, _ = done_there
    with grid_engine.own():
        laid = workflow_tools.lay(tmp_path / "an empty desk", desk.source, desk.cache)
        yield Cell(laid.root, laid.source, laid.cache)


def tables(desk):
    return {name: (desk.results / name).read_bytes() for name in ("sensitivity.csv", "control.csv", "strata.csv")}


def locally(desk, root, **changes):
    """The same campaign on this machine, cut into other spans."""
    local = workflow_tools.lay(root, desk.source, desk.cache)
    local.write({**sixty(), "span": 30, **changes})
    local.run()
    return local


def test_a_campaign_of_60_spans_gives_the_bytes_of_a_local_run(done_there, tmp_path):
    desk, run = done_there
    assert sum(run.sources[name] for name in SOURCES) == 60
    assert set(run.spans.values()) == {1}
    local = locally(desk, tmp_path / "local")
    assert tables(desk) == tables(local)
    for path in desk.results.glob("gaps/*/*.nc"):
        there, here = (io.read(d.results / path.relative_to(desk.results)) for d in (desk, local))
        assert there.attributes["results_sha256"] == here.attributes["results_sha256"]


def test_an_extension_from_60_to_80_spans_runs_20(cell):
    cell.write(sixty(80))
    run = cell.run_there()
    assert sum(run.sources.values()) == 20
    assert set(run.spans.values()) == {1}


def test_one_amplitude_changed_runs_that_source_alone(cell):
    cell.write({**sixty(8), "sources": {**SOURCES, LINEARITY: {"sigma": 0.02}}})
    assert cell.run_there().sources == {LINEARITY: 4}


def test_a_deleted_chunk_and_a_damaged_one_are_made_again_and_nothing_else(cell):
    before = tables(cell)
    cell.chunk(ORIENTATION).unlink()
    damaged = cell.chunk(LINEARITY, "000004-000005")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for gaps in cell.results.glob("gaps/*/*.nc"):
        gaps.unlink()  # gather looks at the chunks when it is asked for
    first = cell.submit()
    assert first.code != 0
    assert first.sources == {ORIENTATION: 1}
    assert "set aside as 000004-000005.nc.corrupt" in first.text
    assert cell.run_there().sources == {LINEARITY: 1}
    assert tables(cell) == before


def test_after_its_master_was_killed_radsens_run_takes_over_what_runs_and_computes_nothing_twice(empty, tmp_path):
    empty.write(sixty(24))
    slowly(empty)
    words = ("radsens", "run", "tiny.yaml", "--profile", "sge", "--", "--latency-wait", 5, "--seconds-between-status-checks", 1)
    killed = empty.start(*words)
    until(lambda: waiting()["r"] == 4 and "realise" in (empty.root / "said.txt").read_text())
    until(lambda: len(list(empty.results.glob("logs/*/*/0*.json"))) >= 4)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    again = empty.command(*words)
    assert again.code == 0, again.text
    assert "--unlock" in again.text, "the lock of the dead master was not taken away"
    assert "Taking over job" in again.text
    begun = Counter((empty.root / "begun").read_text().split())
    assert begun and set(begun.values()) == {1}, begun
    assert tables(empty) == tables(locally(empty, tmp_path / "local", realisations=24))


def slowly(desk):
    """Let each span of this checkout note its beginning and take seconds, as a real one does."""
    instead(desk, '"radsens --log', '"echo {wildcards.source}/{wildcards.span} >> begun; sleep 3; radsens --log')


def instead(desk, words, others):
    """Let the rule of the spans of this checkout run other words."""
    rule = desk.root / "workflow/rules/realise.smk"
    text = rule.read_text(encoding="utf-8")
    assert text.count(words) == 1
    rule.write_text(text.replace(words, others), encoding="utf-8")


LONG = {
    "bands": ["490P", "670P", "865P"],
    "scene": {"kind": "analytic", "solar_zenith": 40, "solar_azimuth": 60, "wind_speed": 5, "step": 4},
    "sources": {"hf_equalisation": {"sigma": 0.001}},
    "realisations": 300,
    "span": 300,
}


def held(desk):
    """Let the first try at the long span of this checkout stop itself once 60 % of it are on the disk: it cannot end."""
    (desk.root / "held.py").write_text(HELD.format(source="hf_equalisation", share=0.6), encoding="utf-8")
    instead(desk, '"radsens --log', '"python held.py --log')


def test_a_span_killed_at_60_percent_resumes_from_its_last_block(empty, tmp_path):
    empty.write({**sixty(), **LONG})
    held(empty)
    process = empty.start("snakemake", *PROFILE, "--configfile", "tiny.yaml")
    until(lambda: progress(empty) >= 0.6 or process.poll() is not None)
    kept = progress(empty)
    assert process.poll() is None, "it ended before it was killed: " + (empty.root / "said.txt").read_text()
    (job,) = until(lambda: len(found := [id for state, id in qstat() if state == "r"]) == 1 and found)
    qdel(job)
    assert kept < 1, "it ended before it was killed"
    assert process.wait(workflow_tools.TIMEOUT) == 0, (empty.root / "said.txt").read_text()
    said = (empty.root / "said.txt").read_text()
    assert "deleted while it ran" in said and "Trying to restart job" in said

    chunk = io.read(next(empty.results.glob("chunks/hf_equalisation/*/*.nc")))
    total = 3 * LONG["realisations"]
    assert chunk.attributes["resumed_realisations"] >= kept * total, "what was flushed was computed again"
    assert chunk.attributes["resumed_realisations"] + chunk.attributes["computed_realisations"] == total
    local = locally(empty, tmp_path / "local", **{**LONG, "span": 150})
    assert tables(empty) == tables(local)


def progress(desk):
    """Share of the one long span that its work file holds."""
    files = list(desk.results.glob("chunks/hf_equalisation/*/.*.work"))
    found = work.progress(files[0]) if files else None
    return found[0] / found[1] if found else 0.0


def test_cluster_check_follows_a_job_from_submission_to_log(empty):
    done = empty.radsens("cluster", "check", "--profile", "sge")
    assert done.code == 0, done.text
    for word in (
        "GE",
        "submission: job",
        "exit status 0",
        "exit marker: 0",
        "this is the log of",
        "s from submission",
        "all is well",
    ):
        assert word in done.out, done.text
    until(lambda: not qstat())  # the job has ended by its own account, a moment before its master's
    assert not list(empty.root.glob("*check.*")) + list(empty.root.glob(".check.*"))


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("DRMAA_LIBRARY_PATH", "/nowhere/libdrmaa.so", "set DRMAA_LIBRARY_PATH"),
        ("SGE_ROOT", "/nowhere", "to mend"),
    ],
)
def test_cluster_check_says_what_to_mend(empty, variable, value, sentence):
    done = empty.radsens("cluster", "check", "--profile", "sge", **{variable: value})
    assert done.code == 1, done.text
    assert sentence in done.out, done.text
    assert "Traceback" not in done.text


def test_an_outage_of_20_seconds_changes_no_byte_of_a_campaign(empty, tmp_path):
    empty.write(sixty(16))
    slowly(empty)
    process = empty.start("snakemake", *PROFILE, "--configfile", "tiny.yaml")
    until(lambda: Path(empty.root, "begun").exists() and waiting()["r"] == 4)
    script("ge_down.sh", "master")
    time.sleep(20)
    script("ge_up.sh", "master")
    assert process.wait(workflow_tools.TIMEOUT) == 0, (empty.root / "said.txt").read_text()
    begun = Counter((empty.root / "begun").read_text().split())
    assert set(begun.values()) == {1}, begun
    assert tables(empty) == tables(locally(empty, tmp_path / "local", realisations=16))
