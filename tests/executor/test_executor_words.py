"""What the executor asks of each scheduler, and how it says why a job failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_drmaa_array.native import Demand, Site, demand, specification, system_of
from snakemake_executor_plugin_drmaa_array.reason import memory_limit, of_end, of_marker, wall_limit
from snakemake_executor_plugin_drmaa_array.tasks import PRELUDE_FAILED, Ending

WHOLE = Demand(threads=4, memory=4001, runtime=90, queue="q", account="proj", extra="-x 1")

EXPECTED = [
    ("ge", Demand(), "-r n"),
    ("ge", Demand(runtime=5), "-l h_rt=300 -r n"),
    ("ge", WHOLE, "-l h_rt=5400 -l h_vmem=1001M -pe smp 4 -q q -P proj -r n -x 1"),
    ("slurm", Demand(), "--ntasks=1 --cpus-per-task=1 --no-requeue"),
    ("slurm", Demand(runtime=5), "--ntasks=1 --cpus-per-task=1 --no-requeue --time=0:05"),
    ("slurm", Demand(runtime=4500), "--ntasks=1 --cpus-per-task=1 --no-requeue --time=75:00"),
    (
        "slurm",
        WHOLE,
        "--ntasks=1 --cpus-per-task=4 --no-requeue --time=1:30 --mem=4001 --partition=q --account=proj -x 1",
    ),
    ("pbs", Demand(), "-l select=1:ncpus=1 -r n"),
    ("pbs", Demand(runtime=5), "-l select=1:ncpus=1 -l walltime=00:05:00 -r n"),
    ("pbs", Demand(runtime=4500), "-l select=1:ncpus=1 -l walltime=75:00:00 -r n"),
    ("pbs", WHOLE, "-l select=1:ncpus=4:mem=4001mb -l walltime=01:30:00 -q q -A proj -r n -x 1"),
]


@pytest.mark.parametrize(("system", "asked", "words"), EXPECTED)
def test_a_demand_is_put_in_the_words_of_each_scheduler(system, asked, words):
    assert specification(system, asked, Site()) == words


def test_a_site_names_its_parallel_environment_its_memory_and_its_nodes():
    site = Site(environment="openmp", memory="mem_free", node=":os=rh7")
    asked = Demand(threads=2, memory=100)
    assert specification("ge", asked, site) == "-l mem_free=50M -pe openmp 2 -r n"
    assert specification("pbs", asked, site) == "-l select=1:ncpus=2:mem=100mb:os=rh7 -r n"


def test_resources_of_a_job_go_before_the_settings_of_the_profile():
    own = {"mem_mb": 10, "runtime": 3, "queue": "own", "account": "mine", "drmaa_extra": "-own"}
    assert demand(own, 2, "site", "theirs", "-all") == Demand(2, 10, 3, "own", "mine", "-all -own")
    assert demand({}, 1, "site", "theirs", "-all") == Demand(1, None, None, "site", "theirs", "-all")
    assert demand({}, 1, "", "", "") == Demand()


@given(st.integers(1, 100_000), st.sampled_from(["ge", "slurm", "pbs"]))
def test_the_wall_time_that_is_asked_for_is_the_one_that_is_read_back(minutes, system):
    assert wall_limit(specification(system, Demand(runtime=minutes), Site())) == minutes * 60


@given(st.integers(1, 10**6), st.integers(1, 64))
def test_slots_together_have_the_memory_and_less_than_one_megabyte_per_slot_more(memory, threads):
    limit = memory_limit(specification("ge", Demand(threads=threads, memory=memory), Site()))
    assert memory <= limit / 2**20 < memory + threads


@pytest.mark.parametrize(
    ("native", "limit"),
    [
        ("-l h_vmem=1200M", 1200 * 2**20),
        ("-l h_rt=60,h_vmem=1G -r n", 2**30),
        ("-l mem_free=2k -pe smp 3", 6000),
        ("--mem=1200", None),
        ("-l select=1:ncpus=1:mem=1200mb", None),
        ("-r n", None),
    ],
)
def test_the_memory_at_which_grid_engine_kills_is_read_and_no_other(native, limit):
    assert memory_limit(native) == limit


@pytest.mark.parametrize(
    ("said", "system"),
    [("SGE 8.1.9", "ge"), ("slurm 22.05 DRMAA for Slurm", "slurm"), ("PBS Professional", "pbs"), ("Torque", "pbs"), ("?", "ge")],
)
def test_the_scheduler_is_known_by_what_its_library_says(said, system):
    assert system_of(said) == system


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit status 3 on n1"), (137, "killed by SIGKILL on n1"), (255, "killed by signal 127 on n1"),
     (PRELUDE_FAILED, "the prelude of the profile failed on n1")],
)  # fmt: skip
def test_a_marker_tells_why_its_job_failed(code, words):
    assert of_marker(Ending(code, "n1")) == words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"usage": {"ru_wallclock": "61"}}, "wall time of 60 s"),
        ({"usage": {"maxvmem": str(2**31)}}, "memory of 1024 MiB"),
        ({"usage": {"maxvmem": "2**31, they say", "ru_wallclock": "4"}, "signal": "SIGKILL"}, "killed by SIGKILL after 4 s"),
        ({"aborted": True}, "deleted while it ran"),
        ({"status": 7}, "exit status 7 but left no exit marker"),
    ],
)
def test_the_scheduler_tells_why_a_job_without_a_marker_ended(told, words):
    end = {"usage": {}, "signal": None, "aborted": False, "status": 0, **told}
    assert words in of_end(end, "-l h_rt=60 -l h_vmem=512M -pe smp 2", begun=True)
    assert end["aborted"] == ("while it waited" in of_end(end, "", begun=False))
