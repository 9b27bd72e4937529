"""Sums of the gaps over the cells and strata of an image, for the few realisations of a block.

The pixels come tile by tile, a tile being of one cell. A few pilot pixels of each cell say beforehand about which value,
and how finely, the sums are taken; where they stood badly for the others, the sums are taken again.
"""

from typing import NamedTuple

import numpy as np

from radsens.gaps.quantities import AOLP
from radsens.gaps.statistics import (
    BINS,
    GROUP,
    LANES,
    MAX,
    MEAN,
    MIN,
    QUANTILES,
    STD,
    ZERO,
    accumulate,
    add,
    below,
    bin_row,
    bin_scale,
    clear,
    count_row,
    cumulate,
    fits,
    fold,
    merge,
    occupied,
    pilot,
    pool,
    quantiles,
)
from radsens.gaps.statistics import FIRST_QUANTILE as QUANTILE
from radsens.kernel import chain, kernel

PILOTS = 16  # pixels of a cell, and again as many of those with an angle, that give a pilot value
FAULTS = ("non-finite gap", "retrieved intensity not positive")

# How well a quantile of a union is found: to a part of all values or of the way between two ranks; and about how many
# values there are in a standard deviation, which are those of a normal distribution.
CLOSE, QUARTER = 2e-5, 0.25
DENSITY = (0.103, 0.318, 0.399, 0.318, 0.103)
STEPS = 64  # of that search, at most
DENSE = 1 << 14  # values from which on those of neighbouring ranks are taken for one: 6e-4 of σ apart at the outer quantiles


class Cells(NamedTuple):
    """Cells of one band and the strata they belong to. A type that kernels take.

    n (2, cell) pixels, and those of them with an angle; members (cell, k) strata, −1 for none; leaves (cell, l) those of them
    in whose histograms its pixels are counted; parts (stratum, m) the strata whose histograms make that of a stratum up,
    itself or, for the whole image, the classes of the first field; n_strata (2, stratum) as n. The last stratum is that of
    the cells outside the first field. Without quantiles there are neither leaves nor parts.
    """

    n: np.ndarray
    members: np.ndarray
    leaves: np.ndarray
    parts: np.ndarray
    n_strata: np.ndarray


class Sums(NamedTuple):
    """What is summed, for each realisation of a block and each quantity (...). A type that kernels take.

    moments (..., cell, 4) about `centre` (..., cell), from partial sums, `lanes` (..., 2, LANES) and `extremes` (..., 2, LANES);
    counts (..., stratum, bin) in bins about `middle`, of the width that `unit` says (..., stratum), as `bins` (l, quantity,
    pixel) of a group of tiles say. The others are scratch, of one quantity of one realisation: `before` (stratum, group) and
    `span` (stratum, 2) are what the occupied groups of bins cumulate, the first of them and their number.
    """

    counts: np.ndarray
    middle: np.ndarray
    unit: np.ndarray
    moments: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    lanes: np.ndarray
    extremes: np.ndarray
    work: np.ndarray
    before: np.ndarray
    span: np.ndarray
    bins: np.ndarray
    marks: np.ndarray


def empty_sums(cells: Cells, realisations: int, quantities: int, pixels: int, kind: str) -> Sums:
    """Room for the sums of a block, for one thread; a group of tiles has `pixels` at most, of this precision."""
    n_cells, n_strata, shape = cells.n.shape[1], cells.n_strata.shape[1], (realisations, quantities)
    held = n_strata if cells.leaves.size else 0
    return Sums(
        counts=np.zeros((*shape, held, BINS), np.uint32),
        middle=np.zeros((*shape, n_strata)),
        unit=np.ones((*shape, n_strata)),
        moments=np.zeros((*shape, n_cells, 4)),
        centre=np.zeros((*shape, n_cells)),
        spread=np.zeros((*shape, n_cells)),
        lanes=np.zeros((*shape, 2, LANES)),
        extremes=np.zeros((*shape, 2, LANES), kind),
        work=np.zeros((2, n_strata)),
        before=np.zeros((held, BINS // GROUP + 1), np.int64),
        span=np.zeros((held, 2), np.int64),
        bins=np.zeros((cells.leaves.shape[1], quantities, pixels), np.uint16),
        marks=np.zeros(BINS // GROUP, np.int32),
    )


@chain
def aim(sums, r, values, cells):
    """Say where and how finely the sums of realisation r are taken, from its pilots: values (quantity, pilot pixel)."""
    for c in range(cells.n.shape[1]):
        pilot(sums.centre[r, :, c], sums.spread[r, :, c], values[:, 2 * PILOTS * c : 2 * PILOTS * (c + 1)])
    for q in range(values.shape[0]):
        n = cells.n[1 if q == AOLP else 0]
        pool(sums.middle[r, q], sums.unit[r, q], sums.work, sums.centre[r, q], sums.spread[r, q], n, cells.leaves)


@chain
def begin(sums, r):
    """Empty the partial sums of realisation r: a cell begins."""
    for q in range(sums.lanes.shape[1]):
        clear(sums.lanes[r, q, 0], sums.lanes[r, q, 1], sums.extremes[r, q, 0], sums.extremes[r, q, 1])


@chain
def tally(sums, r, gaps, cell, leaves, n, n_angle, done, done_angle):
    """Add a tile of a cell to the partial sums of realisation r, and say in which bins its pixels are.

    gaps (quantity, pixel), of which n are true, n_angle with an angle; `done` pixels and `done_angle` of its group came before.
    """
    for q in range(gaps.shape[0]):
        first, gap = done_angle if q == AOLP else done, gaps[q][: n_angle if q == AOLP else n]
        lanes, extremes = sums.lanes[r, q], sums.extremes[r, q]
        accumulate(lanes[0], lanes[1], extremes[0], extremes[1], gap, sums.centre[r, q, cell])
        for k in range(leaves.size):
            if leaves[k] >= 0:
                middle, unit = sums.middle[r, q, leaves[k]], sums.unit[r, q, leaves[k]]
                bin_row(sums.bins[k, q, first : first + gap.size], gap, middle, np.float32(1 / unit))


@chain
def count_group(sums, r, leaves, n, n_angle):
    """Count the pixels of a group of tiles, n of them and n_angle with an angle, in the histograms of realisation r."""
    for q in range(sums.lanes.shape[1]):
        for k in range(leaves.size):
            if leaves[k] >= 0:
                count_row(sums.counts[r, q, leaves[k]], sums.bins[k, q, : n_angle if q == AOLP else n])


@chain
def end(sums, r, cell):
    """Fold the partial sums of realisation r: a cell ends."""
    for q in range(sums.lanes.shape[1]):
        lanes, extremes = sums.lanes[r, q], sums.extremes[r, q]
        fold(sums.moments[r, q, cell], lanes[0], lanes[1], extremes[0], extremes[1])


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
        for s in range(sums.counts.shape[2]):
            counted = cells.n_strata[1 if q == AOLP else 0, s] > 0.0 and cells.parts[s, 0] == s
            if counted and not fits(rows[s, q], sums.middle[r, q, s], sums.unit[r, q, s]):
                sums.middle[r, q, s] = np.float32(rows[s, q, MEAN])
                sums.unit[r, q, s] = bin_scale(rows[s, q, STD], rows[s, q, MEAN])
                again = True
    return again


@chain
def discard(sums, r):
    """Empty the histograms of realisation r."""
    for q in range(sums.counts.shape[1]):
        for s in range(sums.counts.shape[2]):
            sums.counts[r, q, s][:] = ZERO


@kernel
def read(row, total, counts, before, span, marks, middle, unit):
    """Quantiles of a stratum (10) from its histogram, which enters its source's; `before` and `span` say where it is."""
    low, high = row[MIN] - middle, row[MAX] - middle
    first, last = occupied(low, high, unit)
    first, groups = first // GROUP, last // GROUP - first // GROUP + 1
    span[0], span[1] = first, groups
    cumulate(before, counts, first, groups)
    quantiles(row[QUANTILE:], counts, before, first, groups, unit)
    for i in range(QUANTILE, row.size):
        row[i] = min(max(middle + row[i], row[MIN]), row[MAX])
    add(total, marks, before, first, groups, low, high, middle, unit)


@kernel
def below_all(v, parts, counts, before, span, middle, inverse_unit):
    """How many values of the union of some strata are below v."""
    total = 0.0
    for s in parts:
        if s >= 0 and span[s, 1] > 0:
            t, scale = v - middle[s], np.float32(inverse_unit[s])
            total += below(counts[s], before[s], span[s, 0], span[s, 1], t, scale)
    return total


@kernel
def value_of_union(target, few, low, high, guess, slope, parts, counts, before, span, middle, inverse_unit):
    """Value of a union of strata, between low and high, below which there are `target`, give or take a few.

    By secants from a guess at the value and at its slope, values per unit; a bracket guards them, and is halved now and then.
    """
    v, last, f_last = guess, guess, 0.0
    for step in range(STEPS):
        v = v if low < v < high and step % 4 < 3 else 0.5 * (low + high)
        f = below_all(v, parts, counts, before, span, middle, inverse_unit) - target
        if abs(f) <= few or not low < v < high:
            break
        low, high = (v, high) if f < 0.0 else (low, v)
        if step > 0 and (f - f_last) * (v - last) > 0.0:
            slope = (f - f_last) / (v - last)
        last, f_last = v, f
        v -= f / slope
    return v


@kernel
def quantiles_of_union(row, n, rows, parts, counts, before, span, middle, inverse_unit):
    """Quantiles of a row (10), n values, that is the union of strata with known ones, rows (stratum, 10): between two ranks,
    as numpy's default. A quantile of a union is between those of its parts, but for a rank, which dense values hide.
    """
    for i in range(QUANTILE, row.size):
        k, guess, low, high = i - QUANTILE, 0.0, row[MAX], row[MIN]
        for s in parts:
            if s >= 0 and span[s, 1] > 0:
                low, high = min(low, rows[s, i]), max(high, rows[s, i])
                guess += rows[s, i] * (np.float64(before[s, span[s, 1]]) / np.float64(n))
        place, slope = QUANTILES[k] * np.float64(n - 1), DENSITY[k] * np.float64(n) / row[STD]
        search = parts, counts, before, span, middle, inverse_unit
        if n > DENSE:
            row[i] = value_of_union(place + 0.5, max(QUARTER, CLOSE * n), low, high, guess, slope, *search)
        else:
            rank = np.floor(place)
            value = value_of_union(rank + 0.5, QUARTER, row[MIN], row[MAX], guess, slope, *search)
            upper = value_of_union(rank + 1.5, QUARTER, value, row[MAX], guess, slope, *search) if rank < place else value
            row[i] = value + (place - rank) * (upper - value)


@chain
def finish(rows, totals, sums, r, q, cells):
    """Quantiles of a quantity in realisation r: rows (stratum, 10); its histograms enter the totals (stratum, bin) and are
    emptied."""
    k, counts, middle, unit = 1 if q == AOLP else 0, sums.counts[r, q], sums.middle[r, q], sums.unit[r, q]
    for s in range(counts.shape[0]):
        sums.span[s, 1], sums.work[0, s] = 0, 1 / unit[s]
        if cells.n_strata[k, s] > 0.0 and cells.parts[s, 0] == s:
            read(rows[s], totals[s], counts[s], sums.before[s], sums.span[s], sums.marks, middle[s], unit[s])
    for s in range(counts.shape[0]):
        parts, n = cells.parts[s], cells.n_strata[k, s]
        if n > 0.0 and parts[0] != s:
            place = sums.before, sums.span, middle, sums.work[0]
            quantiles_of_union(rows[s], np.int64(n), rows, parts, counts, *place)
    for s in range(counts.shape[0]):
        first, groups = sums.span[s, 0], sums.span[s, 1]
        counts[s, first * GROUP : (first + groups) * GROUP] = ZERO
