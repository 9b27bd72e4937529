"""How kernels are compiled and kept; their machine code and their bits are in test_bits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import radsens
from radsens import kernel as module
from radsens import random
from radsens.kernel import cache_folder, compiler, kernel

PACKAGE = Path(radsens.__file__).parent


def python(code, **environment):
    """Lines printed by a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


# --- when -------------------------------------------------------------------------------------------------------------


def test_no_module_of_the_package_imports_the_compiler():
    code = """
import importlib, pkgutil, sys
import radsens
names = [m.name for m in pkgutil.walk_packages(radsens.__path__, "radsens.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), "numba" in sys.modules, "llvmlite" in sys.modules)
"""
    count, *imported = python(code)[0].split()
    assert int(count) > 25
    assert imported == ["False", "False"]


@pytest.mark.parametrize(("how", "loaded"), [("lean_compiler", False), ("compiler", True)])
def test_a_job_loads_no_scipy_with_its_kernels_and_a_library_what_numba_has(how, loaded):
    code = f"""
import sys
from radsens import kernel, random
kernel.{how}()
random.draws(1, "a", "b", range(2), 1)
print("numba" in sys.modules, "scipy" in sys.modules)
import scipy
print(scipy.__name__)
"""
    assert python(code) == [f"True {loaded}", "scipy"]


def test_the_commands_of_jobs_load_no_scipy():
    code = """
import sys
from radsens import cli
task = {"instrument": "parasol", "error_in": "knowledge", "precision": "float32", "measurement": {}, "seed": 1, "sources": {}}
sys.argv = ["radsens", "warm", __import__("json").dumps(task)]
try:
    cli.main()
except SystemExit as end:
    print(end.code, "numba" in sys.modules, "scipy" in sys.modules)
"""
    assert python(code)[-1] == "0 True False"


# --- the cache --------------------------------------------------------------------------------------------------------

OUTER = """
from radsens.helper import square
from radsens.kernel import kernel

@kernel
def run(out):
    out[0] = square(out[0]) + 1.0
"""
HELPER = """
from radsens.kernel import {kind}

@{kind}
def square(x):
    return {factor} * x * x
"""
PROBE = """
import numpy as np
from radsens.kernel import cache_folder
from radsens.outer import run
out = np.array([3.0])
run(out)
print(out[0], sum(run.compiled.stats.cache_hits.values()), cache_folder())
"""


@pytest.fixture
def probe(tmp_path):
    """Write the helper of a kernel in a copy of the package, and run the kernel in a fresh interpreter."""
    shutil.copytree(PACKAGE, tmp_path / "src" / "radsens", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src" / "radsens" / "outer.py").write_text(OUTER)

    def run(kind, factor):
        (tmp_path / "src" / "radsens" / "helper.py").write_text(HELPER.format(kind=kind, factor=factor))
        environment = {"PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        value, hits, folder = python(PROBE, RADSENS_CACHE=str(tmp_path / "cache"), **environment)[0].split()
        return float(value), int(hits), folder

    return run


@pytest.mark.parametrize("kind", ["kernel", "formula", "chain"])
def test_a_helper_edited_in_another_file_is_seen_at_once(probe, kind):
    """Numba alone goes on using the old one: its cache looks at the file of the outer function only."""
    value, hits, folder = probe(kind, 1)
    assert (value, hits) == (10.0, 0)
    assert probe(kind, 1) == (10.0, 1, folder)  # and unchanged sources compile nothing
    assert probe(kind, 2)[:2] == (19.0, 0)
    assert probe(kind, 1) == (10.0, 1, folder)


def test_the_cache_is_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RADSENS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder().parent == tmp_path / "home" / ".cache" / "radsens"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().parent == tmp_path / "xdg" / "radsens"
    monkeypatch.setenv("RADSENS_CACHE", str(tmp_path / "mine"))
    assert cache_folder().parent == tmp_path / "mine"
    assert cache_folder().is_dir()


def test_where_the_cache_cannot_be_written_a_temporary_folder_serves_and_goes(tmp_path):
    """A file in the way, which stops even root."""
    (tmp_path / "file").write_text("")
    code = """
import numpy as np
from radsens.kernel import cache_folder, fma, kernel
from radsens.random import draws
print(draws(1, "source", "place", range(2), 3).tolist())
import numba
print(numba.config.CACHE_DIR)
"""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    values, folder = python(code, RADSENS_CACHE=str(tmp_path / "file" / "cache"), TMPDIR=str(temporary))
    assert values == str(random.draws(1, "source", "place", range(2), 3).tolist())
    assert Path(folder).parent == temporary
    assert not Path(folder).exists()
    assert not list(temporary.iterdir())


def test_a_cache_that_may_only_be_read_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RADSENS_CACHE", str(tmp_path))
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert tmp_path not in cache_folder().parents


# --- no counters ------------------------------------------------------------------------------------------------------


@kernel
def greedy(out):
    room = np.empty(out.size)
    for i in range(out.size):
        out[i] = room[i]


def test_a_kernel_that_allocates_is_refused():
    """So no array is counted in a kernel: it costs time, most of all where threads share the counter."""
    compiler()
    from numba.core.errors import TypingError

    with pytest.raises(TypingError, match="empty"):
        greedy(np.zeros(3))
