"""Addressed random numbers: what is drawn depends on its address, never on the order of calls.

The address of a normal number is (seed, source, band, realisation, index), the index being a parameter of the draw or a
pixel of a field; names enter by their crc32. The generator is Threefry4x32-13 (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3", SC11, whose authors found 12 rounds to pass all of BigCrush and publish known answers for
13), its words made normal by Box & Muller 1958 in float32 with the package's own polynomials, so that the same bits come
out of every processor.
"""

from zlib import crc32

import numpy as np

from radsens.kernel import add32, chain, fma, formula, kernel, rotl32, xor32

U32, F32 = np.uint32, np.float32
ZERO, PARITY = U32(0), U32(0x1BD11BDA)
PARAMETER, FIELD = 1, 0  # what the index of an address counts: parameters of a draw, or pixels
SHIFT_SIGN, SHIFT_HALF, SHIFT_MANTISSA = U32(31), U32(1), np.int32(23)
SQRT_HALF, LN2 = np.int32(0x3F3504F3), F32(0.6931471805599453)

# Chebyshev fits made with mpmath, rounded to float32 (errors 3e-8, 7e-9, 2e-10):
# ln(1+t)/t on [√½−1, √2−1]; sin(πx/2)/x and cos(πx/2), both in x² on [0, 1].
LOG = (1.0, -0.49999988, 0.33334184, -0.25002155, 0.19956978, -0.16560696, 0.14949095, -0.1437733, 0.087439455)
SIN = (1.5707964, -0.6459638, 0.07968992, -0.0046741506, 0.00015167512)
COS = (1.0, -1.2337005, 0.25366932, -0.020862687, 0.00091772387, -0.000023824536)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = map(F32, LOG)
S0, S1, S2, S3, S4 = map(F32, SIN)
C0, C1, C2, C3, C4, C5 = map(F32, COS)


@formula
def two_rounds(x0, x1, x2, x3, a0, a1, b0, b1):
    """Two rounds of Threefry4x32, rotations (a, b): Salmon et al. 2011, table 2."""
    x0 = add32(x0, x1)
    x1 = xor32(rotl32(x1, a0), x0)
    x2 = add32(x2, x3)
    x3 = xor32(rotl32(x3, a1), x2)
    x0 = add32(x0, x3)
    x3 = xor32(rotl32(x3, b0), x0)
    x2 = add32(x2, x1)
    x1 = xor32(rotl32(x1, b1), x2)
    return x0, x1, x2, x3


@formula
def threefry(x0, x1, x2, x3, k0, k1, k2, k3):
    """Threefry4x32-13: four random words of the counter x under the key k, all uint32."""
    k4 = xor32(PARITY, xor32(xor32(k0, k1), xor32(k2, k3)))
    x0, x1, x2, x3 = add32(x0, k0), add32(x1, k1), add32(x2, k2), add32(x3, k3)
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 10, 26, 11, 21)
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 13, 27, 23, 5)
    x0, x1, x2, x3 = add32(x0, k1), add32(x1, k2), add32(x2, k3), add32(x3, add32(k4, 1))
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 6, 20, 17, 11)
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 25, 10, 18, 20)
    x0, x1, x2, x3 = add32(x0, k2), add32(x1, k3), add32(x2, k4), add32(x3, add32(k0, 2))
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 10, 26, 11, 21)
    x0, x1, x2, x3 = two_rounds(x0, x1, x2, x3, 13, 27, 23, 5)
    x0, x1, x2, x3 = add32(x0, k3), add32(x1, k4), add32(x2, k0), add32(x3, add32(k1, 3))
    x0, x2 = add32(x0, x1), add32(x2, x3)
    return x0, xor32(rotl32(x1, 6), x0), x2, xor32(rotl32(x3, 20), x2)


@formula
def log32(x):
    """ln x of a positive normal float32 to 2.4 ulp: x = 2ᵉ (1 + t), √½ ≤ 1 + t < √2."""
    bits = F32(x).view(np.int32)
    e = np.int32(np.int32(bits - SQRT_HALF) >> SHIFT_MANTISSA)
    t = np.int32(bits - np.int32(e << SHIFT_MANTISSA)).view(np.float32) - F32(1)
    p = fma(fma(fma(fma(fma(fma(fma(fma(L8, t, L7), t, L6), t, L5), t, L4), t, L3), t, L2), t, L1), t, L0)
    return fma(F32(e), LN2, F32(p * t))


@formula
def box_muller(a, b):
    """Two standard normals √(−2 ln u) (±cos πx/2, sin πx/2) from two words: u from 31 bits of a, x in [−1, 1) from b.

    The lowest bit of a, which u does not use, is the sign of the cosine: it chooses the half of the circle.
    """
    u = fma(F32(np.int32(a >> SHIFT_HALF)), F32(2.0**-31), F32(2.0**-32))
    r = np.sqrt(F32(F32(-2) * log32(u)))
    x = F32(F32(np.int32(b)) * F32(2.0**-31))
    x2 = F32(x * x)
    s = F32(fma(fma(fma(fma(S4, x2, S3), x2, S2), x2, S1), x2, S0) * x)
    c = fma(fma(fma(fma(fma(C5, x2, C4), x2, C3), x2, C2), x2, C1), x2, C0)
    c = U32(xor32(F32(c).view(np.uint32), U32(a << SHIFT_SIGN))).view(np.float32)
    return F32(r * c), F32(r * s)


@kernel
def words(w0, w1, w2, w3, index, realisation, kind, k0, k1, k2, k3):
    """Four words of each address of a row; index and w are uint32 (pixel)."""
    for i in range(index.size):
        w0[i], w1[i], w2[i], w3[i] = threefry(index[i], realisation, kind, ZERO, k0, k1, k2, k3)


@kernel
def normals_of_words(z0, z1, z2, w0, w1, w2, w3):
    """Three normals, float32, of the four words of each pixel of a row (pixel)."""
    for i in range(z0.size):
        z0[i], z1[i] = box_muller(w0[i], w1[i])
    for i in range(z2.size):
        z2[i] = box_muller(w2[i], w3[i])[0]


@chain
def field_row(z, w, index, realisation, key):
    """Three standard normals of each pixel of a row: z (3, pixel) float32, w (4, pixel) work, key (4) uint32."""
    words(w[0], w[1], w[2], w[3], index, U32(realisation), U32(FIELD), key[0], key[1], key[2], key[3])
    normals_of_words(z[0], z[1], z[2], w[0], w[1], w[2], w[3])


@kernel
def parameter_table(z, first, key):
    """One standard normal for each realisation and parameter: z (realisation, parameter) float64."""
    for r in range(z.shape[0]):
        for p in range(z.shape[1]):
            a, b, _, _ = threefry(U32(p), U32(first + r), U32(PARAMETER), ZERO, key[0], key[1], key[2], key[3])
            z[r, p] = box_muller(a, b)[0]


def address(seed: int, source: str, place: str) -> np.ndarray:
    """Key of the generator for one source in one place (a band or a detector): (4,) uint32."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32, crc32(source.encode()), crc32(place.encode())], dtype=np.uint32)


def draws(seed: int, source: str, place: str, realisations: range, count: int) -> np.ndarray:
    """Standard normal draws of the parameters of a source.

    Parameters
    ----------
    seed : of the campaign, below 2⁶⁴
    source, place : name of the error source; name of the band, or of the detector for draws common to its bands
    realisations : the consecutive realisations to draw
    count : number of parameters of one draw

    Returns
    -------
    (realisation, parameter) float64
    """
    z = np.empty((len(realisations), count))
    parameter_table(z, realisations.start, address(seed, source, place))
    return z


def field(seed: int, source: str, place: str, realisation: int, index: np.ndarray) -> np.ndarray:
    """Standard normal random field, three values for each pixel: (3, pixel) float32; `index` is the pixel's address."""
    z, w = np.empty((3, index.size), np.float32), np.empty((4, index.size), np.uint32)
    field_row(z, w, index.astype(np.uint32), realisation, address(seed, source, place))
    return z
