"""Campaigns on a real Slurm through profiles/trex: status by squeue without accounting, by sacct with slurmdbd.

These tests change the machine's Slurm from one mode to the other, so that they only run where RADSENS_CLUSTER_TESTS=1 allows it
(as root, on a machine that may be thrown away); tests/cluster/slurm_up.sh starts it.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.workflow_tools import BOTH, CONTROL, LINEARITY, ORIENTATION, SPANS, TIMEOUT, one_sentence

UP = Path(__file__).with_name("slurm_up.sh")
MODES = {"squeue": [], "sacct": ["--accounting"]}
ARRAY = re.compile(r"Submitted array job with Snakemake IDs \S+ and SLURM job ID (\d+)")
WORDS = ["--profile", "profiles/trex", "--configfile", "tiny.yaml", "--slurm-init-seconds-before-status-checks", "2"]
MORE = [f"{n:06d}-{n + 1:06d}" for n in range(4, 12, 2)]

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(
        os.environ.get("RADSENS_CLUSTER_TESTS") != "1",
        reason="no Slurm here: as root on a throw-away machine, run tests/cluster/slurm_up.sh and set RADSENS_CLUSTER_TESTS=1",
    ),
]


@pytest.fixture(scope="module", params=MODES)
def status_command(request):
    """Slurm up in a mode: the command that tells the state of jobs there."""
    up = subprocess.run([UP, *MODES[request.param]], capture_output=True, text=True, timeout=TIMEOUT)
    assert up.returncode == 0, up.stdout + up.stderr
    return request.param


@pytest.fixture
def submit(desk, status_command):
    """Run the workflow of the desk through Slurm, each failure at its first."""

    def run(*words, **environment):
        words = (*WORDS, "--slurm-status-command", status_command, "--latency-wait", "5", "--retries", "0", *words)
        return desk.command("timeout", "-s", "KILL", TIMEOUT, "snakemake", *words, **{"RADSENS_ACCOUNT": "lab", **environment})

    return run


def forget(desk, *sources):
    for source in sources:
        shutil.rmtree(desk.results / "chunks" / source)


def intercept(desk, folder, case):
    """PATH on which `radsens` first does what `case` says of its words, then is itself."""
    path = desk.environment()["PATH"]
    command = folder / "bin" / "radsens"
    command.parent.mkdir()
    command.write_text(f'#!/bin/bash\n{case}\nexec {shutil.which("radsens", path=path)} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return f"{command.parent}{os.pathsep}{path}"


# What Slurm reserved (asked of it: the executor clears most of SLURM_*), what libraries are told, what the kernels are told.
TOLD = """if [[ $* =~ realise.*--threads\\ ([0-9]+) ]]; then
    reserved=$(scontrol show job --oneliner "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" | grep -o "NumCPUs=[0-9]*")
    echo "$reserved $OMP_NUM_THREADS ${{BASH_REMATCH[1]}}" >> "{seen}"
fi"""


def test_a_campaign_gives_the_bytes_of_the_local_run_with_no_more_threads_than_were_reserved(desk, submit, tmp_path):
    table = desk.table
    forget(desk, ORIENTATION, BOTH)
    seen = tmp_path / "seen"
    path = intercept(desk, tmp_path, TOLD.format(seen=seen))
    done = submit("--set-threads", "realise=2", PATH=path)
    assert done.code == 0, done.text
    assert done.spans == {(name, span): 1 for name in (ORIENTATION, BOTH) for span in SPANS}
    assert len(ARRAY.findall(done.text)) == 1, "the six spans are one submission"
    assert desk.table == table
    lines = [line.split() for line in seen.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 6
    assert all(line == ["NumCPUs=2", "2", "2"] for line in lines)


# One span fails by itself, one is cancelled as it runs, one never ends. The id of an array is that of its last task as well:
# a task is named by both numbers.
ILL = """case "$*" in
    *"realise both 000000"*) exit 3 ;;
    *"realise both 000002"*) scancel "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; sleep 60 ;;
    *"realise non_linearity 000000"*) sleep 150 ;;
esac"""


def test_jobs_that_fail_or_are_cancelled_leave_their_siblings_and_are_rerun_alone(desk, submit, tmp_path):
    table = desk.table
    forget(desk, BOTH)
    failed = submit(PATH=intercept(desk, tmp_path, ILL))
    assert failed.code == 1, failed.text
    assert re.search(r"SLURM status is: '?FAILED", failed.text)
    assert re.search(r"SLURM status is: '?CANCELLED", failed.text)
    assert [s for s in SPANS if list((desk.results / "chunks" / BOTH).glob(f"*/{s}.nc"))] == [SPANS[2]]
    done = submit()
    assert done.code == 0, done.text
    assert done.spans == {(BOTH, span): 1 for span in SPANS[:2]}
    assert desk.table == table


def test_a_job_beyond_its_wall_time_is_reported_and_leaves_nothing_half_done(desk, submit, status_command, tmp_path):
    if status_command == "sacct":
        pytest.skip("a minute long, and the report differs by nothing")
    forget(desk, LINEARITY)
    failed = submit("--set-resources", "realise:runtime=1", PATH=intercept(desk, tmp_path, ILL))
    assert failed.code == 1, failed.text
    assert re.search(r"SLURM status is: '?TIMEOUT", failed.text)
    assert sorted(p.stem for p in (desk.results / "chunks" / LINEARITY).glob("*/*")) == list(SPANS[1:])


def test_raising_the_realisations_submits_the_new_spans_alone(desk, submit):
    desk.write(realisations=12, sources={ORIENTATION: {"sigma": 0.1}}, combined={})
    done = submit()
    assert done.code == 0, done.text
    assert done.spans == Counter({(ORIENTATION, span): 1 for span in MORE})
    assert [p.name for p in (desk.results / "chunks" / CONTROL).glob("*/*")] == ["000000-000000.nc"]


def test_an_account_that_slurm_does_not_know_is_told_and_nothing_runs(desk, submit, status_command):
    if status_command == "squeue":
        pytest.skip("without accounting Slurm takes any account")
    forget(desk, BOTH)
    refused = submit(RADSENS_ACCOUNT="nobody")
    assert refused.code == 1
    assert "account nobody appears to be invalid" in refused.text
    assert not (desk.results / "chunks" / BOTH).exists() or not list((desk.results / "chunks" / BOTH).glob("*/*"))


def test_a_missing_account_ends_in_one_sentence_and_nothing_is_submitted(desk, submit):
    forget(desk, BOTH)
    before = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], capture_output=True, text=True).stdout.count("JobId=")
    refused = submit(RADSENS_ACCOUNT="")
    assert refused.code != 0
    assert "RADSENS_ACCOUNT is not set" in one_sentence(refused.text)
    after = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], capture_output=True, text=True).stdout.count("JobId=")
    assert after == before
