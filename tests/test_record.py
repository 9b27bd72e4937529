"""Records of jobs: what became of each, told without Snakemake and never at the price of the job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radsens import record
from radsens.cli import app, run

BEGUN = "import sys; from radsens import record; record.begin(sys.argv[1]); print('begun', flush=True); sys.stdin.read()"


def begun_by_another_process(log):
    """A process that has begun a job and waits."""
    process = subprocess.Popen([sys.executable, "-c", BEGUN, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_job_that_ends_well_says_where_and_how_long_it_ran(here):
    assert run(lambda: app(["--log", "logs/a.log", "sources"])) == 0
    found = record.read("logs/a.json")
    assert found["state"] == "done" and found["exit_code"] == 0 and found["reason"] == ""
    assert found["pid"] == os.getpid() and found["host"] == os.uname().nodename
    assert 0 <= found["seconds"] < 60 and found["started"] <= found["ended"]
    assert set(found["versions"]) == {"radsens", "python", "numpy", "numba", "netCDF4"}
    assert [p.name for p in Path("logs").iterdir()] == ["a.json"]


def test_a_job_that_fails_leaves_its_sentence_and_the_next_attempt_remembers_it(here):
    for _ in range(2):
        assert run(lambda: app(["--log", "a.log", "scene", "{", "--output", "x.nc"])) == 2
    found = record.read("a.json")
    assert found["state"] == "failed" and found["attempt"] == 2
    assert found["reason"].startswith("SPEC: not valid JSON")
    assert [(one["state"], one["exit_code"]) for one in found["earlier"]] == [("failed", 2)]


def test_the_memory_of_a_record_is_bounded(here):
    for _ in range(record.KEPT + 3):
        record.begin("a.log")
    found = record.read("a.json")
    assert found["attempt"] == record.KEPT + 3
    assert len(found["earlier"]) == record.KEPT
    assert {one["state"] for one in found["earlier"]} == {"lost"}


def test_a_killed_job_leaves_running_and_its_process_is_seen_to_be_gone(here):
    process = begun_by_another_process("a.log")
    assert record.alive(record.read("a.json")) is True
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = record.read("a.json")
    assert found["state"] == "running" and record.alive(found) is False


def test_another_process_of_the_same_number_is_not_the_job(here):
    record.begin("a.log")
    assert record.alive({**record.read("a.json"), "process_began": 1}) is False


def test_the_process_of_another_host_is_neither_alive_nor_dead(here):
    record.begin("a.log")
    assert record.alive({**record.read("a.json"), "host": "elsewhere"}) is None


def test_a_living_job_renews_the_time_of_its_record(here, monkeypatch):
    monkeypatch.setattr(record, "BEAT", 0.05)
    record.begin("a.log")
    os.utime("a.json", (0, 0))
    end = time.monotonic() + 20
    while Path("a.json").stat().st_mtime == 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    record.end("a.log", 0, "")


def test_a_record_that_cannot_be_written_does_not_stop_the_job(here, capsys):
    Path("logs").write_text("a file where the folder should be", encoding="utf-8")
    assert run(lambda: app(["--log", "logs/a.log", "sources"])) == 0
    assert "polariser_orientation" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"earlier": 3, "attempt": "x", "pid": "y"}', "\x00"])
def test_a_record_that_is_damaged_does_not_stop_the_job(here, content):
    Path("a.json").write_text(content, encoding="utf-8")
    assert run(lambda: app(["--log", "a.log", "sources"])) == 0
    assert record.read("a.json")["state"] == "done"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (None, None)),
        ({"JOB_ID": "7"}, (None, None)),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined"}, ("Grid Engine", "7")),
        ({"JOB_ID": "7", "SGE_TASK_ID": "3"}, ("Grid Engine", "7.3")),
        ({"SLURM_JOB_ID": "9"}, ("Slurm", "9")),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "1"}, ("Slurm", "8_1")),
        ({"PBS_JOBID": "5[2].server"}, ("PBS", "5[2].server")),
    ],
)
def test_the_scheduler_and_its_number_of_the_job_are_told_by_the_environment(environment, expected):
    assert record.scheduler_job(environment) == expected


def test_a_command_without_a_log_leaves_no_record(here):
    assert run(lambda: app(["sources"])) == 0
    assert not list(here.iterdir())
