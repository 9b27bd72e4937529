"""A Grid Engine cell, and small workflows that are run on it through the executor `drmaa-array`."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = Path("/usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0")
ENVIRONMENT = {"SGE_ROOT": "/var/lib/gridengine", "SGE_CELL": "default", "DRMAA_LIBRARY_PATH": str(LIBRARY)}
WANTED = "RADSENS_CLUSTER_TESTS"  # set to 1 where the tests may install packages and start daemons, as root
AWAY = "away"  # in place of a state, where nobody answers: the queue is not known to be empty
LIMIT = 600  # of one command [s]: it ends what hangs, and is no measure of how fast a loaded machine is
PROFILE = (
    "--executor drmaa-array --jobs 400 --keep-going --scheduler greedy --rerun-triggers mtime --rerun-incomplete "
    "--latency-wait 3 --seconds-between-status-checks 1 --drmaa-array-env SGE_ROOT"
).split()


def script(name, *words):
    """Run one of the scripts of this folder."""
    done = subprocess.run([str(HERE / name), *words], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr


def qstat():
    """Jobs of the cell and tasks of its arrays: (state, id) each, as (r, 12.3). A master that is away has told of none."""
    done = subprocess.run(["qstat", "-g", "d"], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    if done.returncode != 0:
        return [(AWAY, "")]
    words = [line.split() for line in done.stdout.splitlines()[2:]]
    return [(w[4], w[0] if w[-1] == "1" and len(w) < 9 else f"{w[0]}.{w[-1]}") for w in words]


def waiting():
    """Number of jobs and tasks in the cell, by state (qw, r, ...)."""
    return Counter(state for state, _ in qstat())


def cleared():
    """Empty the cell. One whose execution daemon lost a job while its master was away is started anew."""
    qdel("-u", "*")
    try:
        until(lambda: not qstat(), 20)
    except AssertionError:
        subprocess.run(["pkill", "-KILL", "-x", "sge_execd"])
        qdel("-f", "-u", "*")
        script("ge_up.sh")


def qdel(*words):
    subprocess.run(["qdel", *words], capture_output=True, env={**os.environ, **ENVIRONMENT})


def until(true, seconds=240, every=0.1):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(every)
    return found


@contextmanager
def alone():
    """One test at a time has the cell, whatever the number of pytest's workers."""
    with open(Path(tempfile.gettempdir()) / "radsens-grid-engine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def own():
    """The cell, up and empty, for one test."""
    with alone():
        script("ge_up.sh")
        cleared()
        yield
        cleared()


@dataclass(frozen=True)
class Workflow:
    """A folder with a Snakefile."""

    root: Path
    environment: dict

    def write(self, text, name="Snakefile"):
        (self.root / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def start(self, *words, profile=PROFILE, **environment):
        """Snakemake in the background, in a process group of its own, as a shell would start it."""
        with (self.root / "said.txt").open("w") as said:
            return subprocess.Popen(
                ["snakemake", *profile, *map(str, words)],
                cwd=self.root,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that runs pytest in the background ignores Ctrl-C, and so would all its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def end(self, process, seconds=LIMIT):
        """Exit code and words of a Snakemake that was started; one that hangs is killed, with its group."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"it hangs: {self.said}") from None
        return process.returncode, self.said

    def run(self, *words, **how):
        return self.end(self.start(*words, **how))

    @property
    def said(self):
        return (self.root / "said.txt").read_text(encoding="utf-8")

    def lines(self, name):
        """Lines of a file that the jobs append to."""
        path = self.root / name
        return path.read_text(encoding="utf-8").split() if path.exists() else []


def workflow(root):
    """A workflow at `root` with the executor of this checkout."""
    root.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SNAKEMAKE", "COV_", "GLIBC_TUNABLES"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return Workflow(root, {**kept, **ENVIRONMENT, "PATH": path})


def why_not():
    """Why there is no cell to test on, or nothing."""
    if os.environ.get(WANTED) != "1":
        return f"needs a Grid Engine of its own: set {WANTED}=1 on a machine that may be thrown away, as root"
    return None if os.geteuid() == 0 and shutil.which("apt-get") else "needs root and Debian to bring Grid Engine up"
