"""Statistics of the gaps of one realisation: moments, extremes and quantiles of every stratum.

Sums run in a fixed order over fixed lanes, histograms are integers: the result depends on the pixels alone, not on how
the work is cut. Sums and bins are taken about a pilot value of the row (the mean over a few of its pixels), so that
neither the variance nor a quantile suffers from a bias however large; bins that do not fit the row's own moments are
taken again by these.
"""

import numpy as np

from radsens.gaps.quantities import AOLP
from radsens.kernel import fma, formula, kernel

STATISTICS = ("mean", "std", "rms", "min", "max", "q05", "q25", "q50", "q75", "q95")
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
MEAN, STD, RMS, MIN, MAX, FIRST_QUANTILE = range(6)

LANES = 32  # partial sums of a row
SUM, SQUARE, LOW, HIGH = range(4)

# A bin of a row's histogram: 1 + |t|/s as float32, its exponent and the first 10 bits of its mantissa, t the distance from
# the centre and s the pilot standard deviation. Bins are s/1024 wide below s, s/512 below 3s, and so on to 4095 s.
FINE_BITS, OCTAVES = 10, 12
FINE = 1 << FINE_BITS
HALF = OCTAVES * FINE
BINS = 2 * HALF
SHIFT_FINE, ONE_FINE = np.int32(23 - FINE_BITS), np.int32(127 << FINE_BITS)
GROUP = 8  # neighbouring bins that are summed to look for a rank, and that enter the source's histogram together

# A bin of a source's histogram: sign, exponent and 6 bits of the mantissa of the gap, from 2⁻⁵⁶ to 2⁸.
LOG_BITS, LOG_LOWEST, LOG_HALF = 6, -56, 4096
TOTAL_BINS = 2 * LOG_HALF
SHIFT_LOG, ONE_LOG = np.int32(23 - LOG_BITS), np.int32((127 + LOG_LOWEST) << LOG_BITS)

SMALLEST = 1e-30
ZERO, ONE = np.uint32(0), np.uint32(1)


@kernel
def clear(lanes):
    """Empty partial sums (4, LANES)."""
    lanes[:2] = 0.0
    lanes[LOW] = np.inf
    lanes[HIGH] = -np.inf


@formula
def enter(total, square, low, high, j, t):
    """Enter t in the partial sums of lane j."""
    total[j] += t
    square[j] = fma(t, t, square[j])
    low[j] = t if t < low[j] else low[j]
    high[j] = t if t > high[j] else high[j]


@kernel
def accumulate(total, square, low, high, gap, centre):
    """Σ t, Σ t² and the extremes of t = gap − centre, lane by lane (pixel).

    Pixels enter by pairs: each time a lane is read and written costs more than the sums.
    """
    for start in range(0, gap.size, 2 * LANES):
        half = min(2 * LANES, gap.size - start) // 2
        a, b = gap[start : start + half], gap[start + half : start + 2 * half]
        for j in range(half):
            enter(total, square, low, high, j, np.float64(a[j]) - centre)
            enter(total, square, low, high, j, np.float64(b[j]) - centre)
    if gap.size % 2:
        enter(total, square, low, high, 0, np.float64(gap[gap.size - 1]) - centre)


@kernel
def fold(moments, lanes):
    """Partial sums (4, LANES) folded in halves into (4): Σ t, Σ t², min t, max t."""
    width = lanes.shape[1]
    while width > 1:
        width //= 2
        for j in range(width):
            lanes[SUM, j] += lanes[SUM, j + width]
            lanes[SQUARE, j] += lanes[SQUARE, j + width]
            lanes[LOW, j] = min(lanes[LOW, j], lanes[LOW, j + width])
            lanes[HIGH, j] = max(lanes[HIGH, j], lanes[HIGH, j + width])
    for k in range(4):
        moments[k] = lanes[k, 0]


@formula
def bin_of(t, inverse_scale):
    """Bin of a row's histogram that holds t; a NaN or a value beyond the last bin goes to the end."""
    y = np.float32(np.float32(1) + np.float32(abs(np.float32(t) * inverse_scale)))
    k = np.int32(np.int32(np.float32(y).view(np.int32) >> SHIFT_FINE) - ONE_FINE)
    k = np.int32(0) if k < np.int32(0) else k
    k = np.int32(HALF - 1) if k > np.int32(HALF - 1) else k
    return np.int32(np.int32(HALF - 1) - k) if t < 0 else np.int32(np.int32(HALF) + k)


@kernel
def bin_row(index, gap, centre, inverse_scale):
    """Bins of a row of gaps, int32 (pixel)."""
    for i in range(index.size):
        index[i] = bin_of(np.float64(gap[i]) - centre, inverse_scale)


@kernel
def count_row(counts, index):
    """Histogram of a row: counts[index] += 1 (pixel)."""
    for i in range(index.size):
        counts[np.uint32(index[i])] += ONE  # unsigned: no wrap-around to test for


@formula
def occupied(low, high, scale):
    """First and last bins of values from low to high; one more on each side, for the rounding of low and high."""
    inverse_scale = np.float32(1 / scale)
    return max(bin_of(low, inverse_scale) - 1, 0), min(bin_of(high, inverse_scale) + 1, BINS - 1)


@formula
def edge(m):
    """Distance |t|/s at which bin m of a half begins."""
    return np.float64(np.int32(np.int32(np.int32(m) + ONE_FINE) << SHIFT_FINE).view(np.float32)) - 1.0


@formula
def distance(k, part, scale):
    """Distance from the centre of the point `part` (0–1) of the way through bin k of a row's histogram."""
    m = k - HALF if k >= HALF else HALF - 1 - k
    part = part if k >= HALF else 1.0 - part
    t = scale * (edge(m) + part * (edge(m + 1) - edge(m)))
    return t if k >= HALF else -t


@kernel
def group(sums, counts):
    """Sums of GROUP neighbouring bins (bin) → (group)."""
    for g in range(sums.size):
        k = GROUP * g
        a, b = counts[k] + counts[k + 1], counts[k + 2] + counts[k + 3]
        c, d = counts[k + 4] + counts[k + 5], counts[k + 6] + counts[k + 7]
        sums[g] = a + b + c + d


@formula
def find(counts, k, below, rank):
    """From bin k, with `below` values before it, the bin that holds the value of a rank, and what is before that bin."""
    while below + counts[k] <= rank:
        below += counts[k]
        k += 1
    return k, below


@kernel
def quantiles(out, counts, sums, n, first, scale):
    """Quantiles of the histogram, as distances from the centre: between two ranks, as numpy's default.

    sums are those of `group`, from bin `first` on; the n values must all be in counts.
    """
    before, g = np.int64(0), 0
    for i in range(out.size):
        place = QUANTILES[i] * np.float64(n - 1)
        rank = np.int64(place)
        g, before = find(sums, g, before, rank)
        k, below = find(counts, first + g * GROUP, before, rank)
        lower = distance(k, (np.float64(rank - below) + 0.5) / np.float64(counts[k]), scale)
        rank = min(rank + 1, n - 1)
        k, below = find(counts, k, below, rank)
        upper = distance(k, (np.float64(rank - below) + 0.5) / np.float64(counts[k]), scale)
        out[i] = lower + (place - np.floor(place)) * (upper - lower)


@formula
def log_bin(gap):
    """Bin of a source's histogram that holds a gap."""
    k = np.int32(np.int32(np.float32(abs(np.float32(gap))).view(np.int32) >> SHIFT_LOG) - ONE_LOG)
    k = np.int32(0) if k < np.int32(0) else k
    k = np.int32(LOG_HALF - 1) if k > np.int32(LOG_HALF - 1) else k
    return np.int32(np.int32(LOG_HALF - 1) - k) if gap < 0 else np.int32(np.int32(LOG_HALF) + k)


@kernel
def add(total, index, sums, first, low, high, centre, scale):
    """Add a row's histogram to its source's, GROUP bins at a time at their middle; index is scratch (group)."""
    for g in range(sums.size):
        t = distance(first + g * GROUP + GROUP // 2, 0.0, scale)
        index[g] = log_bin(centre + min(max(t, low), high))
    for g in range(sums.size):
        total[np.uint32(index[g])] += sums[g]


@kernel
def conclude(row, total, counts, sums, index, n, centre, scale):
    """Quantiles of one row (10), from its histogram of n pixels, which enters its source's and is emptied.

    sums and index are scratch (BINS / GROUP).
    """
    low, high = row[MIN] - centre, row[MAX] - centre
    first, last = occupied(low, high, scale)
    first -= first % GROUP
    groups = (last - first) // GROUP + 1
    sums, index, out = sums[:groups], index[:groups], row[FIRST_QUANTILE:]
    group(sums, counts[first:])
    quantiles(out, counts, sums, n, first, scale)
    for i in range(out.size):
        out[i] = min(max(centre + out[i], row[MIN]), row[MAX])
    add(total, index, sums, first, low, high, centre, scale)
    counts[first : first + groups * GROUP] = ZERO


@kernel
def pilot(centre, scale, gaps):
    """Mean and standard deviation (quantity) over the pilot pixels of a cell, of which the second half has an angle."""
    for q in range(centre.size):
        mean = square = 0.0
        first = gaps.shape[1] // 2 if q == AOLP else 0
        for i in range(first, gaps.shape[1]):
            d = np.float64(gaps[q, i]) - mean
            mean += d / np.float64(i - first + 1)
            square += d * (np.float64(gaps[q, i]) - mean)
        centre[q] = mean
        scale[q] = np.sqrt(square / np.float64(gaps.shape[1] - first))


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
        scale[s] = bin_scale(np.sqrt(square[s] / max(weight[s], 1.0)), centre[s])


@formula
def fits(row, centre, scale):
    """Whether bins of this centre and scale reach the extremes of a row, and are not too wide for its standard deviation."""
    reach = np.float64((1 << OCTAVES) - 1) * scale
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
                    low, high = centre[c] + moments[c, LOW], centre[c] + moments[c, HIGH]
                    rows[s, MIN] = low if first or low < rows[s, MIN] else rows[s, MIN]
                    rows[s, MAX] = high if first or high > rows[s, MAX] else rows[s, MAX]
    for s in range(rows.shape[0]):
        if weight[s] > 0.0:
            variance = max(square[s] / weight[s], 0.0)
            rows[s, STD] = np.sqrt(variance)
            rows[s, RMS] = np.sqrt(rows[s, MEAN] * rows[s, MEAN] + variance)
        else:
            rows[s, MEAN] = np.nan
