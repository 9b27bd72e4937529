"""How kernels are compiled, kept and vectorised, and that their bits are those of every other processor."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import radsens
from radsens import kernel as module
from radsens import random
from radsens.gaps import quantities, statistics
from radsens.kernel import cache_folder, compiler, kernel
from radsens.models import polarimeter

PACKAGE = Path(radsens.__file__).parent
ON_X86 = platform.machine() in ("x86_64", "AMD64")


# What hides features of the processor from numba, numpy and glibc.
HIDING = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NPY_DISABLE_CPU_FEATURES", "GLIBC_TUNABLES")


def python(code, **environment):
    """Lines printed by a fresh interpreter, which sees the processor as it is unless told otherwise."""
    native = {k: v for k, v in os.environ.items() if k not in HIDING}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=native | environment)
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


# --- the shape of the machine code ------------------------------------------------------------------------------------


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


def assembly(function, *arguments):
    """Machine code of a kernel as its callers have it, freshly compiled for some arguments."""
    types = tuple(map(compiler().typeof, arguments))
    function.inner.compile(types)
    return function.inner.inspect_asm(types)


def stages(kind):
    """The stages of a realisation, with arguments of the types that they get."""
    row, z, w, f, words = np.zeros(8, kind), np.zeros(8, np.float32), np.zeros(8, np.uint32), np.zeros(8), [np.uint32(0)] * 6
    block, k, m = np.zeros((9, 8), kind), kind(0), polarimeter
    return {
        "signal": (m.signal, row, row, row, row, row, row, row, row),
        "inter_pixel": (m.inter_pixel, row, row, z, row, k, k),
        "undo_inter_pixel": (m.undo_inter_pixel, row, row, z, row, k, k),
        "bend": (m.bend, row, row, k, k, 2),
        "unbend": (m.unbend, row, row, k, k, 2),
        "noise_snr": (m.noise_snr, row, row, z, k),
        "noise_read_shot": (m.noise_read_shot, row, row, z, k, k),
        "stokes": (m.stokes, block[:3], block[:6], row, block[:3]),
        "gap_row": (quantities.gap_row, block[:5], row, row, row),
        "accumulate": (statistics.accumulate, f, f, row, row, row, 0.0),
        "normals_of_words": (random.normals_of_words, z, z, z, w, w, w, w),
        "words": (random.words, w, w, w, w, w, *words),
        "bin_row": (statistics.bin_row, np.zeros(8, np.uint16), row, 0.0, np.float32(1)),
    }


INTEGER = ("words", "bin_row")  # stages without a multiply-add


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", stages(np.float64))
def test_a_hot_stage_works_on_many_pixels_at_once(name, kind):
    """Packed instructions on registers of 256 bits or more; a stage that lost them would be four to ten times slower."""
    if not ON_X86:
        pytest.skip("the instructions looked for are those of x86-64")
    from llvmlite.binding import get_host_cpu_features

    if not get_host_cpu_features().get("fma"):
        pytest.skip("this processor has no fused multiply-add")
    code = assembly(*stages(kind)[name])
    packed = r"\tvfn?m(add|sub)\d+p[sd]\s.*%[yz]mm" if name not in INTEGER else r"\tvp\w+\s.*%[yz]mm"
    assert re.search(packed, code)
    assert "NRT" not in code


# --- the bits ---------------------------------------------------------------------------------------------------------

FINGERPRINT = """
from hashlib import sha256
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from radsens.gaps.strata import Strata, partition
from radsens.instrument import load
from radsens.kernel import compiler
from radsens.models.polarimeter import signal
from radsens.realise import Task, realise_band
from radsens.scenes import render
from radsens.scenes.grid import Grid
from radsens.sources import SOURCES

sources = {
    "polariser_orientation": {"sigma": 0.5, "distribution": "uniform", "correlation": 0.3},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.01, "correlation": 0.5},
    "hf_equalisation": {"sigma": 0.001, "correlation": 0.4},
    "radiometric_noise": {"model": "instrument"},
    "non_linearity": {"sigma": 0.01, "order": ORDER},
}
instrument = load("parasol")
ranges = {"i": {"start": 0.05, "stop": 0.5, "steps": 8}, "dolp": {"start": 0, "stop": 0.7, "steps": 9}}
ranges["aolp"] = {"start": -85, "stop": 85, "steps": 11}
(scene,) = render(Grid.model_validate({"kind": "grid", **ranges}), instrument, ("490P",))
part = partition(Strata(dolp=(0, 0.2, 0.7), field=(0, 25, 90), aolp=3, cross=("dolp", "aolp")), scene)
active = [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]
settings = {"instrument": "parasol", "seed": 2**40 + 3, "measurement": {"quantisation": True}, "sources": sources}
for precision in ("float64", "float32"):
    for error_in in ("knowledge", "instrument"):
        task = Task.model_validate({**settings, "precision": precision, "error_in": error_in})
        found = realise_band(task, instrument, scene, part, active, range(7, 12))
        assert not found.outcome.any()
        parts = (found.rows, found.totals, found.saturated, *found.drawn.values())
        print(precision, error_in, sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest())
row, k = np.zeros(8), 0.0
types = tuple(map(compiler().typeof, (row,) * 8))
signal.inner.compile(types)
code = signal.inner.inspect_asm(types)
print([name for name in __cpu_dispatch__ if __cpu_features__[name]], "zmm" in code, "ymm" in code)
"""
# The name of a processor alone takes nothing away: its features must be given too. FMA stays, for numba needs the
# instruction; what is rounded once by it is so everywhere.
X86_64_V3 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe"}
GLIBC = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2_Usable,-AVX2,-FMA,-FMA_Usable"


@pytest.mark.parametrize("order", [2, 3])
def test_a_realisation_has_the_same_bits_without_the_vector_units_of_the_processor(order):
    """Draws, tables, kernels and statistics, with what glibc, numpy and numba take from the processor hidden from them."""
    if not ON_X86:
        pytest.skip("the features that are hidden are those of x86-64")
    from llvmlite.binding import get_host_cpu_features
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    if not all(get_host_cpu_features().get(name) for name in ("avx2", "fma")):
        pytest.skip("this processor has nothing to hide")
    present = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    code = FINGERPRINT.replace("ORDER", str(order))
    *native, _ = python(code)
    *hidden, left = python(code, **X86_64_V3, NPY_DISABLE_CPU_FEATURES=present, GLIBC_TUNABLES=GLIBC)
    assert left == "[] False True"  # so the features were hidden indeed
    assert hidden == native
    assert len({line.split()[-1] for line in native}) == 4
