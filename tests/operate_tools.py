"""What the tests of the campaign commands share: faults put into the real jobs, and a campaign of many real files."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path

from tests.workflow_tools import TIMEOUT

from radsens import chunk, record
from radsens.campaign import Campaign

# Python runs it at the start of every process of a desk: the real job, once its record is begun, meets its fault.
SITE = """
import os
if "FAULT" in os.environ:
    import signal, sys, time
    from radsens import record
    kind, where = os.environ["FAULT"].split(":")
    real = record.begin
    def begin(log):
        real(log)
        if where in str(log):
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "memory":
                raise MemoryError
            time.sleep(float(kind))
    record.begin = begin
"""

SLOW = "900"  # seconds that such a job sleeps, longer than any test, when it must be running until it is ended

# `radsens` whose first try at a span of {source} stops itself once a {share} of it is on the disk, however fast it computes:
# told to go on, it does so, and killed it leaves what a killed job leaves. Until then each batch is flushed, as those of a
# slow span are; a fast one is over before its first flush is due.
HELD = """
import os, signal, sys
from radsens import cli, work

keep, intervals = work.Work.keep, work.INTERVALS

def keep_and_stop(book, *given):
    keep(book, *given)
    kept, of = work.progress(book._path)
    if work.INTERVALS != intervals and not book.resumed and kept >= {share} * of:
        work.INTERVALS = intervals
        os.kill(os.getpid(), signal.SIGSTOP)

if "{source}" in sys.argv:
    work.Work.keep, work.INTERVALS = keep_and_stop, (0.0, 0.0)
cli.main()
"""


def faulty(desk, folder, fault):
    """Environment of a desk whose jobs with a part of a log's path meet a fault: kill, memory, or seconds of sleep."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(desk.source)]), "FAULT": fault}


def start(desk, said, *words, **environment):
    """A command of a desk, in a process group of its own, whose words go to a file."""
    with said.open("w") as out:
        return subprocess.Popen(
            [*map(str, words)],
            cwd=desk.root,
            env=desk.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def until(ready, master, said):
    """Wait until something is so, while a command runs if one is given."""
    end = time.monotonic() + TIMEOUT
    while not ready():
        assert master is None or master.poll() is None, said.read_text(encoding="utf-8")
        assert time.monotonic() < end, said.read_text(encoding="utf-8")
        time.sleep(0.05)


def state(desk, config="tiny.yaml"):
    """What `radsens status --json` says."""
    done = desk.radsens("status", config, "--json")
    assert done.code in (0, 1), done.text
    return json.loads(done.out)


def row(found, source):
    """One source of a status."""
    return next(one for one in found["sources"] if one["source"] == source)


def told(path, **content):
    """Write the record of a job as this process would have left it."""
    about = {**record.process(os.getpid()), "started": record.now(), "attempt": 1, "earlier": [], **content}
    record.write(record.path_of(path), about)


def lay_many(campaign, done=0.9):
    """Chunk files and records of a campaign, as many as it has jobs: most are done, of each seventh of the others one ended."""
    for name in campaign.names:
        logs = campaign.root / "logs" / name / campaign.keys[name]
        Path(campaign.chunk_folder(name)).mkdir(parents=True)
        for i, path in enumerate(campaign.chunks(name)):
            log = logs / f"{Path(path).stem}.log"
            if i < done * len(campaign.chunks(name)):
                Path(path).write_bytes(b"whole")
                told(log, state="done", seconds=600.0, exit_code=0, reason="", realisations=campaign.config.span, numerical={})
            elif i % 2:
                told(log, state="failed", seconds=5.0, exit_code=1, reason="not enough memory")
            else:
                told(log, state="running")


def many(campaign_tree, realisations, span):
    """A campaign with another number of realisations and span."""
    return Campaign.read(campaign_tree).__class__(
        Campaign.read(campaign_tree).config.model_copy(update={"realisations": realisations, "span": span})
    )


def jobs(campaign):
    """Number of spans of a campaign."""
    return sum(len(chunk.spans(campaign.realisations(name), campaign.config.span)) for name in campaign.names)


HOST = platform.node()
