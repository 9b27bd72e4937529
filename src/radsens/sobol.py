"""Scrambled Sobol points: draws that fill the space of the parameters more evenly than random ones.

Realisation r is point r div 8 of replicate r mod 8. The replicates are independent scrambles of the same points: each is
unbiased by itself, and their scatter is the error of what they give together; raising the number of realisations goes on
with the points. A point is found from its number alone, in whole numbers, so that no table of points is kept: the n-th of
a dimension is the exclusive or of the direction numbers at the bits of n (Sobol' 1967).

Scrambling is nested and uniform (Owen 1995), and exact: each bit is flipped by a random bit of its own for every value of
the bits above it. These random bits are Threefry words at an address, as all others of the package, so that nothing
rests on the quality of a hash (Burley 2020) and no table of permutations is kept. For smooth functions the variance falls
faster than 1/n² (Owen 1997). The linear scramble of Matoušek 1998 has the same variance (Owen 2003), but that estimates tend to
a normal law, as a standard error supposes, is known for the nested one (Loh 2003).

Each parameter of each source has a dimension of its own, since two scrambles of one dimension are not independent of each
other point by point and would spoil a combination of sources. Places (bands, or detectors) have the same dimensions, and
take the points in orders of their own, independently shuffled: padding, of Kollig & Keller 2002. The shuffle is nested as
the scramble is, so that the first 2^k points stay a net. With dimensions of their own the twelve bands of 3MI would need 156,
among which some pairs fill their square so badly for 128 to 1024 points that the variance of a mean of their product is 50
to 70 times that of random draws. The first 13 have no such pair (at most 1.6 times for 128 points, 0.13 for 1024, on average
0.16 and 0.02), and between two places the shuffle leaves 1.0 to 2.2 times that of random draws, 1.4 on average, for any number.

References
----------
Sobol' I. M. 1967, USSR Computational Mathematics and Mathematical Physics 7(4), 86–112.
Owen A. B. 1995, Randomly permuted (t,m,s)-nets and (t,s)-sequences, in Monte Carlo and Quasi-Monte Carlo Methods in
Scientific Computing, Lecture Notes in Statistics 106, 299–317.
Owen A. B. 1997, Scrambled net variance for integrals of smooth functions, Annals of Statistics 25, 1541–1562.
Matoušek J. 1998, On the L2-discrepancy for anchored boxes, Journal of Complexity 14, 527–556.
Owen A. B. 2003, Variance with alternative scramblings of digital nets, ACM TOMACS 13, 363–378.
Loh W.-L. 2003, On the asymptotic distribution of scrambled net quadrature, Annals of Statistics 31, 1282–1324.
Joe S. & Kuo F. Y. 2008, Constructing Sobol sequences with better two-dimensional projections, SIAM J. Sci. Comput. 30,
2635–2654 (direction numbers, joe_kuo.txt).
Kollig T. & Keller A. 2002, Efficient multidimensional sampling, Computer Graphics Forum 21(3), 557–563.
Burley B. 2020, Practical hash-based Owen scrambling, Journal of Computer Graphics Techniques 9(4), 1–20.
All recalled, none read again; the direction numbers are verified (tests/test_sobol.py).
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from radsens.elementary import ndtri
from radsens.kernel import formula, kernel
from radsens.random import address, threefry
from radsens.schema import Fault

U32 = np.uint32
REPLICATES = 8
DIMENSIONS = 1024  # of the file
BITS = 32  # of a coordinate
LEVELS = 7  # of bits that one word of 128 flips: 2⁷ − 1 nodes of a binary tree
SCRAMBLE = 2  # what the index of an address counts, beside FIELD and PARAMETER: this one, 9, 16, 23 and 30
SHUFFLE = "order of the points"  # addresses the shuffle of a place as if it were a source, of a name that none can have
NUMBERS = Path(__file__).with_name("joe_kuo.txt")
# Of that file; here, since the key of a result follows the code.
DIGEST = "b774e4c18a0c80de26f211d97f5a9d77c3a6c97b848f0f95146fd46c1f78309e"


@cache
def numbers() -> tuple[str, ...]:
    """Rows of the file of direction numbers, a and m₁ … m_s of the dimensions from the second on."""
    text = NUMBERS.read_bytes()
    if sha256(text).hexdigest() != DIGEST:
        raise Fault(f"{NUMBERS.name}: is not the file of direction numbers that the package was made with; install it again")
    return tuple(line for line in text.decode("ascii").splitlines() if not line.startswith("#"))


@cache
def directions(dimension: int) -> tuple[int, ...]:
    """Direction numbers of a dimension, counted from 0: 32 whole numbers of 32 bits, that of bit 0 of the point first.

    v_k = m_k 2^(32−k) for k ≤ s, then v_k = v_{k−s} ⊕ v_{k−s} 2^(−s) ⊕ (⊕ a_i v_{k−i}, 0 < i < s), with a₁ … a_{s−1} the
    binary digits of a, the highest first (Joe & Kuo 2008, equations 2 and 3). In the first dimension all m_k are 1.

    Raises
    ------
    Fault : beyond the dimensions that there are numbers for
    """
    if not dimension:
        return tuple(1 << (BITS - k) for k in range(1, BITS + 1))
    if dimension >= DIMENSIONS:
        raise Fault(f"sampling: sobol has {DIMENSIONS} dimensions, and dimension {dimension} is beyond them; use random")
    a, *m = map(int, numbers()[dimension - 1].split())
    s = len(m)
    v = [m_k << (BITS - k) for k, m_k in enumerate(m, start=1)]
    for k in range(s, BITS):
        v_k = v[k - s] ^ (v[k - s] >> s)
        for i in range(1, s):
            v_k ^= v[k - i] if a >> (s - 1 - i) & 1 else 0
        v.append(v_k)
    return tuple(v)


@formula
def coordinate(n, v):
    """Coordinate of point n [2⁻³²]: the exclusive or of the direction numbers v (32) int64 at the bits of n."""
    x = 0
    for b in range(BITS):
        if (n >> b) & 1:
            x ^= v[b]
    return x


@formula
def scrambled(x, index, replicate, k0, k1, k2, k3):
    """x, of 32 bits, with each bit flipped by a random one that the bits above it choose: Owen 1995.

    The bits go down a binary tree, whose node j has the children 2j and 2j + 1. Seven levels of it are the 127 nodes of one
    set of four words, addressed by the bits above.
    """
    y, above = 0, 0
    for top in range(0, BITS, LEVELS):
        w0, w1, w2, w3 = threefry(U32(index), U32(replicate), U32(SCRAMBLE + top), U32(above), k0, k1, k2, k3)
        node = 1
        for level in range(top, min(top + LEVELS, BITS)):
            w = (w0 if node < 32 else w1) if node < 64 else (w2 if node < 96 else w3)
            bit = (x >> (BITS - 1 - level)) & 1
            y = 2 * y + (bit ^ ((np.int64(w) >> (node & 31)) & 1))
            above, node = 2 * above + bit, 2 * node + bit
    return y


@kernel
def shares(u, first, v, key, order):
    """Points of consecutive realisations, (y + ½)/2³², never 0 or 1.

    u (realisation, parameter) float64 is filled; v (parameter, 32) direction numbers; key, order (4) of the scramble and of
    the shuffle.
    """
    for r in range(u.shape[0]):
        replicate = (first + r) % REPLICATES
        n = scrambled((first + r) // REPLICATES, 0, replicate, order[0], order[1], order[2], order[3])
        for p in range(u.shape[1]):
            y = scrambled(coordinate(n, v[p]), p, replicate, key[0], key[1], key[2], key[3])
            u[r, p] = (y + 0.5) * 2.0**-BITS


def draws(seed: int, source: str, place: str, realisations: range, dimensions: range) -> np.ndarray:
    """Standard normal draws of the parameters of a source, of Sobol points.

    Parameters
    ----------
    seed, source, place, realisations : as of `radsens.random.draws`
    dimensions : those of the source, one for each parameter of a draw

    Returns
    -------
    (realisation, parameter) float64

    Raises
    ------
    Fault : beyond the dimensions that there are numbers for
    """
    u = np.empty((len(realisations), len(dimensions)))
    v = np.array([directions(d) for d in dimensions], dtype=np.int64).reshape(-1, BITS)
    shares(u, realisations.start, v, address(seed, source, place), address(seed, SHUFFLE, place))
    return ndtri(u)
