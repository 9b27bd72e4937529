"""The whole campaign of config/parasol.yaml on Grid Engine with faults on its way gives the bytes of a local run.

It takes a quarter of an hour on two cores, so that it only runs where RADSENS_FULL_CAMPAIGN=1 asks for it.
"""

import os
import subprocess
import time

import pytest
from tests import workflow_tools
from tests.cluster import grid_engine
from tests.cluster.grid_engine import qdel, qstat, script, until, waiting
from tests.cluster.test_campaign_grid_engine import PROFILE, Cell, tables

from radsens import io

pytestmark = [pytest.mark.cluster, pytest.mark.workflow]
CONFIG = workflow_tools.CHECKOUT / "config" / "parasol.yaml"
LONGEST = 1500  # of one whole run [s]


def test_the_parasol_campaign_with_faults_gives_the_bytes_of_a_local_run(finished, tmp_path):
    if os.environ.get("RADSENS_FULL_CAMPAIGN") != "1" or grid_engine.why_not():
        pytest.skip("takes a quarter of an hour: set RADSENS_FULL_CAMPAIGN=1 and RADSENS_CLUSTER_TESTS=1 to run it")
    there, here = (
        Cell((laid := workflow_tools.lay(tmp_path / name, finished.source, finished.cache)).root, laid.source, laid.cache)
        for name in ("there", "here")
    )
    for desk in (there, here):
        (desk.root / "tiny.yaml").write_text(CONFIG.read_text().replace("campaign: parasol", "campaign: tiny"))
    with grid_engine.own():
        words = ("radsens", "run", "tiny.yaml", "--profile", "sge", "--", *PROFILE[2:])
        process = there.start(*words)
        until(lambda: len(chunks(there)) >= 4 and waiting()["r"] == 4, LONGEST)

        running = [id for state, id in qstat() if state == "r"]
        delete(running[0])
        until(lambda: subprocess.run(["pkill", "-KILL", "-o", "-f", "radsens --log .*realise"]).returncode == 0, every=0.01)
        script("ge_down.sh", "master")
        time.sleep(20)
        script("ge_up.sh", "master")
        until(lambda: waiting()["qw"] > 0 or process.poll() is not None)
        queued = [id for state, id in qstat() if state == "qw"]
        if queued:
            delete(queued[-1])
        time.sleep(20)
        os.killpg(process.pid, 9)
        process.wait()

        done = there.command(*words, seconds=LONGEST)
        assert done.code == 0, done.text
        victim = chunks(there)[3]
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        for gaps in there.results.glob("gaps/*/*.nc"):
            gaps.unlink()
        assert there.submit(seconds=LONGEST).code != 0
        mended = there.run_there()
        assert mended.sources.total() == 1, mended.text
    local = here.command("snakemake", "--profile", "profiles/local", "--configfile", "tiny.yaml", seconds=LONGEST)
    assert local.code == 0, local.text
    assert tables(there) == tables(here)
    for path in here.results.glob("gaps/*/*.nc"):
        both = (io.read(d.results / path.relative_to(here.results)) for d in (there, here))
        assert len({f.attributes["results_sha256"] for f in both}) == 1


def chunks(desk):
    return sorted(desk.results.glob("chunks/*/*/*.nc"))


def delete(task):
    number, _, index = task.partition(".")
    qdel(number, *(("-t", index) if index else ()))
