"""One result, bit for bit: however the work is cut, for whatever processor it is compiled, whatever the libraries make of it.

And the machine code that gives it, for the pinned target: many pixels at once in every stage.

Each run is a process of its own, since numpy, glibc and numba look at the processor once. What is compared is the
`results_sha256` of the rows of all spans: draws, tables, kernels, statistics and histograms. The reference image is a file that
all share: it is not promised to have one set of bits (radiative transfer asks the C library), and chunks on different bits of
it are never joined.
"""

import fcntl
import importlib
import json
import os
import pkgutil
import platform
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

import radsens
from radsens import chunk
from radsens.campaign import Campaign
from radsens.config import parse
from radsens.kernel import Kernel
from radsens.target import PINNED

# What hides features of the processor from numba, numpy and glibc.
HIDING = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NPY_DISABLE_CPU_FEATURES", "GLIBC_TUNABLES", "RADSENS_TARGET")
GLIBC = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2_Usable,-AVX2,-FMA,-FMA_Usable"

# All sources at once, over the noise and the quantisation of the measurement itself. Values are of no account: they are large
# enough that each stage moves the results.
SOURCES = {
    "polariser_orientation": {"sigma": 0.5, "distribution": "uniform", "correlation": 0.3},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.01, "correlation": 0.5},
    "hf_equalisation": {"sigma": 0.001, "correlation": 0.4},
    "radiometric_noise": {"model": "instrument"},
    "non_linearity": {"sigma": 0.01, "order": 2},
}
AXES = {"i": (0.05, 0.5, 8), "dolp": (0, 0.7, 9), "aolp": (-85, 85, 11)}
TREE = {
    "campaign": "bits",
    "instrument": "parasol",
    "bands": ["490P", "565NP"],
    "scene": {"kind": "grid", **{k: dict(zip(("start", "stop", "steps"), v, strict=True)) for k, v in AXES.items()}},
    "strata": {"dolp": [0, 0.2, 0.7], "field": [0, 25, 90], "aolp": 3, "cross": ["dolp", "aolp"]},
    "seed": 2**40 + 3,
    "realisations": 6,
    "span": 6,
    "measurement": {"noise": True, "quantisation": True},
    "combined": {"all": [*SOURCES]},
}
CUBIC = {"non_linearity": {"sigma": 0.01, "order": 3}, "radiometric_noise": {"snr": 200}}


class Layout(NamedTuple):
    """How six realisations are cut: ends of the spans, threads, and realisations that share a reading of the pixels."""

    ends: tuple[int, ...]
    threads: int
    block: int


WHOLE = Layout((6,), 1, 1)
LAYOUTS = (WHOLE, Layout((2, 5, 6), 1, 1), Layout((6,), 2, 1), Layout((6,), 1, 4), Layout((1, 6), 3, 2))

# Tasks with their layouts come as JSON. Told: the digest of each result; which features of the processor numpy sees; and of the
# code that was compiled here, not taken from the cache, what stands in each stage for each of its signatures.
PROBE = r"""
import importlib, json, re, sys
from pathlib import Path
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from radsens import chunk, io, realise
from radsens.gather import joined

scene, kept, cases, stages = Path(sys.argv[1]), Path(sys.argv[2]), *map(json.loads, sys.argv[3:])
digests = []
assert "BLOCKS" in vars(realise)
for task, (ends, threads, block) in cases:
    realise.BLOCKS = block, block
    spans = [range(a, b) for a, b in zip((0, *ends), ends)]
    made = [chunk.compute(realise.Task.model_validate(task), scene, span, threads) for span in spans]
    assert not any(one["outcome"].any() for one in made)
    io.write(kept, joined(made))
    digests.append(io.read(kept).attributes[io.DIGEST])

FOUND = {
    "fma": r"\tvfn?m(add|sub)\d+p[sd]\s.*%[yz]mm",
    "packed": r"\tv(\w+p[sd]|p\w+)\s.*%[yz]mm",
    "zmm": r"%zmm",
    "masks": r"%k[0-7]",
    "upper half": r"%[xy]mm(1[6-9]|2\d|3[01])",
    "reference counts": r"NRT",
}

def code(twin):
    if twin.stats.cache_hits:
        return []
    texts = [twin.inspect_asm(signature) for signature in twin.signatures]
    return [[name for name, what in FOUND.items() if re.search(what, text)] for text in texts]

held = {}
for name in stages:
    module, _, function = name.rpartition(".")
    one = getattr(importlib.import_module(module), function)
    held[name] = code(one.inner) + code(one.compiled)
left = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
print(json.dumps({"digests": digests, "features": left, "code": held}))
"""


def tasks(precision):
    """Tasks of all sources, by direction of the error and by order of the response."""
    for direction in ("knowledge", "instrument"):
        for other in ({}, CUBIC):
            tree = {**TREE, "precision": precision, "error_in": direction, "sources": {**SOURCES, **other}}
            yield Campaign(parse(tree)).task("all").model_dump(mode="json")


CASES = [(task, LAYOUTS if first == 0 else (WHOLE,)) for kind in ("float64", "float32") for first, task in enumerate(tasks(kind))]


def stages():
    """All stages, the loops over rows, by name: those that are compiled as functions of their own."""
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(radsens.__path__, "radsens.")]
    found = {
        f"{one.__module__}.{one.__name__}" for m in modules for one in vars(m).values() if isinstance(one, Kernel) and one.stage
    }
    return sorted(found)


@pytest.fixture(scope="module")
def realised(tmp_path_factory):
    """Run all cases in a fresh process, once for all workers under each name: what the probe tells."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bits"
    shared.mkdir(exist_ok=True)
    given = [json.dumps([(task, layout) for task, layouts in CASES for layout in layouts]), json.dumps(stages())]

    def run(name, **environment):
        with (shared / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            scene, told = shared / "scene.nc", shared / f"{name}.json"
            if not scene.exists():
                chunk.write_scene(Campaign(parse({**TREE, "sources": SOURCES})).scene_spec, scene)
            if not told.exists():
                seen = {k: v for k, v in os.environ.items() if k not in HIDING} | environment
                words = [sys.executable, "-c", PROBE, scene, shared / "rows.nc", *given]
                done = subprocess.run(words, capture_output=True, text=True, env=seen)
                assert done.returncode == 0, done.stderr
                told.write_text(done.stdout, encoding="utf-8")
            return json.loads(told.read_text(encoding="utf-8"))

    run.cache = str(shared / "cache")
    return run


@pytest.fixture(scope="module")
def native(realised):
    return realised("native")


@pytest.fixture(scope="module")
def pinned(realised):
    """What the pinned target gives, its code compiled anew so that it can be looked at."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the pinned target is one of x86-64")
    from llvmlite.binding import get_host_cpu_features

    if not all(get_host_cpu_features().get(name) for name in PINNED["x86-64-v3"]):
        pytest.skip("this processor has nothing to hide, and cannot run the pinned target")
    return realised("pinned", RADSENS_TARGET="x86-64-v3", RADSENS_CACHE=realised.cache)


# --- the bits ---------------------------------------------------------------------------------------------------------


def test_the_bits_depend_neither_on_spans_nor_on_threads_nor_on_blocks(native):
    each = iter(native["digests"])
    digests = [[next(each) for _ in layouts] for _, layouts in CASES]
    assert [len(set(layouts)) for layouts in digests] == [1] * len(CASES)
    assert len({layouts[0] for layouts in digests}) == len(CASES)  # and every task has results of its own
    assert re.fullmatch("[0-9a-f]{64}", digests[0][0])


def test_the_bits_are_those_of_another_target(native, pinned):
    assert pinned["digests"] == native["digests"]


def test_the_bits_are_kept_when_the_vector_units_are_hidden_from_glibc_and_numpy(native, pinned, realised):
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    present = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    hiding = {"NPY_DISABLE_CPU_FEATURES": present, "GLIBC_TUNABLES": GLIBC}
    hidden = realised("hidden", RADSENS_TARGET="x86-64-v3", RADSENS_CACHE=realised.cache, **hiding)
    assert hidden["features"] == []  # so they were hidden indeed
    assert hidden["digests"] == native["digests"]


# --- the machine code -------------------------------------------------------------------------------------------------

SPAN_PASS = "radsens.realise.span_pass"
# Stages that have no multiply-add: they work on many pixels at once all the same.
WITHOUT_FMA = {
    "radsens.random.words": "additions, rotations and exclusive or of 32-bit words",
    "radsens.models.polarimeter.offset": "one addition",
    "radsens.models.polarimeter.quantise": "one rounding",
    "radsens.models.polarimeter.saturate": "one comparison",
    "radsens.gaps.statistics.bin_row": "one product and the bits of a float32",
    "radsens.gaps.statistics.clear": "fills with constants",
    "radsens.gaps.quantities.intensity_gap_row": "two products",
    "radsens.models.polarimeter.total": "two additions",
}
# Stages that do not work on rows of pixels, or cannot work on many at once.
NOT_ROWS = {
    "radsens.gaps.statistics.count_row": "each pixel adds to a place of its own, read before the next",
    "radsens.gaps.statistics.fold": "64 lanes, once for each cell",
    "radsens.gaps.statistics.pilot": "32 pixels of a cell, one after the other",
    "radsens.gaps.statistics.pool": "cells of a stratum, one after the other",
    "radsens.gaps.statistics.merge": "cells of a stratum, one after the other",
    "radsens.gaps.statistics.quantiles": "five ranks looked for in a histogram",
    "radsens.gaps.statistics.cumulate": "each group of bins adds to those before it",
    "radsens.gaps.statistics.add": "each bin adds to a place of its own",
    "radsens.gaps.sums.read": "calls other stages",
    "radsens.gaps.sums.below_all": "one place looked for in each part of a union",
    "radsens.gaps.sums.value_of_union": "one root looked for",
    "radsens.gaps.sums.quantiles_of_union": "calls other stages",
    "radsens.sobol.shares": "a few parameters of each realisation",
    "radsens.random.parameter_table": "a few parameters of each realisation",
    "radsens.realise.simulate_tile": "calls other stages",
    "radsens.transfer.rendering.add_smooth": "of the scene, not of a realisation",
}


def test_the_lists_of_exceptions_name_stages_that_there_are():
    assert {*WITHOUT_FMA, *NOT_ROWS, SPAN_PASS} <= {*stages()}


@pytest.mark.parametrize("name", [name for name in stages() if name not in NOT_ROWS])
def test_a_stage_works_on_many_pixels_at_once(name, pinned):
    """Packed instructions on registers of 256 bits; a stage that lost them would be four to ten times slower."""
    found = pinned["code"][name]
    assert found  # compiled by a realisation, so that what is looked at is what is run
    for signature in found:
        assert ("packed" if name in WITHOUT_FMA else "fma") in signature
        assert "reference counts" not in signature


def test_the_code_of_the_pinned_target_has_nothing_of_avx512(pinned):
    """The whole of a realisation, all stages in it, in both precisions."""
    assert len(pinned["code"][SPAN_PASS]) == 2
    for signature in pinned["code"][SPAN_PASS]:
        assert signature == ["fma", "packed"]
