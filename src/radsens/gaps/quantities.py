"""What is compared: the gaps between the retrieved and the reference image."""

import numpy as np

from radsens.elementary import ARCTAN
from radsens.kernel import fma, formula, kernel, like

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

LAST = len(ARCTAN) - 1
DEGREES = 180 / np.pi
TINY = 1e-35  # keeps 0/0 out of the angle of an unpolarised pixel, in float32 too


@formula
def arctan_unit(q):
    """arctan q, 0 ≤ q ≤ 1 [rad]: the polynomial of `elementary.ARCTAN`."""
    t = q * q
    p = like(q, ARCTAN[LAST])
    for k in range(1, LAST + 1):
        p = fma(p, t, ARCTAN[LAST - k])
    return p * q


@kernel
def gap_row(gaps, s, q_ref, u_ref, p_ref):
    """Gaps of a row, gaps (5, pixel), from s = (I, Q, U)' / I_ref (3, pixel) and the reference q, u, DoLP (pixel).

    The angle between two directions of polarisation is half that of (q, u)' seen from (q, u)_ref, (x, y); its half angle is
    arctan(|y| / (√(x²+y²) + |x|)), √(x²+y²) = √(q²+u²)' P_ref, without cancellation however small the gap is.
    """
    di, dq, du, dp, da = gaps[0], gaps[1], gaps[2], gaps[3], gaps[4]
    si, sq, su = s[0], s[1], s[2]
    for i in range(di.size):
        di[i] = si[i] - like(si[i], 1.0)
        dq[i] = sq[i] - q_ref[i]
        du[i] = su[i] - u_ref[i]
        da[i] = np.sqrt(fma(sq[i], sq[i], su[i] * su[i]))  # used below
        dp[i] = da[i] / si[i] - p_ref[i]
    for i in range(da.size):
        y = fma(su[i], q_ref[i], -(sq[i] * u_ref[i]))
        x = fma(sq[i], q_ref[i], su[i] * u_ref[i])
        d = fma(da[i], p_ref[i], abs(x))
        d = d if d > like(d, TINY) else like(d, TINY)
        angle = like(y, DEGREES) * arctan_unit(abs(y) / d)
        angle = like(y, 90.0) - angle if x < like(x, 0.0) else angle
        da[i] = -angle if y < like(y, 0.0) else angle


@kernel
def intensity_gap_row(gap, x, inverse_b0, inverse_gain):
    """ΔI / I of an unpolarised band (pixel): X / (A t_m) divided by B₀ = I (1 + ε (q₀ cos 2φ + u₀ sin 2φ))."""
    for i in range(gap.size):
        gap[i] = fma(x[i] * inverse_gain, inverse_b0[i], like(x[i], -1.0))
