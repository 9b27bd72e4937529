"""What a campaign will take, from a short real calibration on this machine; submits nothing and writes no result."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from radsens import chunk, io
from radsens.campaign import Campaign
from radsens.config import tree_of
from radsens.operate import snakemake
from radsens.operate.status import duration, size
from radsens.scenes import files

BUDGET = 24.0  # of all timed computations [s]; compiling comes on top, once
CLEAR = 0.5  # a difference of times from which the cost of a realisation is taken [s]
FIRST = 64  # realisations of the first longer chunk, at most: histograms pack the better the fuller they are
NOISE = 0.05  # of such a difference [s]: what is smaller is taken for that much
GROWTH = 4  # of that number, until the difference is clear
SHORT, LONG = 300, 1800  # a job should last between [s]
AIM, BRISK = 900, 360  # what is aimed at, and what is where longer jobs would leave places empty [s]
MOST_JOBS = 2000  # of a campaign: beyond, Snakemake itself becomes slow
JOBS = 100  # at once, where nothing says how many
HEADS = ("source", "realisations", "jobs", "per job", "s per realisation", "one job", "core-hours")


@dataclass(frozen=True)
class Cost:
    """What a source takes: realisations, time [s] and size [byte] of a job, fixed and per realisation."""

    source: str
    realisations: int
    fixed: float
    each: float
    fixed_size: float
    each_size: float

    def jobs(self, span: int) -> int:
        """Jobs at a span."""
        return ceil(self.realisations / span)

    def longest(self, span: int) -> float:
        """Time of a full job at a span [s]."""
        return self.fixed + self.each * min(span, self.realisations)

    def seconds(self, span: int) -> float:
        """Time of all jobs at a span [s]."""
        return self.fixed * self.jobs(span) + self.each * self.realisations

    def size(self, span: int) -> float:
        """Size of all chunks and of the gathered rows at a span [byte]."""
        return (
            (self.fixed_size + self.each_size * self.realisations)
            + self.fixed_size * self.jobs(span)
            + (self.each_size * self.realisations)
        )


def jobs_at_once(jobs: int | None, profile: str | None) -> int:
    """Jobs that run at once: as given, else what the profile says, else a hundred."""
    folder = None if profile is None else snakemake.profile_folder(profile)
    if jobs is not None or folder is None:
        return jobs or JOBS
    tree: Any = tree_of(sorted(folder.glob("config*.yaml"))[0])
    told = [tree.get(knob) for knob in ("jobs", "cores")] if isinstance(tree, dict) else []
    counts = [os.cpu_count() or 1 if number == "all" else number for number in told]
    return next((number for number in counts if isinstance(number, int)), JOBS)


def start_up() -> float:
    """Time of a processor that a job takes to start, before it computes [s]."""
    before = os.times()
    subprocess.run([sys.executable, "-c", "import radsens.cli, radsens.chunk, numba"], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def timed(campaign: Campaign, source: str, scene: Path, count: int) -> tuple[float, int]:
    """Time of a processor [s] and size [byte] of a chunk of the first `count` realisations, computed and written for good.

    Not the time of the clock: a machine that is shared would make the campaign longer than it is.
    """
    path, began = scene.with_name("chunk.nc"), time.process_time()
    io.write(path, chunk.compute(campaign.task(source), scene, range(count)))
    return time.process_time() - began, path.stat().st_size


def cost(campaign: Campaign, source: str, scene: Path, budget: float) -> Cost:
    """Cost of a source: fixed part and marginal cost of a realisation, from chunks of one and of more realisations."""
    timed(campaign, source, scene, 1)  # compiles
    ended = time.perf_counter() + budget
    (one, one_size), realisations = timed(campaign, source, scene, 1), campaign.most(source)
    if realisations == 1:
        return Cost(source, 1, one, 0.0, one_size, 0.0)
    more = round(min(max(budget / (4 * max(one, 1e-3)), 3), FIRST))
    while True:
        many, many_size = timed(campaign, source, scene, more)
        each = max(many - one, NOISE) / (more - 1)
        if many - one > CLEAR or time.perf_counter() + one + each * GROWTH * more > ended:
            break
        more *= GROWTH
    each_size = (many_size - one_size) / (more - 1)
    return Cost(source, realisations, max(one - each, 0.0), each, max(one_size - each_size, 0.0), max(each_size, 0.0))


def measure(campaign: Campaign) -> tuple[list[Cost], float, list[str]]:
    """Cost of each source on this machine, size of the scene [byte], and what averages in it; in a temporary folder."""
    started = start_up()
    with tempfile.TemporaryDirectory(prefix="radsens-plan-") as folder:
        scene = Path(folder) / "scene.nc"
        chunk.write_scene(campaign.scene_spec, scene)
        share = BUDGET / len(campaign.names)
        costs = [cost(campaign, name, scene, share) for name in campaign.names]
        pixels = min(np.unique(files.read(scene, band, geometry=False).detector).size for band in campaign.config.bands)
        told = campaign.averaging(pixels)
        return [replace(one, fixed=one.fixed + started) for one in costs], scene.stat().st_size, told


def tidy(span: float) -> int:
    """A span of two figures at most, not above the given one."""
    whole = max(int(span), 1)
    step = 10 ** max(len(str(whole)) - 2, 0)
    return whole // step * step


def proposal(costs: Sequence[Cost], span: int, at_once: int) -> tuple[int, str]:
    """Span to take, and why: the slowest source's jobs last a quarter of an hour, and there are not too many jobs.

    They are shorter where there would be fewer jobs than can run at once.
    """
    slowest = max(costs, key=lambda one: one.each)
    most = max(one.realisations for one in costs)
    if slowest.each <= 0 or slowest.longest(most) < SHORT:
        return most, (
            f"the campaign is so small that one job for each source lasts less than {duration(SHORT)}: span {most} makes "
            f"one job of each, and {span} may stay"
        )
    wanted = min(tidy((AIM - slowest.fixed) / slowest.each), most)
    if sum(one.jobs(wanted) for one in costs) < at_once:
        wanted = min(tidy((BRISK - slowest.fixed) / slowest.each), most)
    while sum(one.jobs(wanted) for one in costs) > MOST_JOBS and wanted < most:
        wanted = min(ceil(wanted * 1.1), most)
    wanted = max(wanted, 1)
    lasts, jobs = slowest.longest(wanted), sum(one.jobs(wanted) for one in costs)
    if lasts > LONG:
        return (
            wanted,
            f"a job lasts {duration(lasts)}, longer than {duration(LONG)}, since there should be at most {MOST_JOBS} jobs",
        )
    return wanted, f"the longest job lasts {duration(lasts)}, and there are {jobs} jobs"


def wall(costs: Sequence[Cost], span: int, at_once: int) -> float:
    """Least time from the first job to the last chunk at so many jobs at once [s]; the control comes before the others."""
    control, others = costs[0], costs[1:]
    whole = sum(one.seconds(span) for one in others)
    return control.seconds(span) + max(whole / at_once, max((one.longest(span) for one in others), default=0.0))


def sums(costs: Sequence[Cost], scene: float, span: int, at_once: int) -> str:
    """What the whole campaign takes at a span, in one line."""
    jobs = sum(one.jobs(span) for one in costs)
    hours = sum(one.seconds(span) for one in costs) / 3600
    disk = scene + sum(one.size(span) for one in costs)
    return (
        f"span {span}: {jobs} jobs, {hours:.3g} core-hours, at least {duration(wall(costs, span, at_once))} "
        f"with {at_once} jobs at once, {disk / 1e9:.3g} GB ({size(disk)})"
    )


def plan(campaign: Campaign, at_once: int) -> None:
    """Print what a campaign takes, and propose a span."""
    from radsens.products.grid import console, grid

    costs, scene, averaging = measure(campaign)
    span = campaign.config.span
    rows = [
        [
            one.source,
            one.realisations,
            one.jobs(span),
            min(span, one.realisations),
            one.each,
            duration(one.longest(span)),
            one.seconds(span) / 3600,
        ]
        for one in costs
    ]
    out = console()
    out.print(grid(f"campaign {campaign.config.campaign} on one core of this machine", HEADS, rows))
    out.print(f"\nas it is, {sums(costs, scene, span, at_once)}")
    wanted, because = proposal(costs, span, at_once)
    out.print(f"proposed, {sums(costs, scene, wanted, at_once)}")
    out.print(f"because {because}")
    if campaign.staged:
        first = [replace(one, realisations=campaign.realisations(one.source)) for one in costs]
        out.print(f"these are the most: what stop_at has decided by now takes {sums(first, scene, span, at_once)}")
    for line in averaging:
        out.print(line)
