"""The three scripts of profiles/hal-qsub against answers of PBS, and under the real Snakemake with PBS's interface replayed.

Debian has no PBS: nothing here ran on a real one. The answers are written after what a trial with OpenPBS 23.06 noted (exit
codes, history off, unknown id) and its JSON format; they are not captures.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.operate_tools import until
from tests.workflow_tools import LINEARITY, SPANS, TIMEOUT

PROFILE = Path(__file__).parents[2] / "profiles/hal-qsub"
REPLAYED = Path(__file__).with_name("pbs_replayed.py")
JOB = "1234.pbs"
HEAD = '{"timestamp": 1763724000, "pbs_version": "23.06.06", "pbs_server": "pbs"'


def script(name):
    """A script of the profile as a module."""
    spec = importlib.util.spec_from_file_location(f"hal_qsub_{name}", PROFILE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def job(state, **more):
    return f'{HEAD}, "Jobs": {{"{JOB}": {json.dumps({"Job_Name": "realise", "job_state": state, **more})}}}}}'


def a_command(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def status(tmp_path):
    """What the status script says when qstat gives an answer with an exit code, of a job that was missed for some seconds."""

    def said(answer, code=0, missed=None):
        (tmp_path / "answer").write_text(answer, encoding="utf-8")
        aged = f"touch -c -d '{missed} seconds ago' .snakemake/qsub/{JOB}.missed; " if missed else ""  # however slow its start
        a_command(tmp_path / "bin", "qstat", f'echo "$@" > asked; {aged}cat answer; exit {code}\n')
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, PROFILE / "status.py", JOB],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )

    return said


def marker(folder, text):
    path = folder / f".snakemake/qsub/{JOB}.exit"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("text", "word"), [("0\n", "success"), ("1\n", "failed"), ("143\n", "failed"), ("", "failed")])
def test_the_exit_code_that_the_job_left_decides_and_the_server_is_not_asked(text, word, status, tmp_path):
    marker(tmp_path, text)
    assert status(job("R")).stdout.split() == [word]
    assert not (tmp_path / "asked").exists()


ANSWERS = {
    "queued": (job("Q"), 0, "running", ""),
    "held": (job("H"), 0, "running", ""),
    "running": (job("R"), 0, "running", ""),
    "ending": (job("E", Exit_status=0), 0, "running", ""),
    "ended well": (job("F", Exit_status=0), 0, "success", ""),
    "failed": (job("F", Exit_status=1), 0, "failed", "exit code 1"),
    "killed": (job("F", Exit_status=271), 0, "failed", "killed by signal 15: wall time, memory or qdel"),
    "wall time": (job("F", Exit_status=-29), 0, "failed", "killed at its wall time"),
    "deleted in the queue": (job("F"), 0, "failed", "deleted before it ran"),
    "server unreachable": ("", 255, "running", ""),
    "server refuses": ("", 111, "running", ""),
    "not JSON": ("<html>try later</html>", 0, "running", ""),
    "JSON of another kind": ("[1, 2]", 0, "running", ""),
    "nothing": ("", 0, "running", ""),
    "server under its long name": (job("F", Exit_status=0).replace("1234.pbs", "1234.pbs.site.invalid"), 0, "success", ""),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_of_the_server_is_one_word(case, status, tmp_path):
    answer, code, word, reason = ANSWERS[case]
    said = status(answer, code)
    assert said.stdout == f"{word}\n"
    assert reason in said.stderr
    assert bool(said.stderr) == (word == "failed")
    assert (tmp_path / "asked").read_text(encoding="utf-8").split() == ["-x", "-f", "-F", "json", JOB]


FORGOTTEN = {"history off": (f"{HEAD}}}", 0), "unknown id": ("", 153)}


@pytest.mark.parametrize("case", FORGOTTEN)
def test_a_job_that_the_server_forgot_has_failed_if_no_exit_code_comes_within_a_minute(case, status, tmp_path):
    assert status(*FORGOTTEN[case]).stdout == "running\n"
    assert status(*FORGOTTEN[case], missed=50).stdout == "running\n"
    said = status(*FORGOTTEN[case], missed=70)
    assert said.stdout == "failed\n"
    assert JOB in said.stderr
    marker(tmp_path, "0\n")
    assert status(*FORGOTTEN[case]).stdout == "success\n"


def test_a_job_that_is_seen_again_is_not_missed_any_more(status, tmp_path):
    status(*FORGOTTEN["unknown id"])
    os.utime(tmp_path / f".snakemake/qsub/{JOB}.missed", (time.time() - 70,) * 2)
    assert status(job("R")).stdout == "running\n"
    assert status(*FORGOTTEN["unknown id"]).stdout == "running\n"


@pytest.mark.parametrize(
    ("minutes", "text"), [(1, "00:01:00"), (59, "00:59:00"), (60, "01:00:00"), (90, "01:30:00"), (4320, "72:00:00")]
)
def test_a_wall_time_is_hours_and_minutes_below_sixty(minutes, text):
    assert script("submit").walltime(minutes) == text


def asked(**resources):
    wildcards = {"source": "control", "span": "000000-000001"}
    needs = {"mem_mb": 3000, "runtime": 90, **resources}
    return {"rule": "realise", "jobid": 7, "wildcards": wildcards, "threads": 4, "resources": needs}


def test_what_a_job_needs_is_said_in_the_words_of_pbs():
    words = script("submit").options(asked(), Path("/here"))
    assert words == [
        *("-r", "n", "-N", "realise", "-j", "oe", "-o", "/here/realise-control-000000-000001.log"),
        *("-l", "select=1:ncpus=4:mem=3000mb", "-l", "walltime=01:30:00"),
    ]


def test_queue_account_and_node_features_are_said_where_the_site_gives_them():
    words = script("submit").options(asked(queue="qdev", account="lab", select=":generation=g2019"), Path("/here"))
    assert "select=1:ncpus=4:mem=3000mb:generation=g2019" in words
    assert words[-4:] == ["-q", "qdev", "-A", "lab"]


# --- the real Snakemake ------------------------------------------------------------------------------------------------


class Pbs:
    """The replayed commands in front of PATH of a desk."""

    def __init__(self, desk, folder):
        self.desk, self.folder = desk, folder
        (folder / "bin").mkdir(parents=True)
        for name in ("qsub", "qstat", "qdel"):
            shutil.copy(REPLAYED, folder / "bin" / name)
            (folder / "bin" / name).chmod(0o755)
        self.environment = {
            "PATH": f"{folder / 'bin'}{os.pathsep}{desk.environment()['PATH']}",
            "PBS_REPLAYED": str(folder),
        }
        self.words = ["--profile", "profiles/hal-qsub", "--configfile", "tiny.yaml", "--jobs", "3"]
        self.words += ["--seconds-between-status-checks", "1", "--latency-wait", "5", "--retries", "0"]

    def run(self, *words):
        return self.desk.command("timeout", "-s", "KILL", TIMEOUT, "snakemake", *self.words, *words, **self.environment)

    @property
    def calls(self):
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.called"))]


@pytest.fixture
def pbs(desk, tmp_path):
    """The replayed commands, and the tiny campaign of which one source is to be done."""
    shutil.rmtree(desk.results / "chunks" / LINEARITY)
    return Pbs(desk, tmp_path / "pbs")


# The command that the jobs find first: it fails for one span, and is killed in another.
ILL = """case "$*" in
    *"realise non_linearity 000000"*) exit 3 ;;
    *"realise non_linearity 000002"*) kill -KILL $(ps -o ppid= $(ps -o ppid= $PPID)) $PPID; kill -KILL $$ ;;
esac
exec {radsens} "$@"
"""


@pytest.mark.workflow
def test_jobs_that_fail_leave_their_siblings_and_are_rerun_alone_to_the_bytes_of_the_local_run(pbs):
    """The rerun has no job history: the exit codes that jobs leave tell their ends. The reserved threads reach the kernels."""
    table = pbs.desk.table
    real = shutil.which("radsens", path=pbs.environment["PATH"])
    a_command(pbs.folder / "bin", "radsens", ILL.format(radsens=real))
    failed = pbs.run()
    assert failed.code != 0
    stands = [span for span in SPANS if list((pbs.desk.results / "chunks" / LINEARITY).glob(f"*/{span}.nc"))]
    assert stands == [SPANS[2]]
    (pbs.folder / "bin/radsens").unlink()
    (pbs.folder / "forgetful").touch()
    done = pbs.run("--set-threads", "realise=2")
    assert done.code == 0, done.text
    assert done.spans == {(LINEARITY, span): 1 for span in SPANS[:2]}
    assert pbs.desk.table == table
    asked_for = [words[words.index("-l") + 1] for words in pbs.calls]
    assert asked_for == ["select=1:ncpus=1:mem=1500mb"] * 3 + ["select=1:ncpus=2:mem=1500mb"] * 2
    assert all("--threads 2" in pbs.desk.chunk(LINEARITY, span).read_bytes().decode("latin-1") for span in SPANS[:2])


@pytest.mark.workflow
def test_a_submission_that_is_refused_is_told_in_the_words_of_qsub(pbs):
    a_command(pbs.folder / "bin", "qsub", 'echo "qsub: Unknown queue" >&2; exit 170\n')
    done = pbs.run()
    assert done.code != 0
    assert "qsub refused the job (exit code 170) and said: qsub: Unknown queue; it was called as qsub -r n" in done.text


def between_rounds(asked):
    """Whether the server was asked for each of three jobs, and for none in the last third of the time between two rounds."""
    return asked.exists() and len(set(asked.read_text(encoding="utf-8").split())) == 3 and time.time() - asked.stat().st_mtime > 3


@pytest.mark.workflow
def test_ctrl_c_between_two_rounds_of_status_checks_deletes_the_jobs(pbs):
    """During a round Snakemake itself holds no job that it could delete: docs/clusters.md says what to type after Ctrl-C."""
    a_command(pbs.folder / "bin", "radsens", "sleep 300\n")
    said = pbs.folder / "said"
    how = {
        "cwd": pbs.desk.root,
        "env": pbs.desk.environment(**pbs.environment),
        "stderr": subprocess.STDOUT,
        # a test run in the background of a shell would hand down that Ctrl-C is ignored
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    words = ["snakemake", *pbs.words, "--seconds-between-status-checks", "9"]
    with said.open("w") as out, subprocess.Popen(words, stdout=out, **how) as master:
        try:
            until(lambda: between_rounds(pbs.folder / "asked"), master, said)
            master.send_signal(signal.SIGINT)
            master.wait(TIMEOUT)
        finally:
            master.kill()
    until(lambda: len(list(pbs.folder.glob("*.code"))) == 3, None, said)  # qdel may outlive Snakemake
    assert sorted(p.read_text(encoding="utf-8") for p in pbs.folder.glob("*.code")) == ["271"] * 3
    sessions = ",".join(p.read_text(encoding="utf-8").strip() for p in pbs.folder.glob("*.pid"))
    left = subprocess.run(["ps", "-o", "stat=", "-s", sessions], capture_output=True, text=True, check=False).stdout.split()
    assert not [state for state in left if not state.startswith("Z")]  # a container may have nobody to reap the dead
