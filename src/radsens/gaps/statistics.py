"""Statistics of the gaps of one realisation: moments, extremes and quantiles of every stratum.

Sums run in a fixed order over fixed lanes, histograms are integers: the result depends on the pixels alone, not on how
the work is cut. Sums and bins are taken about a pilot value of the row (the mean over a few of its pixels), so that
neither the variance nor a quantile suffers from a bias however large.
"""

import numpy as np

from radsens.gaps.quantities import AOLP
from radsens.kernel import kernel

STATISTICS = ("mean", "std", "rms", "min", "max", "q05", "q25", "q50", "q75", "q95")
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
MEAN, STD, RMS, MIN, MAX, FIRST_QUANTILE = range(6)

LANES = 32  # partial sums of a row; rows are multiples of it
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


@kernel
def clear(lanes):
    """Empty partial sums (4, LANES)."""
    lanes[:2] = 0.0
    lanes[LOW] = np.inf
    lanes[HIGH] = -np.inf


@kernel
def accumulate(total, square, low, high, gap, weight, centre):
    """Sums of w t and w t², t = gap − centre, and the extremes of t where w > 0, lane by lane (pixel)."""
    for start in range(0, gap.size, total.size):
        d, w = gap[start : start + total.size], weight[start : start + total.size]
        for j in range(total.size):
            t = np.float64(d[j]) - centre
            wt = w[j] * t
            total[j] += wt
            square[j] += wt * t
            low[j] = t if (w[j] > 0.0 and t < low[j]) else low[j]
            high[j] = t if (w[j] > 0.0 and t > high[j]) else high[j]


@kernel
def fold(moments, lanes):
    """Partial sums (4, LANES) folded in halves into (4): Σ w t, Σ w t², min t, max t."""
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


@kernel
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
def count_row(counts, index, inside):
    """Histogram of a row: counts[index] += inside, the uint32 weight (pixel)."""
    for i in range(index.size):
        counts[np.uint32(index[i])] += inside[i]  # unsigned: no wrap-around to test for


@kernel
def occupied(low, high, scale):
    """First and last bins of values from low to high; one more on each side, for the rounding of low and high."""
    inverse_scale = np.float32(1 / scale)
    return max(bin_of(low, inverse_scale) - 1, 0), min(bin_of(high, inverse_scale) + 1, BINS - 1)


@kernel
def distance(k, part, scale):
    """Distance from the centre of the point `part` (0–1) of the way through bin k of a row's histogram."""
    m = k - HALF if k >= HALF else HALF - 1 - k
    width = np.float64(1 << (m >> FINE_BITS)) / FINE
    lower = width * np.float64(FINE + (m & (FINE - 1))) - 1.0
    return scale * (lower + part * width) if k >= HALF else -scale * (lower + (1.0 - part) * width)


@kernel
def group(sums, counts):
    """Sums of GROUP neighbouring bins (bin) → (group)."""
    for g in range(sums.size):
        n = np.int64(0)
        for v in counts[g * GROUP : (g + 1) * GROUP]:
            n += v
        sums[g] = n


@kernel
def order_statistics(out, ranks, counts, sums, first, scale):
    """Distances from the centre of the values of rising ranks (0 the smallest); sums are those of `group`, from bin `first` on."""
    before, g = np.int64(0), 0
    for i in range(ranks.size):
        while g < sums.size - 1 and before + sums[g] <= ranks[i]:
            before += sums[g]
            g += 1
        below, k = before, first + g * GROUP
        last = k + GROUP - 1
        while k < last and below + counts[k] <= ranks[i]:
            below += counts[k]
            k += 1
        part = (np.float64(ranks[i] - below) + 0.5) / max(np.float64(counts[k]), 1.0)
        out[i] = distance(k, part, scale)


@kernel
def quantiles(out, counts, sums, n, first, scale):
    """Quantiles of the histogram, as distances from the centre: between two ranks, as numpy's default."""
    lower, upper = np.empty(len(QUANTILES)), np.empty(len(QUANTILES))
    below, above = np.empty(len(QUANTILES), np.int64), np.empty(len(QUANTILES), np.int64)
    for i in range(below.size):
        below[i] = np.int64(QUANTILES[i] * (n - 1))
        above[i] = min(below[i] + 1, n - 1)
    order_statistics(lower, below, counts, sums, first, scale)
    order_statistics(upper, above, counts, sums, first, scale)
    for i in range(below.size):
        out[i] = lower[i] + (QUANTILES[i] * (n - 1) - np.float64(below[i])) * (upper[i] - lower[i])


@kernel
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
def conclude(row, total, counts, n, centre, scale):
    """Quantiles of one row (10), from its histogram of n pixels, which enters its source's and is emptied."""
    low, high = row[MIN] - centre, row[MAX] - centre
    first, last = occupied(low, high, scale)
    first -= first % GROUP
    groups = (last - first) // GROUP + 1
    sums, index = np.empty(groups, np.int64), np.empty(groups, np.int32)
    group(sums, counts[first:])
    out = row[FIRST_QUANTILE:]
    quantiles(out, counts, sums, n, first, scale)
    for i in range(out.size):
        out[i] = min(max(centre + out[i], row[MIN]), row[MAX])
    add(total, index, sums, first, low, high, centre, scale)
    counts[first : first + groups * GROUP] = 0


@kernel
def pilot(centre, scale, gaps, weight, start, stop):
    """Mean and standard deviation of each quantity over the pilot pixels start to stop of a cell (quantity)."""
    for q in range(centre.size):
        n = mean = square = 0.0
        for i in range(start, stop):
            w = np.float64(weight[1 if q == AOLP else 0, i])
            d = np.float64(gaps[q, i]) - mean
            n += w
            mean += w * d / max(n, 1.0)
            square += w * d * (np.float64(gaps[q, i]) - mean)
        centre[q] = mean
        scale[q] = np.sqrt(square / max(n, 1.0))


@kernel
def pool(centre, scale, cell_centre, cell_scale, n, members):
    """Centre and scale of the bins of each stratum, from those of its cells: (stratum), (cell), members (cell, k)."""
    weight, square = np.zeros(centre.size), np.zeros(centre.size)
    centre[:] = 0.0
    for c in range(n.size):
        for s in members[c]:
            if s >= 0 and n[c] > 0.0:
                weight[s] += n[c]
                d = cell_centre[c] - centre[s]
                centre[s] += d * (n[c] / weight[s])  # exact for the first cell
                square[s] += n[c] * (cell_scale[c] * cell_scale[c] + d * (cell_centre[c] - centre[s]))
    for s in range(centre.size):
        spread = np.sqrt(square[s] / max(weight[s], 1.0))
        scale[s] = max(max(spread, abs(centre[s]) * 1e-9), SMALLEST)


@kernel
def merge(rows, moments, centre, n, members):
    """Moments of each stratum from those of its cells, in their order: rows (stratum, 10), moments (cell, 4), n (cell).

    Chan, Golub & LeVeque 1983, The American Statistician 37(3) 242: the pairwise update of means and squares.
    """
    weight, square = np.zeros(rows.shape[0]), np.zeros(rows.shape[0])
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
