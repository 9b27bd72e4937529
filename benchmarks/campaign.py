"""A whole campaign: processor time to a table of the six sources and three polarised bands of PARASOL, one source at a time, in
which every `total` of the whole image, of all five gaps, has a standard error of at most 1 %.

radsens does it, and what is timed is all of it but the rendering of the scene and the compilation, for each source and band
anew, as jobs of the workflow do it: strata, draws, layout of the pixels, passes with their statistics in eight strata and the
whole, the sums of the Gram tier and its expectations over 2^12 realisations, and the totals. Parameters are Sobol points.
Realisations double from eight, one of each replicate, until each total is known well enough, as the table says:

* sources of parameters: with the Gram tier as control variate (`refined_error`), or without (`mc_error`) if that is less;
* noise and equalisation, which draw no parameter: by the pixel pass (`mc_error`), since an image is a sample by itself.

punpy, hand-batched, is timed on a few realisations of the same jobs: its measurement function takes the statistics of
`benchmarks.peers`, quantiles among them as in the table of radsens, and draws only what the source draws. Its N follows
from the standard errors that its own totals have then, as 1/√N. So its time is EXTRAPOLATED, and as uncertain as these
standard errors are (a twentieth of their value, a tenth of N).
Neither side takes a margin for the uncertainty of its own standard errors.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import cases, peers
from benchmarks.timing import processor_time
from radsens import expectation, gram, realise
from radsens.gaps import statistics
from radsens.gaps.quantities import QUANTITIES
from radsens.gaps.strata import Partition, Strata, partition
from radsens.products import tables
from radsens.products.refined import refined
from radsens.schema import Scene
from radsens.sources import SOURCES

WANTED = 0.01  # relative standard error of each total
ERROR_IN = "instrument"
FIRST = 8  # realisations to begin with: one of each replicate
MOST = 1 << 8
BATCHES = {True: 12, False: 1}  # of punpy that are timed, for sources with scalar draws and for fields
STANDARD_ERRORS = 6.0  # by which two totals may differ: 90 are compared


@dataclass(frozen=True)
class Cell:
    """One source in one band.

    Attributes
    ----------
    seconds : processor time to the wanted precision
    realisations : of the pixel pass that it took, or needs
    found : (2, 5) `total` of each gap, or `refined` where that is known better, and its standard error
    """

    seconds: float
    realisations: int
    found: np.ndarray


@dataclass(frozen=True)
class Campaign:
    """Both campaigns: processor time [s] and realisations, summed over sources and bands; what does not agree."""

    ours: float
    theirs: float
    our_realisations: int
    their_realisations: int
    wrong: list[str]


def totals(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """`total` of each gap and its standard error, (2, quantity), from those of its realisations (realisation, quantity)."""
    found = [tables.statistics_of(m, s) for m, s in zip(mean.T, std.T, strict=True)]
    return np.array([[one["total"] for one in found], [one["mc_error"] for one in found]])


def precise(found: np.ndarray) -> bool:
    """Whether all totals (2, quantity) are known as well as is wanted."""
    return bool((found[1] <= WANTED * found[0]).all())


def doubled(
    name: str, more: Callable[[int, int], tuple[np.ndarray, np.ndarray]], known: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[int, np.ndarray]:
    """Realisations of a source until their totals are precise, and these.

    `more` gives means and deviations of realisations a ≤ r < b, `known` what the table knows from those of the first ones.
    """
    parts, stop = [more(0, FIRST)], FIRST
    while True:
        found = known(*(np.concatenate(x) for x in zip(*parts, strict=True)))
        if precise(found):
            return stop, found
        if stop == MOST:
            raise RuntimeError(f"{name}: {MOST} realisations do not give every total to {WANTED:.0%}")
        parts.append(more(stop, 2 * stop))
        stop *= 2


def best(rows: list[dict[str, float]]) -> np.ndarray:
    """`total` or `refined` of each row, whichever is known better, and its standard error: (2, row)."""
    values = [row["refined"] if row["refined_error"] < row["mc_error"] else row["total"] for row in rows]
    return np.array([values, [tables.error_of(row) for row in rows]])


def variate(stage: realise.Stage) -> Callable[[int, int], tuple[np.ndarray, ...]]:
    """What the Gram tier says of the whole image: gives, of a number of realisations and a gap, what `refined` takes."""
    means = gram.of_scene(stage)
    told, _ = gram.told(stage, means)
    law = expectation.expected(stage, means, cases.active(stage.task.sources))
    return lambda n, q: (told.mean[:n, 0, q], told.rms[:n, 0, q], law.n, law.sums[:, 0, q])


def ours(name: str, scene: Scene, quantiles: bool) -> Cell:
    """One source in one band by radsens."""
    strata = Strata(dolp=cases.edges(scene))
    start = time.process_time()
    asked = cases.task({name: cases.ALL[name]}, ERROR_IN, "float32", quantiles, "sobol")
    stage = cases.stage(asked, scene, partition(strata, scene), MOST)
    compute, _ = realise.worker(stage)
    predicted = variate(stage) if SOURCES[name].draws else None

    def more(first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        rows = compute(first, stop).rows[:, 0]
        return rows[..., statistics.MEAN], rows[..., statistics.STD]

    def known(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        replicate, rows = tables.replicates(asked, np.arange(len(mean))), []
        for q in range(len(QUANTITIES)):
            m, s = mean[:, q], std[:, q]
            better = refined(m, s, *predicted(m.size, q), replicate) if predicted else dict.fromkeys(tables.REFINED, np.nan)
            rows.append(tables.statistics_of(m, s, replicate) | better)
        return best(rows)

    realisations, found = doubled(name, more, known)
    return Cell(time.process_time() - start, realisations, found)


def theirs(name: str, scene: Scene, part: Partition, quantiles: bool) -> Cell:
    """One source in one band by punpy: timed on a few realisations, extrapolated to what it needs."""
    taken, batches = peers.statistics if quantiles else peers.moments, BATCHES[SOURCES[name].draws > 0]
    job, rows = peers.measurement({name: cases.ALL[name]}, scene, part, taken), []
    each = min(processor_time(lambda: rows.append(peers.batched(job, 1))) for _ in range(batches)) / peers.BATCH
    mean, std, *_ = np.moveaxis(np.concatenate(rows).reshape(batches * peers.BATCH, len(QUANTITIES), -1), -1, 0)
    found = totals(mean, std)
    needed = max(FIRST, int(np.ceil(len(mean) * (found[1] / found[0]).max() ** 2 / WANTED**2)))
    return Cell(each * needed, needed, found)


def disagreement(ours: Cell, theirs: Cell) -> bool:
    """Whether some total differs by more than both errors allow."""
    difference = np.abs(ours.found[0] - theirs.found[0])
    return not (difference <= STANDARD_ERRORS * np.hypot(ours.found[1], theirs.found[1])).all()


def campaign(bands: tuple[str, ...] = cases.BANDS, quantiles: bool = True) -> Campaign:
    """Both campaigns, source by source in turn, each cell of radsens twice: the first may compile.

    Without quantiles both take only what `total` is made of.
    """
    mine, other, wrong = [], [], []
    for scene in cases.scenes(bands):
        part = cases.classes(scene)
        for name in cases.ALL:
            mine.append(min((ours(name, scene, quantiles) for _ in range(2)), key=lambda cell: cell.seconds))
            other.append(theirs(name, scene, part, quantiles))
            if disagreement(mine[-1], other[-1]):
                wrong.append(f"{name} in {scene.band}: the totals of punpy are others")
    seconds, realisations = ([sum(getattr(c, n) for c in s) for s in (mine, other)] for n in ("seconds", "realisations"))
    return Campaign(*seconds, *realisations, wrong)
