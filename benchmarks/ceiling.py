"""An estimated ceiling of the float32 pass: what the operations of its equations cost on this processor, if nothing else did.

The cost of an operation is measured in the same run, by loops that do nothing else: fused multiply-adds on numbers in the
first-level cache, with eight independent chains; divisions, square roots, integer operations and table increments likewise;
and reading from the first-level cache and from memory. The ceiling of a case is the larger of two times:

* arithmetic: Σ (operations × cost of one), all of them counted by hand from the equations, below;
* reading and writing rows in the first-level cache: 4 bytes of each row that a stage needs.

Beside it stands the time to read the pixel table from memory, which a realisation costs if its pixels stay in no cache and
serve it alone: 66308 pixels stay, four million do not, and serve several realisations at a reading.

It is an estimate: additions, multiplications and fused ones are taken to cost the same, as are all integer operations;
loads and stores are taken to hide behind arithmetic. Counts are those of the shortest form known of the equations,
not of the code, so that a stage that does more than its equation asks for shows as a lower percentage.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.timing import least
from radsens.kernel import add32, fma, kernel, rotl32, xor32

LENGTH = 4096  # numbers of a row of float32: half of the first-level cache of most processors
ROUNDS = 200
MEMORY = 256 << 20  # bytes that no cache keeps
ZERO, ONE = np.uint32(0), np.uint32(1)


@dataclass(frozen=True)
class Count:
    """Operations of one pixel in one realisation.

    Attributes
    ----------
    flops : float32 additions, multiplications, comparisons and fused multiply-adds; a float64 one counts twice
    integers : operations on 32-bit words
    divisions, roots : of float32
    increments : of a histogram
    rows : rows of 4 bytes that are read or written
    table : rows of the pixel table
    """

    flops: float = 0
    integers: float = 0
    divisions: float = 0
    roots: float = 0
    increments: float = 0
    rows: float = 0
    table: float = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def times(self, n: float) -> "Count":
        """The operations of n of these."""
        return Count(*(n * a for a in vars(self).values()))


# d = J · E · B: 3×3 matrix on the basis images, symmetric matrix J (docs/method.md); B 3 rows, J 6, written 3.
MATRIX = Count(flops=18, rows=12, table=9)
# DoLP √(q² + u²) / i − p₀: i, q, u from the gaps 3, squares 2, difference 1. Angle: y and x 2 each, d 1, |x| |y| 2, arctan of
# nine terms 10, degrees 1, quadrant 3 (gaps/quantities.py). Rows: 3 gaps and 3 references in, 2 gaps out.
NON_LINEAR = Count(flops=27, roots=1, divisions=2, rows=8, table=3)
# Of 5 gaps: to float64, from the centre, Σt, Σt² 1 each, in float64 (doubled); extremes 2 (gaps/statistics.py).
MOMENTS = Count(flops=10, rows=1).times(5)
# Of 5 gaps: distance 1, |.| 1, scaling 1 (float32), shift, two bounds, sign 5; one increment.
HISTOGRAMS = Count(flops=3, integers=5, increments=1, rows=2).times(5)
# Threefry4x32-13: 13 rounds of 2 × (add, rotate, exclusive or), 4 keys of 4 additions, the fifth word of the key 4. Box & Muller
# for a pair and for one: ln 9 and 8, radius 1, cosine 6, sine 6, products 1 or 2; to and from words 6 (random.py).
THREE_NORMALS = Count(integers=98) + Count(flops=24, integers=14, roots=1) + Count(flops=17, integers=14, roots=1, rows=8)
# Noise: σ z of three samples 2 each, carried to (I, Q, U) by the believed inverse and J 18 (linear in the gap).
NOISE = THREE_NORMALS + Count(flops=6 + 18, rows=6, table=4)
# Equalisation: h of three samples 2 each, S = K·(A B) 12, S (1 + h) 3 or a division each: the cheaper.
EQUALISATION = THREE_NORMALS + Count(flops=6 + 12 + 3, rows=7, table=3)
# Non-linearity of three samples: S (c₁ + c₂ S) 2 each; undone, a root, a division and 4 each: the cheaper.
RESPONSE = Count(flops=6, rows=6)

SCALARS = MATRIX + NON_LINEAR + MOMENTS
COUNTS = {
    "scalar sources": SCALARS,
    "noise": NON_LINEAR + MOMENTS + NOISE,
    "all sources": SCALARS + NOISE + EQUALISATION + RESPONSE + Count(flops=12, divisions=3, roots=3),  # S is undone
    "all sources, in the instrument": SCALARS + NOISE + EQUALISATION + RESPONSE,
}


@kernel
def multiply_adds(x, c, d, rounds):
    """64 fused multiply-adds of each number of a row, in eight chains."""
    for _ in range(rounds):
        for i in range(x.size):
            a = x[i]
            b, e, f, g, h, k, m = a + d, a - d, a * d, a * c, d - a, c - a, a + a
            for _ in range(8):
                a, b, e, f = fma(a, c, d), fma(b, c, d), fma(e, c, d), fma(f, c, d)
                g, h, k, m = fma(g, c, d), fma(h, c, d), fma(k, c, d), fma(m, c, d)
            x[i] = ((a + b) + (e + f)) + ((g + h) + (k + m))


@kernel
def words(w, key, rounds):
    """64 additions, rotations and exclusive ors, a third of each, in four chains, of each word of a row."""
    for _ in range(rounds):
        for i in range(w.size):
            a = w[i]
            b, c, d = add32(a, key), xor32(a, key), add32(a, a)
            for _ in range(5):
                a, b, c, d = add32(a, key), add32(b, key), add32(c, key), add32(d, key)
                a, b, c, d = rotl32(a, 13), rotl32(b, 7), rotl32(c, 5), rotl32(d, 3)
                a, b, c, d = xor32(a, key), xor32(b, key), xor32(c, key), xor32(d, key)
            w[i] = xor32(xor32(a, b), xor32(c, d))


@kernel
def divisions(x, y, rounds):
    """One division of each number of a row."""
    for _ in range(rounds):
        for i in range(x.size):
            x[i] = y[i] / x[i]


@kernel
def roots(x, rounds):
    """One square root of each number of a row."""
    for _ in range(rounds):
        for i in range(x.size):
            x[i] = np.sqrt(x[i])


@kernel
def increments(counts, index, rounds):
    """One increment of a histogram for each index of a row."""
    for _ in range(rounds):
        for i in range(index.size):
            counts[index[i]] += ONE


@kernel
def copies(x, y, rounds):
    """One number read and one written, in the cache; added so that it is not left out."""
    for _ in range(rounds):
        for i in range(x.size):
            x[i] = y[i] + x[i]


@kernel
def reading(total, w):
    """Sum of all words of an array that no cache keeps, exact and in any order: total (1,)."""
    found = ZERO
    for i in range(w.size):
        found = add32(found, w[i])
    total[0] = found


def costs() -> dict[str, float]:
    """Least cost of each operation of a `Count` [ns], measured now."""
    rng = np.random.Generator(np.random.PCG64(1))
    x, y = np.ones((2, LENGTH), np.float32)
    index = np.clip(rng.normal(128, 25, LENGTH), 0, 255).astype(np.uint32)  # as of a gap in bins of a tenth of its deviation
    counts, total = np.zeros(256, np.uint32), np.zeros(1, np.uint32)
    key, half = np.uint32(0x9E3779B9), np.float32(0.5)
    large, each = np.ones(MEMORY // 4, np.uint32), LENGTH * ROUNDS
    jobs = {
        "flops": (partial(multiply_adds, x, half, half, ROUNDS // 8), each / 8 * (64 + 14)),
        "integers": (partial(words, index.copy(), key, ROUNDS // 8), each / 8 * (60 + 6)),
        "divisions": (partial(divisions, y.copy(), y, ROUNDS), each),
        "roots": (partial(roots, y.copy(), ROUNDS), each),
        "increments": (partial(increments, counts, index, ROUNDS), each),
        "rows": (partial(copies, np.zeros(LENGTH // 4, np.float32), np.zeros(LENGTH // 4, np.float32), 4 * ROUNDS), 3 * each),
        "table": (partial(reading, total, large), large.size),
    }
    for job, _ in jobs.values():
        job()
    return least(jobs, 1.0)


def ceiling(count: Count, cost: dict[str, float]) -> float:
    """Least time of the operations of a pixel-realisation [ns]."""
    work = {name: n * cost[name] for name, n in vars(count).items() if name != "table"}
    cache = work.pop("rows")
    return max(sum(work.values()), cache)
