"""Sums of the gaps over the cells and strata of an image, for the few realisations of a block.

The pixels come tile by tile, a tile being of one cell. A few pilot pixels of each cell say beforehand about which value,
and how finely, the sums are taken; where they stood badly for the others, the sums are taken again.
"""

from typing import NamedTuple

import numpy as np

from radsens.gaps import statistics
from radsens.gaps.quantities import AOLP
from radsens.gaps.statistics import BINS, GROUP, LANES
from radsens.kernel import chain

PILOTS = 8  # pixels of a cell, and again as many of those with an angle, that give a pilot value
FAULTS = ("non-finite gap", "retrieved intensity not positive")

accumulate, bin_row, count_row = statistics.accumulate, statistics.bin_row, statistics.count_row
clear, fold, merge, pilot, pool = statistics.clear, statistics.fold, statistics.merge, statistics.pilot, statistics.pool
conclude, fits, bin_scale = statistics.conclude, statistics.fits, statistics.bin_scale
MEAN, STD, MIN, ZERO = statistics.MEAN, statistics.STD, statistics.MIN, statistics.ZERO


class Cells(NamedTuple):
    """Cells of one band and the strata they belong to. A type that kernels take.

    n (2, cell) pixels, and those of them with an angle; members (cell, k) strata, −1 for none; n_strata (2, stratum) likewise.
    """

    n: np.ndarray
    members: np.ndarray
    n_strata: np.ndarray


class Sums(NamedTuple):
    """What is summed, for each realisation of a block and each quantity (...). A type that kernels take.

    moments (..., cell, 4) about `centre` (..., cell), from `lanes` (..., 4, LANES); counts (..., stratum, bin) in bins about
    `middle`, of the width that `unit` says (..., stratum). The others are scratch.
    """

    counts: np.ndarray
    middle: np.ndarray
    unit: np.ndarray
    moments: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    lanes: np.ndarray
    work: np.ndarray
    groups: np.ndarray
    bins: np.ndarray


def empty_sums(cells: Cells, realisations: int, quantities: int, row: int) -> Sums:
    """Room for the sums of a block, for one thread; a tile has `row` pixels at most."""
    n_cells, n_strata, shape = cells.n.shape[1], cells.n_strata.shape[1], (realisations, quantities)
    return Sums(
        counts=np.zeros((*shape, n_strata, BINS), np.uint32),
        middle=np.zeros((*shape, n_strata)),
        unit=np.ones((*shape, n_strata)),
        moments=np.zeros((*shape, n_cells, 4)),
        centre=np.zeros((*shape, n_cells)),
        spread=np.zeros((*shape, n_cells)),
        lanes=np.zeros((*shape, 4, LANES)),
        work=np.zeros((2, n_strata)),
        groups=np.zeros(BINS // GROUP, np.int64),
        bins=np.zeros(max(row, BINS // GROUP), np.int32),
    )


@chain
def aim(sums, r, values, cells):
    """Say where and how finely the sums of realisation r are taken, from its pilots: values (quantity, pilot pixel)."""
    for c in range(cells.n.shape[1]):
        pilot(sums.centre[r, :, c], sums.spread[r, :, c], values[:, 2 * PILOTS * c : 2 * PILOTS * (c + 1)])
    for q in range(values.shape[0]):
        n = cells.n[1 if q == AOLP else 0]
        pool(sums.middle[r, q], sums.unit[r, q], sums.work, sums.centre[r, q], sums.spread[r, q], n, cells.members)


@chain
def tally(sums, r, gaps, cell, members, n, n_angle, first, last):
    """Add a tile of a cell to the sums of realisation r: gaps (quantity, pixel), of which n are true, n_angle with an angle.

    first and last say whether the tile is the cell's first, or last.
    """
    for q in range(gaps.shape[0]):
        gap, lanes = gaps[q][: n_angle if q == AOLP else n], sums.lanes[r, q]
        if first:
            clear(lanes)
        accumulate(lanes[0], lanes[1], lanes[2], lanes[3], gap, sums.centre[r, q, cell])
        for m in members:
            if m >= 0:
                index = sums.bins[: gap.size]
                bin_row(index, gap, sums.middle[r, q, m], np.float32(1 / sums.unit[r, q, m]))
                count_row(sums.counts[r, q, m], index)
        if last:
            fold(sums.moments[r, q, cell], lanes)


@chain
def judge(rows, sums, r, cells):
    """Moments of realisation r: rows (stratum, quantity, 10). Returns 0, or 1 + the index into FAULTS of why it failed."""
    fault = 0
    for q in range(rows.shape[1]):
        k = 1 if q == AOLP else 0
        merge(rows[:, q], sums.moments[r, q], sums.work, sums.centre[r, q], cells.n[k], cells.members)
        if cells.n_strata[k, 0] > 0.0 and not np.isfinite(rows[0, q, STD]):
            fault = 1
    return 2 if fault == 0 and not rows[0, 0, MIN] > -1.0 else fault


@chain
def aim_again(rows, sums, r, cells):
    """Whether the pilots stood badly for a stratum, whose sums are then to be taken again by the moments of its row."""
    again = False
    for q in range(rows.shape[1]):
        for s in range(rows.shape[0]):
            n = cells.n_strata[1 if q == AOLP else 0, s]
            if n > 0.0 and not fits(rows[s, q], sums.middle[r, q, s], sums.unit[r, q, s]):
                sums.middle[r, q, s] = rows[s, q, MEAN]
                sums.unit[r, q, s] = bin_scale(rows[s, q, STD], rows[s, q, MEAN])
                again = True
    return again


@chain
def discard(sums, r):
    """Empty the histograms of realisation r."""
    for q in range(sums.counts.shape[1]):
        for s in range(sums.counts.shape[2]):
            sums.counts[r, q, s][:] = ZERO


@chain
def finish(rows, totals, sums, r, cells):
    """Quantiles of realisation r: rows (stratum, quantity, 10); its histograms enter the totals and are emptied."""
    for q in range(rows.shape[1]):
        for s in range(rows.shape[0]):
            n = np.int64(cells.n_strata[1 if q == AOLP else 0, s])
            if n:
                middle, unit = sums.middle[r, q, s], sums.unit[r, q, s]
                conclude(rows[s, q], totals[s, q], sums.counts[r, q, s], sums.groups, sums.bins, n, middle, unit)
