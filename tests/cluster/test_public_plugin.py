"""What snakemake-executor-plugin-drmaa 0.1.5 does on a real Grid Engine, beside drmaa-array on the same workflow.

The evidence of docs/why_not_the_public_drmaa_plugin.md: a test that fails here says that this page is to be written anew.
"""

import os
import signal
import time

import pytest
from tests.cluster.grid_engine import until, waiting
from tests.cluster.test_executor_grid_engine import MANY

pytestmark = pytest.mark.cluster

LIMITS = "-l h_rt={resources.seconds}"
# Debian's library has to be given room before Python starts; drmaa-array sees to that itself.
TUNED = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}
SHARED = (
    "--jobs 100 --keep-going --scheduler greedy --rerun-incomplete --latency-wait 3 --seconds-between-status-checks 1".split()
)
PUBLIC = ["--executor", "drmaa", "--drmaa-log-dir", "logs", f"--drmaa-args={LIMITS}", *SHARED]
OURS = ["--executor", "drmaa-array", "--drmaa-array-env", "SGE_ROOT", *SHARED]

FAULTS = """
    rule all:
        input: "marked", "killed", "wall"
    rule marked:
        output: touch("marked")
        shell: "exit 3"
    rule killed:
        output: "killed"
        shell: "echo half > {output}; kill -KILL -- -$(ps -o pgid= $$ | tr -d ' '); echo whole > {output}"
    rule wall:
        output: "wall"
        resources: seconds=45, drmaa_extra="-l h_rt=10"  # the public plugin's job must come as far as its half file
        shell: "echo half > {output}; sleep 300; echo whole > {output}"
"""


def left(bench):
    """What stands of the outputs, by name."""
    return {n: (bench.root / n).read_text() for n in ("marked", "killed", "wall") if (bench.root / n).exists()}


def test_three_jobs_that_failed_are_successes_of_the_public_plugin_and_failures_of_ours(bench):
    bench.write(FAULTS)
    code, said = bench.run("--default-resources", "seconds=600", profile=PUBLIC, **TUNED)
    assert code == 0, said
    assert left(bench) == {"marked": "", "killed": "half\n", "wall": "half\n"}, said

    for name in left(bench):
        (bench.root / name).unlink()
    code, said = bench.run(profile=OURS)
    assert code == 1, said
    assert left(bench) == {}, said
    assert "SIGKILL after" in said and "killed at its wall time of 10 s" in said


def test_ctrl_c_during_a_round_of_status_checks_leaves_jobs_in_the_queue(bench):
    """drmaa-array empties it: test_executor_grid_engine.py, Ctrl-C with 300 jobs."""
    bench.write(MANY.format(count=60, command="sleep 90"))
    words = ["--default-resources", "seconds=600", "--max-status-checks-per-second", 5, "--seconds-between-status-checks", 0]
    process = bench.start(*words, profile=PUBLIC, **TUNED)
    until(lambda: sum(waiting().values()) == 60)
    time.sleep(15)  # a round over 60 jobs takes 12 s: one that holds them all is under way
    os.killpg(process.pid, signal.SIGINT)
    code, said = bench.end(process)
    assert code != 0, said
    time.sleep(5)
    still = sum(waiting().values())
    print(f"{still} of 60 jobs in the queue after Ctrl-C")
    assert still > 30, said
