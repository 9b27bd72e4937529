"""Statistics of the gaps of one realisation: moments, extremes and quantiles of every stratum.

Sums run in a fixed order over fixed lanes, histograms are integers: the result depends on the pixels alone, not on how
the work is cut. Sums and bins are taken about a pilot value of the row (the mean over a few of its pixels), so that
neither the variance nor a quantile suffers from a bias however large; bins that do not fit the row's own moments are
taken again by these.
"""

import numpy as np

from radsens.gaps.quantities import AOLP
from radsens.kernel import fma, formula, kernel, like

STATISTICS = ("mean", "std", "rms", "min", "max", "q05", "q25", "q50", "q75", "q95")
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
MEAN, STD, RMS, MIN, MAX, FIRST_QUANTILE = range(6)

LANES = 64  # partial sums
SUM, SQUARE, LOW, HIGH = range(4)

# A bin of a row's histogram: 2 + |t|/s as float32, its exponent and the first 10 bits of its mantissa, t the distance from
# the centre and s the pilot standard deviation. Bins are s/512 wide below 2s, s/256 below 6s, and so on to 8190 s.
FINE_BITS, OCTAVES, NEAREST = 10, 12, 2
FINE = 1 << FINE_BITS
HALF = OCTAVES * FINE
BINS = 2 * HALF
SHIFT_FINE, ONE_FINE = np.int32(23 - FINE_BITS), np.int32(128 << FINE_BITS)
FINE_MASK, FINE_STEP = np.int32((1 << (23 - FINE_BITS)) - 1), 2.0 ** (FINE_BITS - 23)
GROUP = 8  # neighbouring bins that are summed to look for a rank, and that enter the source's histogram together

# A bin of a source's histogram: sign, exponent and 6 bits of the mantissa of the gap, from 2⁻⁵⁶ to 2⁸.
LOG_BITS, LOG_LOWEST, LOG_HALF = 6, -56, 4096
TOTAL_BINS = 2 * LOG_HALF
SHIFT_LOG, ONE_LOG = np.int32(23 - LOG_BITS), np.int32((127 + LOG_LOWEST) << LOG_BITS)

SMALLEST = 1e-30
ZERO, ONE = np.uint32(0), np.uint32(1)
LOWER, UPPER = np.uint64(0xFFFFFFFF), np.uint64(32)  # halves of a word


@formula
def enter(total, square, low, high, j, gap, centre):
    """Enter a gap in the partial sums of lane j."""
    t = np.float64(gap) - centre
    total[j] += t
    square[j] = fma(t, t, square[j])
    low[j] = gap if gap < low[j] else low[j]
    high[j] = gap if gap > high[j] else high[j]


@kernel
def accumulate(total, square, low, high, gap, centre):
    """Add Σ t and Σ t² of a row of gaps, t = gap − centre, in float64, and their extremes, lane by lane (pixel).

    Pixels enter by fours: each time a lane is read and written costs more than the sums.
    """
    for start in range(0, gap.size, 4 * LANES):
        n = min(4 * LANES, gap.size - start) // 4
        a, b = gap[start : start + n], gap[start + n : start + 2 * n]
        c, d = gap[start + 2 * n : start + 3 * n], gap[start + 3 * n : start + 4 * n]
        for j in range(n):
            enter(total, square, low, high, j, a[j], centre)
            enter(total, square, low, high, j, b[j], centre)
            enter(total, square, low, high, j, c[j], centre)
            enter(total, square, low, high, j, d[j], centre)
    for i in range(gap.size - gap.size % 4, gap.size):
        enter(total, square, low, high, i % 4, gap[i], centre)


@kernel
def clear(total, square, low, high):
    """Empty partial sums (LANES)."""
    total[:], square[:], low[:], high[:] = 0.0, 0.0, np.inf, -np.inf


@kernel
def fold(moments, total, square, low, high):
    """Partial sums (LANES) folded in halves into (4): Σ t, Σ t², least and largest gap."""
    width = total.size
    while width > 1:
        width //= 2
        for j in range(width):
            total[j] += total[j + width]
            square[j] += square[j + width]
            low[j] = min(low[j], low[j + width])
            high[j] = max(high[j], high[j + width])
    moments[SUM], moments[SQUARE], moments[LOW], moments[HIGH] = total[0], square[0], low[0], high[0]


@formula
def bin_of(t, inverse_scale):
    """Bin of a row's histogram that holds t; a NaN or a value beyond the last bin goes to the end."""
    y = np.float32(np.float32(NEAREST) + np.float32(abs(np.float32(t) * inverse_scale)))
    k = np.int32(np.int32(np.float32(y).view(np.int32) >> SHIFT_FINE) - ONE_FINE)
    k = np.int32(HALF - 1) if k > np.int32(HALF - 1) else k
    return np.int32(np.int32(HALF - 1) - k) if t < 0 else np.int32(np.int32(HALF) + k)


@kernel
def bin_row(index, gap, centre, inverse_scale):
    """Bins of a row of gaps, uint16 (pixel)."""
    for i in range(index.size):
        index[i] = bin_of(gap[i] - like(gap[i], centre), inverse_scale)


@kernel
def count_row(counts, index):
    """Histogram of a row: counts[index] += 1 (pixel)."""
    for i in range(index.size):
        counts[index[i]] += ONE  # unsigned: no wrap-around to test for


@formula
def occupied(low, high, scale):
    """First and last bins of values from low to high; one more on each side, for the rounding of low and high."""
    inverse_scale = np.float32(1 / scale)
    return max(bin_of(low, inverse_scale) - 1, 0), min(bin_of(high, inverse_scale) + 1, BINS - 1)


@formula
def edge(m):
    """Distance |t|/s at which bin m of a half begins."""
    return np.float64(np.int32(np.int32(np.int32(m) + ONE_FINE) << SHIFT_FINE).view(np.float32)) - NEAREST


@formula
def distance(k, part, scale):
    """Distance from the centre of the point `part` (0–1) of the way through bin k of a row's histogram."""
    m = k - HALF if k >= HALF else HALF - 1 - k
    part = part if k >= HALF else 1.0 - part
    t = scale * (edge(m) + part * (edge(m + 1) - edge(m)))
    return t if k >= HALF else -t


@kernel
def cumulate(before, counts, first, groups):
    """What comes before each group of GROUP neighbouring bins, from group `first` on, and at the end all: (groups + 1)."""
    total, pairs = np.int64(0), counts.view(np.uint64)  # two bins are added at a time
    for g in range(groups):
        k = GROUP // 2 * (first + g)
        before[g] = total
        both = pairs[k] + pairs[k + 1] + pairs[k + 2] + pairs[k + 3]
        total += np.int64(both & LOWER) + np.int64(both >> UPPER)
    before[groups] = total


@formula
def bin_of_rank(counts, before, first, groups, rank):
    """The bin that holds the value of a rank, and how many values are in the bins before it."""
    low, high = 0, groups - 1
    while low < high:
        middle = (low + high + 1) // 2
        right = before[middle] <= rank
        low, high = (middle if right else low), (high if right else middle - 1)
    k, total = GROUP * (first + low), before[low]
    while total + counts[k] <= rank:
        total += counts[k]
        k += 1
    return k, total


@kernel
def quantiles(out, counts, before, first, groups, scale):
    """Quantiles of a histogram, as distances from the centre: between two ranks, as numpy's default, values lying evenly in
    their bin."""
    n = before[groups]
    for i in range(out.size):
        place = QUANTILES[i] * np.float64(n - 1)
        rank = np.int64(place)
        k, total = bin_of_rank(counts, before, first, groups, rank)
        if rank + 1 < total + counts[k] or rank + 1 == n:
            out[i] = distance(k, (place - np.float64(total) + 0.5) / np.float64(counts[k]), scale)
        else:
            lower = distance(k, (np.float64(rank - total) + 0.5) / np.float64(counts[k]), scale)
            k, total = bin_of_rank(counts, before, first, groups, rank + 1)
            upper = distance(k, 0.5 / np.float64(counts[k]), scale)
            out[i] = lower + (place - np.floor(place)) * (upper - lower)


@formula
def below(counts, before, first, groups, t, inverse_scale):
    """How many values of a histogram are below the distance t from its centre: the inverse of its quantiles."""
    y = np.float32(np.float32(NEAREST) + np.float32(abs(np.float32(t) * inverse_scale))).view(np.int32)
    part = np.float64(np.int32(y & FINE_MASK)) * FINE_STEP
    part = 1.0 - part if t < 0 else part
    k = np.int64(bin_of(t, inverse_scale))
    g = min(max(k // GROUP - first, 0), groups - 1)
    start, total = GROUP * (first + g), np.uint32(0)
    for j in range(GROUP):  # all of them: a loop of unknown length costs more
        total += counts[start + j] if start + j < k else ZERO
    return np.float64(before[g] + np.int64(total)) + part * np.float64(counts[k])


@formula
def log_bin(gap):
    """Bin of a source's histogram that holds a gap."""
    k = np.int32(np.int32(np.float32(abs(np.float32(gap))).view(np.int32) >> SHIFT_LOG) - ONE_LOG)
    k = np.int32(0) if k < np.int32(0) else k
    k = np.int32(LOG_HALF - 1) if k > np.int32(LOG_HALF - 1) else k
    return np.int32(np.int32(LOG_HALF - 1) - k) if gap < 0 else np.int32(np.int32(LOG_HALF) + k)


@kernel
def add(total, marks, before, first, groups, low, high, centre, scale):
    """Add a histogram to its source's, GROUP bins at a time at their middle; marks is scratch (group)."""
    low, high, centre, scale = np.float32(low), np.float32(high), np.float32(centre), np.float32(scale)
    start = np.int32(GROUP * first + GROUP // 2 - HALF)
    for g in range(groups):
        m = np.int32(start + np.int32(GROUP) * np.int32(g))  # edges are symmetrical about the centre
        t = np.float32(np.int32(np.int32(abs(m) + ONE_FINE) << SHIFT_FINE).view(np.float32) - np.float32(NEAREST)) * scale
        t = -t if m < np.int32(0) else t
        t = low if t < low else t
        marks[g] = log_bin(centre + (high if t > high else t))
    for g in range(groups):
        total[np.uint32(marks[g])] += before[g + 1] - before[g]


@kernel
def pilot(centre, scale, gaps):
    """Mean and standard deviation (quantity) over the pilot pixels of a cell, of which the second half has an angle."""
    for q in range(centre.size):
        some = gaps[q, gaps.shape[1] // 2 :] if q == AOLP else gaps[q]
        mean = square = 0.0
        for x in some:
            mean += np.float64(x)
        mean /= np.float64(some.size)
        for x in some:
            square += (np.float64(x) - mean) * (np.float64(x) - mean)
        centre[q] = np.float32(mean)  # so that it is the same number in either precision
        scale[q] = np.sqrt(square / np.float64(some.size))


@formula
def bin_scale(spread, centre):
    """Scale of the bins for a standard deviation and a mean: gaps that differ by rounding alone need no finer bins."""
    return max(max(spread, abs(centre) * 1e-9), SMALLEST)


@kernel
def pool(centre, scale, work, cell_centre, cell_scale, n, members):
    """Centre and scale of the bins of each stratum, from those of its cells: (stratum), (cell), members (cell, k).

    work is scratch (2, stratum).
    """
    weight, square = work[0], work[1]
    weight[:], square[:], centre[:] = 0.0, 0.0, 0.0
    for c in range(n.size):
        for s in members[c]:
            if s >= 0 and n[c] > 0.0:
                weight[s] += n[c]
                d = cell_centre[c] - centre[s]
                centre[s] += d * (n[c] / weight[s])  # exact for the first cell
                square[s] += n[c] * (cell_scale[c] * cell_scale[c] + d * (cell_centre[c] - centre[s]))
    for s in range(centre.size):
        centre[s] = np.float32(centre[s])
        scale[s] = bin_scale(np.sqrt(square[s] / max(weight[s], 1.0)), centre[s])


@formula
def fits(row, centre, scale):
    """Whether bins of this centre and scale reach the extremes of a row, and are not too wide for its standard deviation."""
    reach = np.float64(NEAREST * ((1 << OCTAVES) - 1)) * scale
    wide = 2.0 * bin_scale(row[STD], row[MEAN])
    return centre - reach < row[MIN] and row[MAX] < centre + reach and scale <= wide


@kernel
def merge(rows, moments, work, centre, n, members):
    """Moments of each stratum from those of its cells, in their order: rows (stratum, 10), moments (cell, 4), n (cell).

    work is scratch (2, stratum). The pairwise update of means and squares: Chan, Golub & LeVeque 1983, The American
    Statistician 37(3) 242.
    """
    weight, square = work[0], work[1]
    weight[:], square[:] = 0.0, 0.0
    rows[:, :] = np.nan
    rows[:, MEAN] = 0.0
    for c in range(n.size):
        if n[c] > 0.0:
            t = moments[c, SUM] / n[c]
            for s in members[c]:
                if s >= 0:
                    first = weight[s] == 0.0
                    weight[s] += n[c]
                    d = centre[c] + t - rows[s, MEAN]
                    rows[s, MEAN] += d * (n[c] / weight[s])  # exact for the first cell
                    square[s] += moments[c, SQUARE] - moments[c, SUM] * t + n[c] * d * (centre[c] + t - rows[s, MEAN])
                    low, high = moments[c, LOW], moments[c, HIGH]
                    rows[s, MIN] = low if first or low < rows[s, MIN] else rows[s, MIN]
                    rows[s, MAX] = high if first or high > rows[s, MAX] else rows[s, MAX]
    for s in range(rows.shape[0]):
        if weight[s] > 0.0:
            variance = max(square[s] / weight[s], 0.0)
            rows[s, STD] = np.sqrt(variance)
            rows[s, RMS] = np.sqrt(rows[s, MEAN] * rows[s, MEAN] + variance)
        else:
            rows[s, MEAN] = np.nan
