"""Print the speed of the compiled pass against tuned NumPy, measured interleaved in one process, and write it as JSON.

The target is the issue's: all sources, one thread, four times as fast as NumPy's float64 with moments and histograms, which
is the job that radsens always does (its histograms serve quantiles). Times are processor times, the least of many: what
other processes do hardly enters. What is timed is `span_pass` with the arguments that `realise_band` gives it, the fixed
set-up of a task being left out on both sides. The exit code is 1 if the target is missed, or if the two do not agree.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.baseline import BINS, MAX, MEAN, MIN, STD, Baseline, Job
from radsens import instrument, realise
from radsens.gaps import statistics
from radsens.gaps.strata import Strata, dolp, partition
from radsens.models import polarimeter
from radsens.random import address, field_row
from radsens.scenes import render
from radsens.scenes.analytic import Analytic
from radsens.sources import SOURCES

RESULTS = Path(__file__).parent / "results" / "latest.json"
TARGET = 4.0
INSTRUMENT, BAND, STRATA = instrument.load("parasol"), "490P", 8
SCALARS = {
    "polariser_orientation": {"sigma": 0.1},
    "polariser_extinction": {"sigma": 0.25},
    "relative_transmission": {"sigma": 0.002},
}
NOISE = {"radiometric_noise": {"snr": 200}}
ALL = {**SCALARS, **NOISE, "hf_equalisation": {"sigma": 0.001}, "non_linearity": {"sigma": 0.01}}
CASES = {
    "scalar sources": (SCALARS, "knowledge"),
    "noise": (NOISE, "knowledge"),
    "all sources": (ALL, "knowledge"),
    "all sources, in the instrument": (ALL, "instrument"),
}
GATED = [name for name in CASES if name.startswith("all sources")]
PRECISIONS = ("float64", "float32")
COUNT = 8  # realisations of a span
SECONDS = 25.0  # given to the measurement of the cases

(SCENE,) = render(Analytic(kind="analytic"), INSTRUMENT, (BAND,))
PIXELS = SCENE.theta.size


def classes() -> Any:
    """Eight classes of DoLP with as many pixels each."""
    edges = np.quantile(dolp(SCENE.stokes), np.linspace(0, 1, STRATA + 1))
    edges[[0, -1]] = 0, 1
    return partition(Strata(dolp=tuple(edges)), SCENE)


def task(case: str, precision: str, quantiles: bool = True) -> tuple[realise.Task, list[Any]]:
    """A case as radsens takes it: its task and the sources that act."""
    sources, error_in = CASES[case]
    settings = {"instrument": INSTRUMENT.name, "seed": 1, "measurement": {}, "sources": sources}
    found = realise.Task.model_validate({**settings, "precision": precision, "error_in": error_in, "quantiles": quantiles})
    return found, [(SOURCES[name], SOURCES[name].Amplitudes(**knobs)) for name, knobs in sources.items()]


def numpy_job(case: str, part: Any) -> Job:
    """The same case as the baseline takes it, from the same parameters and the same pixels."""
    p, switch, actual, believed = parameters(case)
    table = polarimeter.pixel_table(polarimeter.nominal(INSTRUMENT, BAND), SCENE, f"{INSTRUMENT.name}.{BAND}")
    order = np.lexsort((~part.aolp, part.cell))
    table, cell = np.ascontiguousarray(table[:, order]), part.cell[order]
    starts = np.searchsorted(cell, np.arange(STRATA + 1))
    angles = np.bincount(part.cell, part.aolp, STRATA).astype(int)
    m = polarimeter
    return Job(
        strata=[(a, b, a + n) for a, b, n in zip(starts[:-1], starts[1:], angles, strict=True)],
        basis=table[m.B : m.B + 3],
        gain=table[m.K : m.K + 3],
        inverse_gain=table[m.INVERSE_K : m.INVERSE_K + 3],
        back=table[m.J : m.J + 6],
        reference=table[[m.Q0, m.U0, m.P0]],
        mean_signal=table[m.S_MEAN],
        forward=(p[:, m.EXPECTED : m.EXPECTED + 9] + p[:, m.WRONG : m.WRONG + 9]).reshape(-1, 3, 3),
        inverse=p[:, m.INVERSE : m.INVERSE + 9].reshape(-1, 3, 3).copy(),
        bend=p[:, m.CURVE : m.CURVE + 2] + [1, 0] if switch[m.ORDER_ACTUAL] else None,
        unbend=p[:, m.LINEARISE : m.LINEARISE + 2] + [1, 0] if switch[m.ORDER_BELIEVED] else None,
        equalisation=actual.high_frequency_error or believed.high_frequency_error,
        equalisation_in_instrument=actual.high_frequency_error > 0,
        noise=1 / actual.snr,
        low=np.array([-0.05, -0.05, -0.05, -0.05, -5]),
        high=np.array([0.05, 0.05, 0.05, 0.05, 5]),
    )


def parameters(case: str) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Parameters (realisation, column), switches, and the two models of a case."""
    settings, active = task(case, "float64")
    actual, believed = realise.models(settings, INSTRUMENT, BAND, active, range(COUNT))
    p, outcome = polarimeter.parameters(actual, believed, COUNT)
    if outcome.any():
        raise RuntimeError(f"{case}: a realisation failed, so that nothing can be compared")
    return p, polarimeter.switches(actual, believed), actual, believed


def passes(case: str, precision: str, part: Any, count: int = COUNT, threads: int = 1, quantiles: bool = True) -> tuple[list[Callable], Any]:
    """The passes over the pixels of a span, one for each thread, with the arguments of `realise_band`; and its result."""
    calls: list[tuple] = []
    compiled, (settings, active) = realise.span_pass, task(case, precision, quantiles)

    def recorded(*arguments):
        calls.append(arguments)
        compiled(*arguments)

    realise.span_pass = recorded
    try:
        found = realise.realise_band(settings, INSTRUMENT, SCENE, part, active, range(count), threads)
    finally:
        realise.span_pass = compiled
    return [partial(compiled, *given) for given in calls], found


def disagreement(case: str, ours: np.ndarray, theirs: np.ndarray, n: np.ndarray) -> str:
    """What differs between two sets of moments (realisation, stratum, 5, 4) by more than it may, or nothing.

    Without a random field both are the same numbers to rounding, which an angle of weakly polarised light (DoLP 0.02)
    magnifies 1500 times. With one they differ by its sampling: a mean by σ√(2/n), a standard deviation by σ/√n, each to six
    standard errors. Angles are left out there, their distribution having long tails.
    """
    if case == "scalar sources":
        return "" if np.allclose(ours, theirs, rtol=1e-9, atol=1e-11) else "moments differ by more than rounding"
    ours, theirs, n = ours[:, :, :4], theirs[:, :, :4], n[:, :4]
    spread = theirs[..., STD]
    if (np.abs(ours[..., MEAN] - theirs[..., MEAN]) > 6 * spread * np.sqrt(2 / n)).any():
        return "means differ by more than their sampling"
    return "standard deviations differ" if (np.abs(ours[..., STD] / spread - 1) > 6 / np.sqrt(n)).any() else ""


def in_turn(jobs: list[Callable]) -> Callable:
    """A job that does the next of some jobs at each call."""
    endless = cycle(jobs)
    return lambda: next(endless)()


def least(jobs: dict[Any, tuple[Callable, float]], seconds: float) -> dict[Any, float]:
    """Least processor time of each job [ns per unit of its work], all of them taken in turn until the time is over."""
    best = dict.fromkeys(jobs, np.inf)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, (job, work) in jobs.items():
            start = time.process_time()
            job()
            best[name] = min(best[name], (time.process_time() - start) / work * 1e9)
    return best


def all_cases() -> tuple[dict[Any, float], list[str]]:
    """Times of all cases [ns per pixel and realisation], and what does not agree."""
    part, jobs, wrong = classes(), {}, []
    kept = [statistics.MEAN, statistics.STD, statistics.MIN, statistics.MAX]
    for case in CASES:
        # The same code takes up to 1.5 times as long at some addresses of its buffers: the least of three sets counts.
        sets = [Baseline(numpy_job(case, part), seed) for seed in range(3)]
        for histograms in (False, True):
            jobs[case, "numpy", histograms] = (in_turn([partial(b.realise, 0, histograms) for b in sets]), PIXELS)
        for precision in PRECISIONS:
            (job,), found = passes(case, precision, part)
            jobs[case, precision] = job, COUNT * PIXELS
            if precision == "float64":
                theirs = np.stack([sets[0].realise(r, False)[0] for r in range(COUNT)])[..., [MEAN, STD, MIN, MAX]]
                wrong += [f"{case}: {what}" for what in [disagreement(case, found.rows[..., kept], theirs, found.n)] if what]
    return least(jobs, SECONDS), wrong


def normals() -> dict[str, float]:
    """Time of a normal number, float32 [ns]: four of each pixel of a row, against numpy's Philox."""
    n = 8192
    z, w, index = np.empty((4, n), np.float32), np.empty((4, n), np.uint32), np.arange(n, dtype=np.uint32)
    ours = partial(field_row, z, w, index, 0, address(1, "noise", BAND))
    generators = [np.random.Generator(np.random.Philox(seed)) for seed in range(3)]
    theirs = in_turn([partial(g.standard_normal, out=z, dtype=np.float32) for g in generators])
    ours()
    return least({"radsens": (ours, 4 * n), "numpy": (theirs, 4 * n)}, 1.0)


def two_threads() -> float:
    """Wall time of two passes one after the other, by that of both at once: 2 on two idle processors."""
    (one, two), _ = passes("all sources", "float64", classes(), 4 * COUNT, threads=2)
    apart, together = [], []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(12):
            start = time.perf_counter()
            one(), two()
            middle = time.perf_counter()
            list(pool.map(lambda job: job(), (one, two)))
            apart.append(middle - start)
            together.append(time.perf_counter() - middle)
    return min(apart) / min(together)


def show(times: dict[Any, float], console: Console) -> dict[str, Any]:
    """Print the table of the cases; returns it."""
    table = Table(title=f"ns per pixel and realisation; {PIXELS} pixels, {STRATA} strata and the whole, 5 gaps; one thread")
    heads = ("case", "numpy moments", f"+ {BINS} bins", "radsens", "", "ratio to moments", "to both", f"target ≥ {TARGET:g}")
    for head in heads:
        table.add_column(head, justify="left" if head in ("case", "") else "right")
    rows = {}
    for case in CASES:
        moments, both = times[case, "numpy", False], times[case, "numpy", True]
        for precision in PRECISIONS:
            ours = times[case, precision]
            verdict = ("PASS" if both / ours >= TARGET else "short") if case in GATED else ""
            numbers = (f"{x:.1f}" for x in (moments, both, ours))
            table.add_row(case, *numbers, precision, f"{moments / ours:.2f}", f"{both / ours:.2f}", verdict)
            found = {"numpy_moments": moments, "numpy_moments_and_histograms": both, "radsens": ours}
            rows[f"{case}, {precision}"] = {**found, "ratio": both / ours, "verdict": verdict}
    console.print(table)
    return rows


def main() -> int:
    """Measure, print and write."""
    console = Console(width=130)
    times, wrong = all_cases()
    rows, drawn, threads = show(times, console), normals(), two_threads()
    ratio = drawn["numpy"] / drawn["radsens"]
    console.print(
        f"A normal number, float32: radsens {drawn['radsens']:.2f} ns, numpy {drawn['numpy']:.2f} ns: {ratio:.1f} times as fast"
    )
    console.print(
        f"Two threads: {threads:.2f} times as fast as one (wall time, not a target: it is 2 only on two idle processors)"
    )
    for what in wrong:
        console.print(f"radsens and the baseline do not do the same job: {what}", style="red")
    passed = not wrong and all(rows[f"{case}, {p}"]["verdict"] == "PASS" for case in GATED for p in PRECISIONS)
    about = {name: version(name) for name in ("numpy", "numba", "llvmlite", "radsens")}
    about |= {"python": platform.python_version(), "machine": platform.machine(), "time": datetime.now(UTC).isoformat()}
    found = {"unit": "ns per pixel and realisation", "target": TARGET, "passed": passed, "cases": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**found, "normal [ns]": drawn, "two_threads": threads, "about": about}, indent=2) + "\n")
    console.print(f"Written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
