"""The compiled kernels on a node's own disk: begun from what is shared, shared when the process ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.workflow_tools import TIMEOUT

import radsens
from radsens.kernel import JOBS, publish

# The second kernel is called with the types that are asked for, so that its index grows.
KERNELS = """
from radsens.kernel import kernel

@kernel
def add_one(out):
    out[0] += 1.0

@kernel
def double(out):
    out[0] *= 2.0
"""
PROBE = """
import sys
import numpy as np
from radsens.kernel import compiler
from radsens.probe import add_one, double
out = np.array([3.0], dtype=sys.argv[1])
add_one(out), double(out)
stats = [k.compiled.stats for k in (add_one, double)]
print(out[0], sum(sum(s.cache_hits.values()) for s in stats), compiler().config.CACHE_DIR)
"""


class Nodes:
    """A package of its own, a shared folder, and nodes with a disk each."""

    def __init__(self, folder):
        self.shared, self.disks, self.source = folder / "shared", folder / "disks", folder / "src"
        shutil.copytree(Path(radsens.__file__).parent, self.source / "radsens", ignore=shutil.ignore_patterns("__pycache__"))
        (self.source / "radsens" / "probe.py").write_text(KERNELS)

    def start(self, node="$DISK/cache", disk="one", kind="float64", **more):
        (self.disks / disk).mkdir(parents=True, exist_ok=True)
        own = {"PYTHONPATH": self.source, "PYTHONDONTWRITEBYTECODE": "1", "RADSENS_CACHE": self.shared}
        own |= {"DISK": self.disks / disk, **({"RADSENS_NODE_CACHE": node} if node is not None else {}), **more}
        kept = {k: v for k, v in os.environ.items() if k not in ("RADSENS_NODE_CACHE", *JOBS)}
        environment = kept | {k: str(v) for k, v in own.items()}
        return subprocess.Popen([sys.executable, "-c", PROBE, kind], env=environment, stdout=subprocess.PIPE, text=True)

    def run(self, *given, **how):
        """Kernels that were found compiled, and the folder they were in."""
        return self.said(self.start(*given, **how))

    @staticmethod
    def said(process):
        out, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0
        value, hits, folder = out.split()
        assert float(value) == 8
        return int(hits), Path(folder)

    def published(self, suffix="nbc"):
        return {p: p.read_bytes() for p in self.shared.glob(f"*-nodes/**/*.{suffix}")}

    @property
    def used(self):
        """Whether numba wrote to the shared folder itself."""
        return any(p for p in self.shared.glob("*/**/*.nb?") if not p.relative_to(self.shared).parts[0].endswith("-nodes"))


@pytest.fixture
def nodes(tmp_path):
    return Nodes(tmp_path)


def test_what_one_node_compiled_another_has_and_only_the_disks_are_worked_on(nodes):
    hits, folder = nodes.run(disk="one")
    assert hits == 0 and folder.parent == nodes.disks / "one" / "cache"
    published = nodes.published()
    assert len(published) == 2 and len(nodes.published("nbi")) == 2
    hits, folder = nodes.run(disk="two")
    assert hits == 2 and folder.parent == nodes.disks / "two" / "cache"
    assert nodes.published() == published
    assert not nodes.used
    assert not [p for p in nodes.shared.rglob("*") if "part" in p.name]


def test_a_node_begins_with_what_was_compiled_where_there_is_no_node(nodes):
    assert nodes.run(node=None)[0] == 0
    assert nodes.used
    assert nodes.run(disk="one")[0] == 2
    assert len(nodes.published()) == 2
    shutil.rmtree(next(nodes.shared.glob("*[!s]")))
    assert nodes.run(disk="two")[0] == 2


def test_code_for_other_types_is_added_and_none_is_replaced(nodes):
    nodes.run(disk="one")
    first = nodes.published()
    assert nodes.run(disk="two", kind="float32")[0] == 0
    both = nodes.published()
    assert len(both) == 4 and first.items() <= both.items()
    assert nodes.run(disk="three", kind="float32")[0] == 2
    assert nodes.run(disk="three", kind="float64")[0] == 2


def test_a_node_that_numbered_its_code_otherwise_shares_nothing(nodes):
    """Two nodes begin with nothing, with other types: the first that ends has the number; the other's code and index stay out."""
    one, two = nodes.run(disk="one")[1], nodes.run(disk="two", RADSENS_CACHE=nodes.disks / "elsewhere", kind="float32")[1]
    before = nodes.published(), nodes.published("nbi")
    (store,) = nodes.shared.glob("*-nodes")
    publish(two, store, frozenset())
    assert (nodes.published(), nodes.published("nbi")) == before
    nodes.run(disk="two", kind="float64", RADSENS_CACHE=nodes.disks / "elsewhere")
    publish(two, store, frozenset())
    assert (nodes.published(), nodes.published("nbi")) == before
    publish(one, store, frozenset())
    assert (nodes.published(), nodes.published("nbi")) == before


def test_processes_that_begin_at_once_all_end_well_and_leave_whole_kernels(nodes):
    running = [nodes.start(disk=disk, kind=kind) for disk in ("one", "one", "two") for kind in ("float64", "float32")]
    for process in running:
        nodes.said(process)
    assert not [p for p in nodes.disks.rglob(".radsens-*")]
    for kind in ("float64", "float32"):
        nodes.run(disk="three", kind=kind)
        assert nodes.run(disk="three", kind=kind)[0] == 2


@pytest.mark.parametrize("name", ["$NOT_SET/cache", "${EMPTY}/cache", "relative/cache", "$", "", "/dev/null/cache"])
def test_a_place_that_cannot_serve_leaves_the_shared_folder(nodes, name):
    _, folder = nodes.run(node=name, EMPTY="")
    assert folder.parent == nodes.shared
    assert nodes.used and not nodes.published()


@pytest.mark.parametrize("job", JOBS)
def test_the_temporary_folder_of_a_job_is_the_disk_of_its_node(nodes, job):
    _, folder = nodes.run(node=None, TMPDIR=nodes.disks / "one", **{job: "12"})
    assert folder.parent == nodes.disks / "one"


def test_a_temporary_folder_outside_of_a_job_is_none_and_a_job_can_be_told_not_to_use_it(nodes):
    assert nodes.run(node=None, TMPDIR=nodes.disks / "one")[1].parent == nodes.shared
    assert nodes.run(node="", TMPDIR=nodes.disks / "one", JOB_ID="12")[1].parent == nodes.shared


def test_home_is_expanded(nodes):
    assert nodes.run(node="~/cache", HOME=nodes.disks)[1].parent == nodes.disks / "cache"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
def test_a_folder_of_another_user_is_not_trusted(nodes):
    _, folder = nodes.run(disk="one")
    os.chown(folder, 12345, 12345)
    assert nodes.run(disk="one")[1].parent == nodes.shared


def test_a_shared_folder_that_cannot_be_written_costs_the_compilation_alone(nodes):
    """A file in the way, which stops even root."""
    nodes.shared.write_text("")
    assert nodes.run(disk="one")[0] == 0
    assert nodes.run(disk="one")[0] == 2
    assert nodes.shared.read_text() == ""
