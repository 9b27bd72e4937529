"""Measure what the engine promises, print it in one table, and write it as JSON: `python -m benchmarks`, or `make bench`.

Each figure is a ratio of processor times, the least of many, of codes that take turns in one process on one thread; what
other processes do hardly enters. The baseline is a tuned NumPy in float64 (`baseline`), the peer is punpy (`peers`). The
exit code is 1 if a gated target is short or was not measured, or if two codes that should do the same job do not. What
the figures mean and what is counted: docs/performance.md.
"""

import json
import platform
import sys
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from benchmarks import campaign, cases, ceiling, exact, peers, processes, verdict
from benchmarks.timing import least
from benchmarks.verdict import Row
from radsens.gaps.strata import Partition
from radsens.schema import Scene

RESULTS = Path(__file__).parent / "results" / "latest.json"
SECONDS = 30.0  # given to the measurement of the cases
DIRECTIONS = "all sources", "all sources, in the instrument"
Times = dict[Any, float]


def of_cases(times: Times) -> list[Row]:
    """The pass against the baseline, float32; all sources in the direction that gains less."""

    def ratio(case: str, histograms: bool, kind: str = "float32") -> float:
        return times[case, "numpy", histograms] / times[case, kind, histograms]

    def worse(histograms: bool, kind: str = "float32") -> float:
        return min(ratio(case, histograms, kind) for case in DIRECTIONS)

    extra = max(times[c, "float32", True] / times[c, "float32", False] - 1 for c in DIRECTIONS)
    both = "NumPy float64 / radsens float32, the worse of both directions of the error"
    return [
        Row("all sources, moments", worse(False), "≥", 12, note=both),
        Row("all sources, moments and histograms", worse(True), "≥", 10, note=both),
        Row("scalar sources, moments", ratio("scalar sources", False), "≥", 8, note="NumPy float64 / radsens float32"),
        Row(
            "all sources, moments, float64", worse(False, "float64"), "≥", 4, gated=False, note="NumPy float64 / radsens float64"
        ),
        Row("histograms add", 100 * extra, "≤", 50, "%", gated=False, note="all sources, to the time of moments"),
    ]


def of_gram(scene: Scene, part: Partition) -> list[Row]:
    """The Gram tier."""
    ratio, error = exact.tier(scene, part)
    return [
        Row("Gram tier", ratio, "≥", 50, note="pixel pass, scalar sources, moments, float32 / Gram tier"),
        Row("Gram tier, relative error", error, "≤", 1e-12, "", note="of means and rms, against the float64 pass"),
    ]


def of_peers(scene: Scene, part: Partition) -> tuple[list[Row], list[str]]:
    """punpy on the same six sources, in the same strata; what does not agree."""
    called = f"one call, N = {peers.CALLED}; radsens with histograms"
    notes = {"hand-batched": f"batches of {peers.BATCH}; radsens with histograms", "as documented": called}
    wanted = {"hand-batched": 25, "as documented": 60}
    if not peers.installed():
        return [Row(f"punpy, {way}", None, "≥", wanted[way], note=peers.ABSENT) for way in notes], []
    job, pixels = peers.measurement(cases.ALL, scene, part, peers.statistics), scene.theta.size
    ours = cases.batch(cases.task(cases.ALL, "instrument", "float32", quantiles=True), scene, part)
    rows = peers.batched(job, 3)
    wrong = peers.disagreement(peers.as_theirs(ours().rows), rows)
    jobs: dict[Any, Any] = {
        "radsens": (ours, pixels * cases.TIMED),
        "hand-batched": (partial(peers.batched, job, 2), pixels * 2 * peers.BATCH),
    }
    found = least(jobs, 8.0)
    found["as documented"] = min(peers.called_afresh() for _ in range(2)) * 1e9
    made = {way: f"{notes[way]}: {found[way]:.0f} ns / {found['radsens']:.1f} ns" for way in notes}
    rows_found = [Row(f"punpy, {way}", found[way] / found["radsens"], "≥", wanted[way], note=made[way]) for way in notes]
    return rows_found, [f"all sources: {wrong} (punpy)"] if wrong else []


def of_campaign() -> tuple[list[Row], list[str]]:
    """The whole campaign; what does not agree."""
    names = "whole campaign to 1 %", "one band of it, without quantiles"
    if not peers.installed():
        return [Row(name, None, "≥", 200, gated=name == names[0], note=peers.ABSENT) for name in names], []
    rows, wrong = [], []
    for name, found in (names[0], campaign.campaign()), (names[1], campaign.campaign(cases.BANDS[:1], quantiles=False)):
        note = (
            f"punpy, hand-batched, {found.theirs:.0f} s of {found.their_realisations} realisations, EXTRAPOLATED / radsens "
            f"{found.ours:.2f} s of {found.our_realisations}, done"
        )
        rows.append(Row(name, found.theirs / found.ours, "≥", 200, gated=name == names[0], note=note))
        wrong += found.wrong
    return rows, wrong


def of_processes(scene: Scene, part: Partition, times: Times) -> list[Row]:
    """What a campaign pays around its kernels."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = processes.written(scene, folder, "scene")
        kernel = times["all sources", "float32", True] * 1e-9 * scene.theta.size
        warm, cold = processes.start_up(file, folder)
        few, many = processes.memory(scene, folder)
        output, gathering = processes.output(file, folder, kernel)
    wall, cpu = processes.two_threads(scene, part)
    first, last = processes.REALISATIONS
    above = [one.peak_mib - one.libraries_mib for one in (few, many)]
    side, told = f"{processes.SIDE} × {processes.SIDE}", partial(Row, gated=False)
    chunk = f"a chunk of {processes.CHUNK} realisations / its kernel, all sources, histograms"
    return [
        Row("memory of a worker", max(above), "≤", 200, "MiB", note=f"{side}, all sources, beyond interpreter and libraries"),
        Row("memory, growth with realisations", above[1] / above[0], "≤", 1.05, note=f"N = {last} / N = {first}"),
        told(
            "memory in all",
            many.peak_mib,
            "≤",
            350,
            "MiB",
            note=f"of which {many.libraries_mib:.0f} are interpreter and libraries",
        ),
        told("two threads, wall time", wall, "≤", 0.55, note="two threads / one; ½ on two idle processors"),
        told("two threads, processor time", cpu, "≤", 1.05, note="two threads / one"),
        told(
            "4e6 pixels", processes.many_pixels(scene, part), "≤", 1.15, note=f"a pixel-realisation there / of {part.cell.size}"
        ),
        told("warm start to the first result", warm, "≤", 1, "s", note="processor time, interpreter and imports included"),
        told("cold start to the first result", cold, "≤", 8, "s", note="the same, all kernels compiled"),
        told("output", 100 * output, "≤", 10, "%", note=chunk),
        told("gather", gathering * 1e6, "≤", 40, "µs", note=f"a realisation of {processes.PIECES} chunks"),
    ]


def of_ceiling(times: Times, cost: Times) -> list[str]:
    """How near the float32 pass comes to what its operations cost."""
    lines = [
        f"Measured: {2 / cost['flops']:.0f} Gflop/s of float32 multiply-adds, {4 / cost['rows']:.0f} GB/s of the first-level "
        f"cache, {4 / cost['table']:.0f} GB/s of memory. Estimated ceilings (counts by hand: benchmarks/ceiling.py):"
    ]
    for case, count in ceiling.COUNTS.items():
        for histograms in (False, True):
            counted, name = (count + ceiling.HISTOGRAMS, "and histograms") if histograms else (count, "")
            least_time, took = ceiling.ceiling(counted, cost), times[case, "float32", histograms]
            lines.append(
                f"  {case}, moments {name}: {took:.1f} ns, ceiling {least_time:.1f} ns: {100 * least_time / took:.0f} % "
                f"(reading the pixels from memory for one realisation: {counted.table * cost['table']:.1f} ns)"
            )
    return lines


def named(times: Times) -> dict[str, float]:
    """The times of the cases by names that JSON can hold."""
    return {f"{case}, {code}, {'histograms' if h else 'moments'}": ns for (case, code, h), ns in times.items()}


def main() -> int:
    """Measure, print and write."""
    console = Console(width=150)
    (scene,) = cases.scenes()
    part = cases.classes(scene)
    jobs, wrong = cases.jobs(scene, part)
    times = least(jobs, SECONDS)
    rows = [*of_cases(times), Row("normals, float32", processes.normals(), "≥", 10, note="numpy Philox float32 / radsens")]
    rows += of_gram(scene, part)
    for found, differing in of_peers(scene, part), of_campaign():
        rows, wrong = rows + found, wrong + differing
    rows += of_processes(scene, part, times)
    cost = ceiling.costs()
    lines = of_ceiling(times, cost)
    verdict.show(rows, lines, wrong, console)
    about = {name: version(name) for name in ("numpy", "numba", "llvmlite", "radsens")}
    about |= {"python": platform.python_version(), "machine": platform.machine(), "time": datetime.now(UTC).isoformat()}
    if peers.installed():
        about["punpy"] = version("punpy")
    more = {"unit": "ns per pixel and realisation", "times": named(times), "costs": cost, "ceilings": lines, "about": about}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(verdict.record(rows, wrong, **more), indent=2, ensure_ascii=False) + "\n")
    console.print(f"Written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0 if verdict.passed(rows, wrong) else 1


if __name__ == "__main__":
    sys.exit(main())
