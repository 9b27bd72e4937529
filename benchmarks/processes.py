"""What a campaign pays around its kernels: start of a worker, memory, files written, rows gathered, threads, large images."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases
from benchmarks.timing import least, processor_time
from radsens import chunk, gather, io, realise
from radsens.gaps.strata import Partition, Strata
from radsens.random import address, field, field_row
from radsens.scenes import files
from radsens.schema import Scene

ROOT = Path(__file__).parents[1]
SIDE = 1024  # rows and columns of the large image of the memory
REALISATIONS = 8, 64  # of the two workers whose memory is compared: two blocks and sixteen, of four
MANY = 4_000_000  # pixels
CHUNK = 1024  # realisations of the chunk that is written: half a second of the kernel
PIECES = 4  # chunks that are gathered, of 256 realisations each
ROW = 8192  # pixels of a row of normals


@dataclass(frozen=True)
class Worker:
    """What one job of the workflow took, its interpreter and imports included."""

    cpu_seconds: float
    peak_mib: float
    libraries_mib: float


def written(scene: Scene, folder: Path, name: str) -> Path:
    """File of a scene, with the strata of the cases."""
    strata = Strata(dolp=cases.edges(scene))
    about = {"key": name, "instrument": cases.INSTRUMENT.name, "strata": strata.model_dump_json()}
    files.write(folder / f"{name}.nc", [scene], about)
    return folder / f"{name}.nc"


def all_sources(quantiles: bool = True) -> realise.Task:
    """All sources in float32, as a campaign runs them unless it says otherwise."""
    sources, error_in = cases.CASES["all sources"]
    return cases.task(sources, error_in, "float32", quantiles)


def worker(scene: Path, realisations: int, output: Path, **environment: str) -> Worker:
    """Run one job in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.job",
        all_sources().model_dump_json(),
        str(scene),
        str(realisations),
        str(output),
    ]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"a worker failed: {ran.stderr.strip().splitlines()[-1]}")
    found = json.loads(ran.stdout)
    if found["good"] != realisations:
        raise RuntimeError("a worker has realisations that failed, so that nothing can be compared")
    return Worker(found["cpu_seconds"], found["peak_mib"], found["libraries_mib"])


def start_up(scene: Path, folder: Path) -> tuple[float, float]:
    """Processor time of a worker from its start to its first realisation on disk [s]: with compiled kernels, and without."""
    cold = worker(scene, 1, folder / "cold.nc", RADSENS_CACHE=str(folder / "cache"), RADSENS_NODE_CACHE="")
    warm = min(worker(scene, 1, folder / "warm.nc").cpu_seconds for _ in range(3))
    return warm, cold.cpu_seconds


def memory(scene: Scene, folder: Path) -> tuple[Worker, Worker]:
    """Workers at SIDE × SIDE pixels, for each of REALISATIONS."""
    large = written(cases.enlarged(scene, SIDE * SIDE), folder, "large")
    few, many = (worker(large, n, folder / f"memory{n}.nc") for n in REALISATIONS)
    return few, many


def output(scene: Path, folder: Path, kernel: float) -> tuple[float, float]:
    """Time to write a chunk, as a part of that of its kernel (`kernel` [s per realisation]); and to gather a realisation [s]."""
    ready = chunk.ready(all_sources(), scene)
    made = chunk.compute(ready.task, scene, range(CHUNK))
    whole = min(processor_time(partial(io.write, folder / "whole.nc", made)) for _ in range(3))
    pieces, each = folder / ready.key, CHUNK // PIECES
    for span in chunk.spans(CHUNK, each):
        io.write(pieces / f"{chunk.span_name(span)}.nc", piece(made, span))
    gathered = min(processor_time(partial(gather.gather, pieces, CHUNK, each)) for _ in range(3))
    return whole / (kernel * CHUNK), gathered / CHUNK


def piece(made: io.File, span: range) -> io.File:
    """The part of a chunk that a span gives; the histograms, which are sums over realisations, stay whole."""

    def cut(v: io.Variable) -> io.Variable:
        return replace(v, values=v.values[span.start : span.stop]) if v.dimensions[0] == "realisation" else v

    about = {**made.attributes, "realisation_first": span.start, "realisation_count": len(span)}
    return io.File({name: cut(v) for name, v in made.variables.items()}, about)


def normals() -> float:
    """How many times as fast as numpy's Philox a normal number, float32, is made: those of each pixel of a row."""
    index = np.arange(ROW, dtype=np.uint32)
    z = field(1, "noise", cases.BAND, 0, index)
    w, generator = np.empty((4, ROW), np.uint32), np.random.Generator(np.random.Philox(1))
    ours = partial(field_row, z, w, index, 0, address(1, "noise", cases.BAND))
    theirs = partial(generator.standard_normal, out=z, dtype=np.float32)
    found = least({"ours": (ours, z.size), "theirs": (theirs, z.size)}, 1.5)
    return found["theirs"] / found["ours"]


def two_threads(scene: Scene, part: Partition) -> tuple[float, float]:
    """Two threads by one, on the same realisations: wall time (½ on two idle processors) and processor time (1)."""
    one, two = (cases.batch(all_sources(), scene, part, 4 * cases.TIMED, threads) for threads in (1, 2))
    wall, cpu = np.full((2, 2), np.inf)
    for _ in range(8):
        for k, job in enumerate((one, two)):
            start = time.perf_counter(), time.process_time()
            job()
            wall[k], cpu[k] = min(wall[k], time.perf_counter() - start[0]), min(cpu[k], time.process_time() - start[1])
    return wall[1] / wall[0], cpu[1] / cpu[0]


def many_pixels(scene: Scene, part: Partition) -> float:
    """Cost of a pixel-realisation in an image of MANY pixels, by that in this one."""
    asked, large = all_sources(quantiles=False), cases.enlarged(scene, MANY)
    jobs: dict[Any, tuple[Callable, float]] = {"small": (cases.batch(asked, scene, part), scene.theta.size * cases.TIMED)}
    jobs["large"] = cases.batch(asked, large, cases.classes(large), 4), MANY * 4
    found = least(jobs, 0.0)
    return found["large"] / found["small"]
