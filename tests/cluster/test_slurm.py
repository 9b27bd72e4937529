"""Campaigns on a real Slurm through profiles/trex: status by squeue without accounting, by sacct with slurmdbd.

These tests change the machine's Slurm from one mode to the other, so that they only run where RADSENS_CLUSTER_TESTS=1 allows it
(as root, on a machine that may be thrown away); tests/cluster/slurm_up.sh starts it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cluster import grid_engine
from tests.workflow_tools import BOTH, CHECKOUT, CONTROL, LINEARITY, ORIENTATION, SPANS, TIMEOUT, one_sentence

UP = Path(__file__).with_name("slurm_up.sh")
MODES = {"squeue": [], "sacct": ["--accounting"]}
SUBMITTED = re.compile(r"Job \d+ has been submitted with SLURM jobid (\d+)")
# The executor adds ten seconds to its pause at each look that finds no end; a look that finds one brings the first pause back.
WORDS = ["--profile", "profiles/trex", "--configfile", "tiny.yaml", "--slurm-init-seconds-before-status-checks", "1"]
WORDS += ["--seconds-between-status-checks", "1", "--latency-wait", "5", "--retries", "0"]

pytestmark = [pytest.mark.workflow, pytest.mark.cluster]


@contextmanager
def alone():
    """One test at a time has Slurm, whatever the number of pytest's workers."""
    with open(Path(tempfile.gettempdir()) / "radsens-slurm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget(desk, *sources):
    for source in sources:
        shutil.rmtree(desk.results / "chunks" / source)


def spans(desk, source):
    return sorted(p.stem for p in (desk.results / "chunks" / source).glob("*/*.nc"))


def jobs():
    """Numbers of the jobs that Slurm knows, those that ended in the last five minutes included: it forgets them."""
    known = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"JobId=(\d+)", known))


def intercept(desk, folder, case):
    """PATH on which `radsens` first does what `case` says of its words, then is itself."""
    path = desk.environment()["PATH"]
    command = folder / "bin" / "radsens"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/bash\n{case}\nexec {shutil.which("radsens", path=path)} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return f"{command.parent}{os.pathsep}{path}"


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    """How the states of jobs are asked for."""
    return request.param


@pytest.fixture
def submit(mode, desk):
    """Run the workflow of the desk through a Slurm of one of the modes, each failure at its first."""
    if reason := grid_engine.why_not():
        pytest.skip(reason.replace("Grid Engine", "Slurm"))

    def run(*words, **environment):
        words = (*WORDS, "--slurm-status-command", mode, *words)
        return desk.command("timeout", "-s", "KILL", TIMEOUT, "snakemake", *words, **{"RADSENS_ACCOUNT": "lab", **environment})

    with alone():
        up = subprocess.run([UP, *MODES[mode]], capture_output=True, text=True, timeout=TIMEOUT)
        assert up.returncode == 0, up.stdout + up.stderr
        yield run
        subprocess.run(["scancel", "--user=root"], check=True, timeout=TIMEOUT)


only_squeue = pytest.mark.parametrize("mode", ["squeue"], indirect=True)
only_sacct = pytest.mark.parametrize("mode", ["sacct"], indirect=True)

# With sacct a cancelled job is "CANCELLED by 0", which version 2.8 of the plugin does not know: it would be waited for, for ever.
CANCELLED = """case "$*" in
    *"realise both 000002"*) scancel "$SLURM_JOB_ID"; sleep 100 ;;
esac
"""
# One span fails by itself, one is cancelled as it runs, one has used up its wall time (a minute is the least that can be asked
# for: the end is brought forward). The kernels of the others are told as many threads as Slurm reserved.
ILL = """case "$*" in
    *"realise both 000000"*) exit 3 ;;
    *"realise non_linearity 000000"*) scontrol update jobid="$SLURM_JOB_ID" EndTime=now+1; sleep 100 ;;
esac"""
TOLD = """if [[ $* =~ realise.*--threads\\ ([0-9]+) ]]; then
    reserved=$(scontrol show job --oneliner "$SLURM_JOB_ID" | grep -o "NumCPUs=[0-9]*")
    echo "$reserved $OMP_NUM_THREADS ${{BASH_REMATCH[1]}}" >> "{seen}"
fi"""


def test_each_failure_is_told_spares_its_siblings_and_is_rerun_alone_to_the_bytes_of_the_local_run(desk, submit, tmp_path, mode):
    table, seen = desk.table, tmp_path / "seen"
    case, states, whole = ILL, ["FAILED", "TIMEOUT"], [*SPANS[1:]]
    if mode == "squeue":
        case, states, whole = CANCELLED + ILL, [*states, "CANCELLED"], [SPANS[2]]
    forget(desk, BOTH, LINEARITY)
    failed = submit(PATH=intercept(desk, tmp_path / "ill", case))
    assert failed.code == 1, failed.text
    assert len(SUBMITTED.findall(failed.text)) == 6, "a span is a job of its own"
    for state in states:
        assert len(re.findall(rf"SLURM status is: '?{state}", failed.text)) == 1, failed.text
    assert [spans(desk, BOTH), spans(desk, LINEARITY)] == [whole, [*SPANS[1:]]]
    if mode == "sacct":
        return  # the rerun is told apart by nothing, and takes half a minute
    done = submit("--set-threads", "realise=2", PATH=intercept(desk, tmp_path / "told", TOLD.format(seen=seen)))
    assert done.code == 0, done.text
    assert done.spans == {(BOTH, SPANS[0]): 1, (BOTH, SPANS[1]): 1, (LINEARITY, SPANS[0]): 1}
    assert desk.table == table
    assert seen.read_text(encoding="utf-8").splitlines() == ["NumCPUs=2 2 2"] * 3


@only_squeue
def test_raising_the_realisations_submits_the_new_spans_alone(desk, submit):
    desk.write(realisations=8, sources={ORIENTATION: {"sigma": 0.1}}, combined={})
    done = submit()
    assert done.code == 0, done.text
    assert done.spans == {(ORIENTATION, "000004-000005"): 1, (ORIENTATION, "000006-000007"): 1}
    assert spans(desk, CONTROL) == ["000000-000000"]


@only_squeue
def test_a_missing_account_ends_in_one_sentence_and_nothing_is_submitted(desk, submit):
    forget(desk, BOTH)
    before = jobs()
    refused = submit(RADSENS_ACCOUNT="")
    assert refused.code != 0
    assert "RADSENS_ACCOUNT is not set" in one_sentence(refused.text)
    assert not jobs() - before


@only_sacct
def test_an_account_that_slurm_does_not_know_is_told_and_nothing_runs(desk, submit):
    forget(desk, BOTH)
    refused = submit(RADSENS_ACCOUNT="nobody")
    assert refused.code == 1
    assert "account nobody appears to be invalid" in refused.text
    assert not spans(desk, BOTH)


# The first task of the array fails; the second makes its file and says so.
ARRAY = """
    rule all:
        input: "a", "b"
    rule one:
        output: "{i}"
        shell: "test $SLURM_ARRAY_TASK_ID -gt 1 && touch {output} && echo made >> made"
"""


@only_squeue
def test_arrays_of_the_slurm_plugin_still_make_a_good_task_a_failure_so_that_the_profile_asks_for_none(submit, tmp_path):
    """What version 2.8 does. Once this test fails, arrays may be tried again (docs/clusters.md)."""
    assert "\nslurm-array-jobs" not in (CHECKOUT / "profiles/trex/config.yaml").read_text(encoding="utf-8")
    bench = grid_engine.workflow(tmp_path / "bench")
    bench.write(ARRAY)
    words = "--executor slurm --jobs 9 --keep-going --slurm-status-command squeue --slurm-init-seconds-before-status-checks 1"
    words += " --seconds-between-status-checks 1 --latency-wait 1 --slurm-array-jobs one --default-resources mem_mb=500 runtime=5"
    code, said = bench.run(profile=words.split())
    assert code == 1, said
    assert bench.lines("made") == ["made"], said
    assert said.count("Error in rule one") == 2, said
    assert not [name for name in "ab" if (bench.root / name).exists()]
