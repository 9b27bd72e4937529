"""The contract of failure with the real Snakemake: what fails leaves nothing half done, says why, and is done again alone."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, TIMEOUT, Run, one_sentence

from radsens import io

pytestmark = pytest.mark.workflow

LOCKED = "cannot be locked"

# Ends the real command as a node does that runs out of memory: killed, without a word.
KILLED = """#!/bin/bash
case "$*" in *"realise both 000002-000003"*) kill -KILL $$ ;; esac
exec {radsens} "$@"
"""

# Ends it while it writes: part of the variables are in the file, which is still open.
KILLED_WHILE_WRITING = """
import os, signal
from radsens import cli, io

put, written = io._put, []

def put_some(dataset, name, variable):
    written.append(name)
    if len(written) > 9:
        dataset.sync()
        os.kill(os.getpid(), signal.SIGKILL)
    return put(dataset, name, variable)

io._put = put_some
cli.main()
"""


def forget(desk, *sources):
    """Delete the gathered rows of sources and the tables, so that gather reads the chunks again."""
    for source in sources:
        shutil.rmtree(desk.results / "gaps" / source)
    for path in desk.results.iterdir():
        if path.is_file():
            path.unlink()


def test_a_killed_span_leaves_its_siblings_and_is_rerun_alone(desk, tmp_path):
    table = desk.table
    forget(desk, BOTH)
    for span in SPANS:
        desk.chunk(BOTH, span).unlink()
    fake = tmp_path / "bin" / "radsens"
    fake.parent.mkdir()
    fake.write_text(KILLED.format(radsens=shutil.which("radsens", path=desk.environment()["PATH"])), encoding="utf-8")
    fake.chmod(0o755)
    failed = desk.snakemake(PATH=f"{fake.parent}:{desk.environment()['PATH']}")
    assert failed.code == 1
    assert failed.spans == {(BOTH, span): 1 for span in SPANS}
    assert [span for span in SPANS if list((desk.results / "chunks" / BOTH).glob(f"*/{span}.nc"))] == [
        SPANS[0],
        SPANS[2],
    ]
    assert not (desk.results / "sensitivity.csv").exists()
    done = desk.run()
    assert done.spans == {(BOTH, SPANS[1]): 1}
    assert done.rules == {"realise": 1, "gather": 1, "table": 1}
    assert desk.table == table


def _truncate(path):
    os.truncate(path, path.stat().st_size * 3 // 4)


def _flip_a_bit(path):
    """Of the data, not of the attributes: the file stays readable."""
    content, mean = bytearray(path.read_bytes()), io.read(path)["mean"].tobytes()
    content[content.index(mean) + len(mean) // 2] ^= 4
    path.write_bytes(content)


def _take_its_neighbour(path):
    shutil.copy(path.with_name(f"{SPANS[1]}.nc"), path)


def test_damaged_chunks_are_set_aside_by_gather_and_recomputed_alone(desk):
    table = desk.table
    forget(desk, ORIENTATION, LINEARITY, BOTH)
    damaged = {}
    for source, damage in ((ORIENTATION, _truncate), (LINEARITY, _flip_a_bit), (BOTH, _take_its_neighbour)):
        damaged[source] = desk.chunk(source)
        damage(damaged[source])
    failed = desk.snakemake()
    assert failed.code == 1
    assert failed.rules == {"gather": 3}
    reasons = {
        ORIENTATION: "not a readable netCDF file",
        LINEARITY: "damaged: its data",
        BOTH: "holds other realisations",
    }
    for source, path in damaged.items():
        (log,) = (desk.results / "logs" / source).glob("*-5.log")
        said = one_sentence(log.read_text(encoding="utf-8"))
        assert reasons[source] in said
        assert "set aside as 000000-000001.nc.corrupt, and the next run makes it again" in said
        assert said in failed.text
        assert path.with_name(path.name + ".corrupt").exists()
        assert not path.exists()
    done = desk.run()
    assert done.spans == {(source, SPANS[0]): 1 for source in damaged}
    assert desk.table == table


def test_damaged_gathered_rows_are_set_aside_by_the_table_and_gathered_again_alone(desk):
    table = desk.table
    forget(desk)
    (gaps,) = (desk.results / "gaps" / BOTH).iterdir()
    _truncate(gaps)
    failed = desk.snakemake()
    assert failed.code == 1
    assert "set aside" in failed.text
    assert desk.run().rules == {"gather": 1, "table": 1}
    assert desk.table == table


def test_a_file_half_written_by_a_killed_job_does_not_count_and_is_swept(desk):
    chunk, table = desk.chunk(LINEARITY, SPANS[1]), desk.table
    forget(desk, LINEARITY)
    chunk.unlink()
    words = ["realise", LINEARITY, SPANS[1], "--task", "tiny.yaml", "--output", chunk]
    assert desk.command("python", "-c", KILLED_WHILE_WRITING, *words).code == -signal.SIGKILL
    (part,) = chunk.parent.glob(".*.part")
    assert part.stat().st_size > 0
    assert not chunk.exists()
    assert desk.run().spans == {(LINEARITY, SPANS[1]): 1}
    assert desk.table == table
    assert not list(chunk.parent.glob(".*"))


def _start(desk, said):
    """A master at work on one job after the other, once it has finished the first of them."""
    command = ["snakemake", "--profile", "profiles/test", "--configfile", "tiny.yaml", "--cores", "1"]
    with said.open("w") as out:
        master = subprocess.Popen(
            command, cwd=desk.root, env=desk.environment(), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    end = time.monotonic() + TIMEOUT
    while "steps (" not in said.read_text():
        assert master.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.05)
    return master


def _await_end(session):
    """Wait until the job that a killed master left has ended, and thus the session of that master."""
    end, look = time.monotonic() + TIMEOUT, ["ps", "-o", "stat=", "-s", str(session)]
    while any(not state.startswith("Z") for state in subprocess.run(look, capture_output=True, text=True).stdout.split()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_second_master_ends_with_the_lock_and_the_first_loses_nothing(desk, tmp_path):
    table = desk.table
    forget(desk, BOTH)
    for span in SPANS:
        desk.chunk(BOTH, span).unlink()
    first = _start(desk, tmp_path / "said.txt")
    os.kill(first.pid, signal.SIGSTOP)  # it would else be through before the second has begun
    second = desk.snakemake()
    assert first.poll() is None
    os.kill(first.pid, signal.SIGCONT)
    assert second.code == 1
    assert LOCKED in second.text
    assert first.wait(TIMEOUT) == 0
    assert desk.table == table
    assert desk.plan().nothing


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["master", "master and job"])
def test_a_killed_master_is_resumed_where_it_was(desk, tmp_path, kill):
    """Alone, it leaves a job that ends its chunk without being seen; Snakemake does that chunk again, and all the rest."""
    table = desk.table
    forget(desk, BOTH)
    for span in SPANS:
        desk.chunk(BOTH, span).unlink()
    master = _start(desk, tmp_path / "said.txt")
    kill(master.pid, signal.SIGKILL)
    master.wait(TIMEOUT)
    said = Run(0, (tmp_path / "said.txt").read_text(), "")
    finished = [span for _, span in said.spans][: said.text.count("steps (")]  # they come one after the other
    assert LOCKED in desk.snakemake().text
    assert desk.snakemake("--unlock").code == 0
    _await_end(master.pid)
    standing = [path.stem for path in (desk.results / "chunks" / BOTH).glob("*/*.nc")]
    done = desk.run()
    # a chunk that ended between the last end that Snakemake told of and the kill stands: it may be done again
    assert {(BOTH, span) for span in SPANS if span not in standing} <= set(done.spans)
    assert set(done.spans) <= {(BOTH, span) for span in SPANS if span not in finished}
    assert set(done.spans.values()) <= {1}
    assert desk.table == table


@pytest.mark.parametrize("what", ["scene/*.nc", "chunks/control/*/*.nc", f"chunks/{BOTH}/*/{SPANS[0]}.nc", f"gaps/{BOTH}/*.nc"])
def test_what_an_unseen_job_ended_hides_nothing_that_is_missing(desk, what):
    """Such a file stands, but Snakemake takes it for half done: it is made again, and what else is missing is made too."""
    desk.chunk(LINEARITY, SPANS[2]).unlink()
    forget(desk)
    (file,) = desk.results.glob(what)
    name = base64.b64encode(str(file.relative_to(desk.root)).encode()).decode()
    marks = desk.root / ".snakemake" / "incomplete"
    marks.mkdir(exist_ok=True)
    (marks / name).write_text(json.dumps({"external_jobid": None}))
    planned = desk.plan()
    assert f"output: {file.relative_to(desk.root)}" in planned.text, "Snakemake takes the file for half done"
    assert planned.spans[LINEARITY, SPANS[2]] == 1
    assert planned.rules["table"] == 1


@pytest.mark.parametrize("verb", ["scene", "realise", "gather", "table"])
def test_a_full_disk_is_one_sentence_and_leaves_everything_as_it_was(desk, verb):
    """A limit of 1 KiB on the size of a file stands for the disk."""
    gaps = sorted((desk.results / "gaps").glob("*/*.nc"))
    chunks = desk.chunk(CONTROL, "000000-000000").parent
    words = {
        "scene": ["tiny.yaml", "--output", "results/tiny/new.nc"],
        "realise": [BOTH, SPANS[0], "--task", "tiny.yaml", "--output", desk.chunk(BOTH)],
        "gather": [chunks, "--realisations", 1, "--span", 2, "--output", "results/tiny/new.nc"],
        "table": ["results/tiny", *gaps, "--write", "0123456789ab"],
    }
    before = desk.files()
    full = desk.radsens(verb, *words[verb], before="ulimit -f 1")
    assert full.code == 2
    assert "cannot be written" in one_sentence(full.err)
    assert desk.files() == before


def test_a_rule_that_fails_is_a_failure_of_snakemake_whose_log_holds_the_sentence(fresh):
    fresh.write(strata={"field": [0, 30, 65, 70]})
    failed = fresh.snakemake()
    assert failed.code == 1
    (log,) = (fresh.results / "logs" / "scene").glob("*.log")
    said = one_sentence(log.read_text(encoding="utf-8"))
    assert said.startswith("radsens: strata.field: no pixel of the scene is in field:65-70deg in any band")
    assert said in failed.text
    assert "Traceback" not in failed.text
    assert not list(fresh.results.rglob("*.nc"))


@pytest.mark.parametrize("words", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_results_that_are_no_folder_are_refused_before_anything_runs(fresh, words):
    (fresh.root / "results").write_text("not a folder")
    done = fresh.snakemake(*words)
    assert done.code == 2
    assert "results cannot be written there" in one_sentence(done.err)
    assert not done.rules
    check = fresh.radsens("check", "tiny.yaml")
    assert check.code == 2
    assert "results cannot be written there" in one_sentence(check.err)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere without setpriv")
def test_results_without_the_right_to_write_are_refused_before_anything_runs(fresh):
    results = fresh.root / "results"
    results.mkdir()
    results.chmod(0o555)
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = fresh.command(*powerless, "snakemake", "--profile", "profiles/test", "--configfile", "tiny.yaml")
    results.chmod(0o755)
    assert done.code == 2
    assert "results cannot be written there" in one_sentence(done.err)
    assert not list(results.iterdir())
