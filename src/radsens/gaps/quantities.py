"""What is compared: the gaps between the retrieved and the reference image."""

import numpy as np

from radsens.elementary import ARCTAN
from radsens.kernel import fma, formula, kernel, like, of_kind

QUANTITIES = ("I", "Q", "U", "dolp", "aolp")
AOLP = QUANTITIES.index("aolp")
UNITS = {"I": "1", "Q": "1", "U": "1", "dolp": "1", "aolp": "deg"}
MEANING = {
    "I": "ΔI / I_ref",
    "Q": "ΔQ / I_ref, focal-plane frame",
    "U": "ΔU / I_ref, focal-plane frame",
    "dolp": "Δ(√(Q² + U²) / I), absolute",
    "aolp": "Δ(½ atan2(U, Q)), wrapped to (−90°, 90°]",
}

DEGREES = 180 / np.pi
TINY = 1e-35  # keeps 0/0 out of the gaps of an unpolarised pixel, in float32 too

# arctan q = q A(q²), 0 ≤ q ≤ 1, for float32: least greatest relative error, 1.7e-8; the first coefficient is held at 1.
ARCTAN_SINGLE = (
    1.0, -0.33333153, 0.19993773, -0.14211054, 0.10666001, -0.07552206, 0.043211754, -0.016367864, 0.002920676,
)  # fmt: skip
LAST, LAST_SINGLE = len(ARCTAN) - 1, len(ARCTAN_SINGLE) - 1


@formula
def arctan_unit(q):
    """arctan q, 0 ≤ q ≤ 1 [rad]: the polynomial of `elementary.ARCTAN`, or a shorter one where float32 is asked for."""
    t = q * q
    p, short = like(q, ARCTAN[LAST]), like(q, ARCTAN_SINGLE[LAST_SINGLE])
    for k in range(1, LAST + 1):
        p = fma(p, t, ARCTAN[LAST - k])
    for k in range(1, LAST_SINGLE + 1):
        short = fma(short, t, ARCTAN_SINGLE[LAST_SINGLE - k])
    return of_kind(q, short, p) * q


@kernel
def gap_row(gaps, q_ref, u_ref, p_ref):
    """DoLP and AoLP gaps of a row, gaps (5, pixel), from its first three and the reference q, u, DoLP (pixel).

    With (q, u)' = (q + ΔQ, u + ΔU), I' = 1 + ΔI all by I_ref, r² = q'² + u'² and (a, b) = (ΔQ − q ΔI, ΔU − u ΔI),

        ΔDoLP = r / I' − P = (a (q I' + q') + b (u I' + u')) / (I' (r + P I')).

    The angle between two directions of polarisation is half that of (q, u)' seen from (q, u), (x, y), where y = b q − a u; its
    half angle is arctan(|y| / (r P + |x|)). Nothing cancels, however small the gaps are.
    """
    di, dq, du, dp, da = gaps[0], gaps[1], gaps[2], gaps[3], gaps[4]
    for i in range(di.size):
        q, u, p, si = q_ref[i], u_ref[i], p_ref[i], like(di[i], 1.0) + di[i]
        sq, su = q + dq[i], u + du[i]
        a, b = fma(-q, di[i], dq[i]), fma(-u, di[i], du[i])
        r = np.sqrt(fma(sq, sq, su * su))
        both = fma(p, si, r)
        both = both if both > like(q, TINY) else like(q, TINY)
        dp[i] = fma(a, fma(q, si, sq), b * fma(u, si, su)) / (si * both)
        y = fma(b, q, -(a * u))
        x = fma(sq, q, su * u)
        d = fma(r, p, abs(x))
        d = d if d > like(q, TINY) else like(q, TINY)
        t = abs(y) / d
        t = like(q, 1.0) if t > like(q, 1.0) else t  # by rounding alone, where all polarisation is lost
        angle = like(q, DEGREES) * arctan_unit(t)
        angle = like(q, 90.0) - angle if x < like(q, 0.0) else angle
        da[i] = -angle if y < like(q, 0.0) else angle


@kernel
def intensity_gap_row(gap, d, inverse_k, inverse_b0, inverse_gain):
    """ΔI / I of an unpolarised band (pixel): D / (P g A t_m) divided by B₀ = I (1 + ε (q₀ cos 2φ + u₀ sin 2φ))."""
    for i in range(gap.size):
        gap[i] = d[i] * inverse_k[i] * inverse_gain * inverse_b0[i]
