"""The executor `drmaa-array` on a real Grid Engine: what it reports is what happened, and nothing is left behind."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.cluster import grid_engine
from tests.cluster.grid_engine import AWAY, qdel, qstat, script, until, waiting

from snakemake_executor_plugin_drmaa_array import LOOKED_AT, child

pytestmark = pytest.mark.cluster


FAULTS = """
    import os
    rule all:
        input: expand("{name}.txt", name=["good", "touched", "half", "killed", "wall", "memory", "prelude_is_run"])
    rule good:
        output: "good.txt"
        shell: "echo whole > {output}"
    rule touched:
        output: "touched.txt"
        shell: "touch {output}; test -e mended || exit 3; echo whole > {output}"
    rule half:
        output: "half.txt"
        shell: "echo half > {output}; test -e mended || exit 3; echo whole > {output}"
    rule killed:
        output: "killed.txt"
        shell: "echo half > {output}; test -e mended || kill -KILL -- -$(ps -o pgid= $$ | tr -d ' '); echo whole > {output}"
    rule wall:
        output: "wall.txt"
        resources: drmaa_extra="-l h_rt=300" if os.path.exists("mended") else "-l h_rt=20"
        shell: "echo half > {output}; test -e mended || sleep 300; echo whole > {output}"
    rule memory:
        output: "memory.txt"
        resources: mem_mb=lambda wildcards, attempt: 1200 * attempt
        shell: "echo {resources.mem_mb} >> asked; echo half > {output};"
            "python3 -c 'bytearray(1_500_000_000)' && echo whole > {output}"
    rule prelude_is_run:
        output: "prelude_is_run.txt"
        shell: "test $OMP_SCHEDULE = dynamic && echo whole > {output}"
"""


def test_a_job_that_failed_is_said_to_have_failed_with_its_cause_and_its_half_file_is_not_kept(bench):
    bench.write(FAULTS)
    words = ("--drmaa-array-prelude", "export OMP_SCHEDULE=dynamic", "--retries", 1)
    code, said = bench.run(*words)
    assert code == 1
    whole = {"good", "memory", "prelude_is_run"}
    assert {p.stem for p in bench.root.glob("*.txt")} - {"said"} == whole, said
    assert said.count("exit status 1 on") + said.count("exit status 3 on") >= 3, said
    assert "SIGKILL after" in said
    assert "killed at its wall time of 20 s" in said
    assert bench.lines("asked") == ["1200", "2400"], "the memory was not raised until it was enough"

    (bench.root / "mended").touch()
    code, said = bench.run(*words)
    assert code == 0, said
    assert all(p.read_text() == "whole\n" for p in bench.root.glob("*.txt") if p.stem != "said")
    assert said.count("\nrule ") == 4, "what had succeeded was run again"


MANY = """
    N = {count}
    rule all:
        input: expand("out/{{i}}", i=range(N))
    rule one:
        output: "out/{{i}}"
        shell: "echo {{wildcards.i}} >> begun; {command}; echo whole > {{output}}"
"""


HELD = "until test -e go; do sleep 0.2; done"


def test_a_job_deleted_while_it_runs_or_waits_is_a_failure_and_alone_runs_again(bench):
    bench.write(MANY.format(count=12, command=HELD))
    process = bench.start()
    until(lambda: len(bench.lines("begun")) == 4 and waiting() == {"r": 4, "qw": 8})
    running, queued = ([id for state, id in qstat() if state == wanted] for wanted in ("r", "qw"))
    deleted = {running[0], queued[-1]}
    for task in deleted:
        number, _, index = task.partition(".")
        qdel(number, "-t", index)
    until(lambda: not deleted & {id for _, id in qstat()})
    (bench.root / "go").touch()
    code, said = bench.end(process)
    assert code == 1
    assert len(list(bench.root.glob("out/*"))) == 10, said
    assert "deleted while it ran" in said and "deleted while it waited" in said, said
    assert said.count("Error in rule one") == 2, said
    before = Counter(bench.lines("begun"))

    code, said = bench.run()
    assert code == 0, said
    assert said.count("rule one:") == 2, said
    again = Counter(bench.lines("begun")) - before
    assert set(again.values()) == {1} and len(again) == 2


def test_an_outage_of_the_scheduler_fails_nothing_and_runs_nothing_twice(bench):
    bench.write(MANY.format(count=12, command="sleep 6"))
    process = bench.start()
    until(lambda: waiting()["r"] == 4)
    script("ge_down.sh", "master")
    time.sleep(20)
    assert waiting() == {AWAY: 1}, "the master answers: there was no outage"
    script("ge_up.sh", "master")
    code, said = bench.end(process)
    assert code == 0, said
    assert "Error" not in said  # whether the library noticed the outage, or was silent through it, is its own affair
    assert Counter(bench.lines("begun")) == Counter(str(i) for i in range(12)), said


def test_a_submission_during_an_outage_waits_for_its_end(bench):
    bench.write(
        """
        rule all:
            input: "second"
        rule first:
            output: "first"
            shell: "until test -e go; do sleep 0.2; done; touch {output}"
        rule second:
            input: "first"
            output: "second"
            shell: "echo x >> begun; touch {output}"
        """
    )
    process = bench.start()
    until(lambda: waiting()["r"] == 1)
    script("ge_down.sh", "master")
    (bench.root / "go").touch()
    until(lambda: (bench.root / "first").exists())
    time.sleep(8)
    assert not bench.lines("begun"), "it was submitted before the outage"
    script("ge_up.sh", "master")
    code, said = bench.end(process)
    assert code == 0, said
    assert bench.lines("begun") == ["x"]


def test_ctrl_c_empties_the_queue_of_300_jobs_within_10_seconds(bench):
    """At the first of three tries that is not slowed down by something else on the machine."""
    bench.write(MANY.format(count=300, command="sleep 600"))
    taken = []
    while len(taken) < 3 and not any(seconds <= 10 for seconds in taken):
        shutil.rmtree(bench.root / ".snakemake", ignore_errors=True)
        taken.append(emptied(bench))
    print(f"queue of 300 jobs empty {taken} s after Ctrl-C")
    assert min(taken) <= 10


def emptied(bench):
    """Time from Ctrl-C until none of 300 jobs is in the queue [s]."""
    process = bench.start()
    until(lambda: sum(waiting().values()) == 300)
    os.killpg(process.pid, signal.SIGINT)
    start = time.monotonic()
    until(lambda: not waiting())
    seconds = time.monotonic() - start
    code, said = bench.end(process)
    assert code != 0
    assert "Ended 300 jobs." in said, said
    return seconds


def test_jobs_of_a_killed_master_are_taken_over_and_run_once(bench):
    bench.write(MANY.format(count=12, command="sleep 6"))
    killed = bench.start()
    until(lambda: waiting()["r"] == 4)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    until(lambda: len(list(bench.root.glob("out/*"))) >= 2)  # some end while nobody watches
    assert bench.run("--unlock")[0] == 0
    code, said = bench.run()
    assert code == 0, said
    assert "Taking over job" in said
    assert Counter(bench.lines("begun")) == Counter(str(i) for i in range(12)), said


def test_jobs_of_a_killed_master_whose_command_has_changed_are_ended_and_run_anew(bench):
    bench.write(MANY.format(count=3, command=f"sleep {2 * grid_engine.LIMIT}"))  # who waits for it hangs
    killed = bench.start()
    until(lambda: waiting()["r"] == 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    bench.write(MANY.format(count=3, command="echo new"))
    assert bench.run("--unlock")[0] == 0
    code, said = bench.run()
    assert code == 0, said
    assert said.count("whose command was another") == 3
    until(lambda: not qstat())  # the last one may have told its end before the scheduler does


def test_a_task_that_two_masters_submitted_runs_once(bench):
    """The first master is killed after the scheduler accepted its jobs and before it noted their ids."""
    bench.write(MANY.format(count=12, command="sleep 6"))
    killed = bench.start()
    until(lambda: waiting()["r"] == 4)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (journal,) = bench.root.glob(".snakemake/drmaa-array/*/journal.jsonl")
    planned = [line for line in journal.read_text().splitlines() if "outputs" in json.loads(line)]
    journal.write_text("\n".join(planned) + "\n")
    assert bench.run("--unlock")[0] == 0
    code, said = bench.run()
    assert code == 0, said
    assert Counter(bench.lines("begun")) == Counter(str(i) for i in range(12)), said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--drmaa-array-extra=-l no_such_resource=1"], "no_such_resource"),
        (["--drmaa-array-queue", "nowhere.q"], "nowhere.q"),
        (["--drmaa-array-library", "/nowhere/libdrmaa.so"], "the DRMAA library cannot be loaded"),
        (["--drmaa-array-system", "lsf"], "must be one of ge, slurm, pbs"),
    ],
)
def test_what_the_scheduler_refuses_is_told_in_its_words(bench, words, sentence):
    bench.write(MANY.format(count=2, command="true"))
    code, said = bench.run(*words)
    assert code != 0
    assert sentence in said, said
    assert "Traceback" not in said
    assert not qstat()
    assert not bench.lines("begun")


def test_a_scheduler_that_is_away_at_the_start_is_said_in_one_sentence(bench):
    bench.write(MANY.format(count=2, command="true"))
    script("ge_down.sh", "master")
    try:
        code, said = bench.run()
    finally:
        script("ge_up.sh", "master")
    assert code != 0
    assert "the scheduler does not answer" in said
    assert "Traceback" not in said


def test_threads_and_memory_that_were_reserved_are_those_that_the_job_is_given(bench):
    bench.write(
        """
        rule all:
            input: "told"
        rule one:
            output: "told"
            threads: 2
            resources: mem_mb=2000, runtime=7
            shell: "echo {threads} $OMP_NUM_THREADS $NSLOTS $(ulimit -v) $(qstat -j $JOB_ID | grep -o 'h_rt=[0-9]*') > {output}"
        """
    )
    code, said = bench.run()
    assert code == 0, said
    threads, omp, slots, memory, wall = (bench.root / "told").read_text().split()
    assert (threads, omp, slots, wall) == ("2", "2", "2", "h_rt=420")
    assert int(memory) == 2000 * 1024, "h_vmem is per slot"


def test_a_workflow_that_went_well_leaves_no_file_of_the_executor(bench):
    bench.write(MANY.format(count=3, command="true"))
    code, said = bench.run()
    assert code == 0, said
    assert not list(Path(bench.root, ".snakemake").glob("drmaa-array/**/*"))


def test_a_poll_of_2000_jobs_costs_a_fraction_of_asking_for_each(bench, monkeypatch):
    for name, value in grid_engine.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    session = child.Child()

    def timed(do, **arguments):
        start = time.perf_counter()
        answer = session.ask(do, **arguments).result(120)
        return answer, time.perf_counter() - start

    try:
        script = {"script": ["-c", "true"], "name": "held", "log": "/dev/null", "native": "-h", "count": 2000}
        ids, submission = timed("submit", **script)
        # The least of several, taken in turn: the scheduler is still busy with what it was just given.
        pairs = [(timed("poll", look=ids[:LOOKED_AT])[1], timed("poll", look=ids)[1]) for _ in range(5)]
        poll, each = map(min, zip(*pairs, strict=True))
        left, ending = timed("terminate", jobs=ids)
    finally:
        session.close()
    print(f"2000 jobs: submitted in {submission:.2f} s, polled in {poll:.3f} s (each: {each:.2f} s), ended in {ending:.1f} s")
    assert not left
    until(lambda: not qstat())
    assert poll < each / 5
