"""A checkout of the workflow in a temporary folder, where the real Snakemake and the real `radsens` run.

The package is a private copy, put first on PYTHONPATH: a test may edit it, and nobody else's edit changes a key.
"""

import copy
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

import radsens

CHECKOUT = Path(__file__).parents[1]
PACKAGE = Path(radsens.__file__).parent
PARTS = ("Snakefile", "workflow", "profiles", "environment.yml")
SAID = "said.txt"
TIMEOUT = 600  # of one command [s]: a run that hangs must fail here, with its output; one on a loaded machine must not
NAME = "tiny"
COMPILED = shutil.ignore_patterns("__pycache__")  # other processes write there, and a file that is listed may be gone

# Every kind of path through the workflow, seconds long: two bands (polarised and not), two sources and both together,
# three spans of which the last is short.
TINY = {
    "campaign": NAME,
    "instrument": "parasol",
    "bands": ["490P", "565NP"],
    "scene": {"kind": "uniform", "i": 0.2, "dolp": 0.3, "aolp": 20, "pixels": 200},
    "strata": {"field": [0, 30, 65]},
    "seed": 20041218,
    "realisations": 5,
    "span": 2,
    "sources": {"polariser_orientation": {"sigma": 0.1}, "non_linearity": {"sigma": 0.01}},
    "combined": {"both": ["polariser_orientation", "non_linearity"]},
}
ABSENT = object()
ORIENTATION, LINEARITY, BOTH, CONTROL = "polariser_orientation", "non_linearity", "both", "control"
SPANS = ("000000-000001", "000002-000003", "000004-000004")
EVERYTHING = Counter({(CONTROL, "000000-000000"): 1, **{(n, s): 1 for n in (ORIENTATION, LINEARITY, BOTH) for s in SPANS}})

JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", re.MULTILINE)
SPAN_JOB = re.compile(r"source=(\w+), key=\w+, span=(\d+-\d+)")


def one_sentence(text):
    """The one line that radsens said, asserted to be just that; what Snakemake says of its profile is left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Using profile")]
    assert len(lines) == 1, text
    assert lines[0].startswith("radsens: "), text
    return lines[0]


@dataclass(frozen=True)
class Run:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self):
        return self.out + self.err

    @property
    def rules(self):
        """How often each rule was run (or would be, in a dry run), the target rule left out."""
        return Counter(name for name, _ in JOB.findall(self.text) if name != "all")

    @property
    def spans(self):
        """How often each (source, span) was realised."""
        return Counter(match for name, body in JOB.findall(self.text) if name == "realise" for match in SPAN_JOB.findall(body))

    @property
    def sources(self):
        """Spans realised of each source."""
        found = Counter()
        for (source, _), count in self.spans.items():
            found[source] += count
        return found

    @property
    def nothing(self):
        """Whether Snakemake found nothing to do."""
        return self.code == 0 and "Nothing to be done" in self.text and not self.rules


class Desk:
    """A checkout at `root` with its own results, on the package at `source`."""

    def __init__(self, root, source, cache):
        self.root, self.source, self.cache = root, source, cache
        self.results = root / "results" / NAME

    def environment(self, **more):
        bin_folder = str(Path(sys.executable).parent)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SNAKEMAKE", "COV_"))}
        own = {
            "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
            "PYTHONPATH": str(self.source),
            "RADSENS_CACHE": str(self.cache),
            "XDG_CACHE_HOME": str(self.cache),
        }
        return {**kept, **own, **more}

    def command(self, *words, folder=None, before="", seconds=TIMEOUT, **environment):
        """Run a command in the checkout, at most so long; `before` is shell text that precedes it, such as `ulimit`."""
        words = ["bash", "-c", f'{before} && exec "$@"', "-", *map(str, words)] if before else [*map(str, words)]
        done = subprocess.run(
            words,
            cwd=folder or self.root,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def radsens(self, *words, **how):
        return self.command("radsens", *words, **how)

    def snakemake(self, *words, config="tiny.yaml", profile="test", **how):
        """Run the workflow, on two cores at most."""
        return self.command("snakemake", "--profile", f"profiles/{profile}", "--configfile", config, "--cores", 2, *words, **how)

    def plan(self, *words, **how):
        """What the workflow would run now."""
        return self.snakemake("--dry-run", *words, **how)

    def run(self, *words, **how):
        """Run the workflow, which must succeed and leave nothing to do."""
        done = self.snakemake(*words, **how)
        assert done.code == 0, done.text
        return done

    def write(self, tree=None, name="tiny.yaml", **changes):
        """Write the campaign's YAML: the tiny campaign with other values of its first-level knobs."""
        path = self.root / name
        path.write_text(yaml.safe_dump({**(TINY if tree is None else tree), **changes}, sort_keys=False), encoding="utf-8")
        return path

    def amplitude(self, **sigmas):
        """Write the campaign with other amplitudes."""
        return self.write(sources={**TINY["sources"], **{name: {"sigma": sigma} for name, sigma in sigmas.items()}})

    @property
    def table(self):
        return (self.results / "sensitivity.csv").read_bytes()

    @property
    def summary(self):
        return json.loads((self.results / "campaign.json").read_text(encoding="utf-8"))

    @property
    def says_stale(self):
        """Whether `radsens table` says that the table is not that of the settings."""
        said = self.radsens("table", "tiny.yaml")
        assert said.code == 0, said.text
        return "STALE" in said.out

    def chunk(self, source, span=SPANS[0]):
        """Path of a chunk that stands."""
        (found,) = (self.results / "chunks" / source).glob(f"*/{span}.nc")
        return found

    def files(self, pattern="**/*"):
        """Files of the results, hidden ones too, with their content."""
        return {p.relative_to(self.results): p.read_bytes() for p in self.results.glob(pattern) if p.is_file()}

    def copy(self, root, **how):
        """Another checkout with the same content, times and Snakemake records, on the same package."""
        shutil.copytree(self.root, root, symlinks=True, **how)
        return Desk(root, self.source, self.cache)

    def edit(self, file, text):
        """Append a line to a file of the package, which must be the desk's own copy of it."""
        path = self.source / "radsens" / file
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        return path


def changed(**knobs):
    """The tiny campaign with other values; a knob is named by its path, with __ for the dot."""
    tree = copy.deepcopy(TINY)
    for path, value in knobs.items():
        *steps, last = path.split("__")
        node = tree
        for step in steps:
            node = node[step]
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return tree


def lay(root, source, cache):
    """A new checkout at `root`, with the tiny campaign and no results."""
    root.mkdir(parents=True)
    for part in PARTS:
        if (CHECKOUT / part).is_dir():
            shutil.copytree(CHECKOUT / part, root / part, ignore=COMPILED)
        else:
            shutil.copy2(CHECKOUT / part, root / part)
    desk = Desk(root, source, cache)
    desk.write()
    return desk


def copy_package(folder, package=PACKAGE):
    """A private copy of the package; its folder, for PYTHONPATH."""
    shutil.copytree(package, folder / "radsens", ignore=COMPILED)
    return folder


def workshop(shared):
    """The desk where the tiny campaign is finished, under `shared`: the first process that comes runs it, the others wait."""
    desk = Desk(shared / "a desk", shared / "src", shared / "cache")
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / SAID).exists():
            for half_done in (desk.root, desk.source):
                shutil.rmtree(half_done, ignore_errors=True)
            done = lay(desk.root, copy_package(desk.source), desk.cache).run()
            (shared / SAID).write_text(done.text, encoding="utf-8")
    return desk
