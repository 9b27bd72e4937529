"""A second code of the measurement and of its inverse, one realisation at a time, by 4×4 Mueller products.

Slow and plain on purpose, and nothing here comes from the package. References: Goldstein 2011, Polarized Light,
chapters 5 and 6 (diattenuator, rotation); Hagolle et al. 1999, IEEE TGRS 37(3) 1550 (radiometric model).
"""

from dataclasses import dataclass

import numpy as np


def rotator(angle):
    """Mueller matrix of a rotation of the axes by `angle` [rad], (..., 4, 4)."""
    c, s, zero, one = np.cos(2 * angle), np.sin(2 * angle), np.zeros_like(angle), np.ones_like(angle)
    rows = [[one, zero, zero, zero], [zero, c, s, zero], [zero, -s, c, zero], [zero, zero, zero, one]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def diattenuator(diattenuation, angle):
    """Mueller matrix of transmissions 1 ± D along and across `angle`, mean transmission 1, (..., 4, 4)."""
    d, angle = np.broadcast_arrays(np.asarray(diattenuation, float), np.asarray(angle, float))
    zero, one, kappa = np.zeros_like(d), np.ones_like(d), np.sqrt(1 - d**2)
    rows = [[one, d, zero, zero], [d, one, zero, zero], [zero, zero, kappa, zero], [zero, zero, zero, kappa]]
    return rotator(-angle) @ np.moveaxis(np.array(rows), (0, 1), (-2, -1)) @ rotator(angle)


def response(eta, alpha, eps, phi):
    """P₁, P₂, P₃ of a polariser (η, α) behind optics (ε, φ): first row of M_pol M_opt, (..., 3)."""
    return (diattenuator(eta, alpha) @ diattenuator(eps, phi))[..., 0, :3]


def hagolle(eta, alpha, eps, phi):
    """The same to first order in ε, as Hagolle et al. write it."""
    p1 = 1 + eta * eps * np.cos(2 * (alpha - phi))
    p2 = eta * np.cos(2 * alpha) + eps * np.cos(2 * phi)
    return np.stack([p1, p2, eta * np.sin(2 * alpha) + eps * np.sin(2 * phi)], axis=-1)


@dataclass(frozen=True)
class Chain:
    """One band of an instrument in one realisation; (polariser, 1) or (polariser, pixel) arrays, angles in rad.

    An unpolarised band has one sample with η = 0.
    """

    gain: float
    transmission: np.ndarray
    orientation: np.ndarray
    eta: np.ndarray
    eps: np.ndarray
    phi: np.ndarray
    low_frequency: np.ndarray
    high_frequency: np.ndarray
    dark: float
    bits: int
    b: float = 0.0
    order: int = 2
    calibrated_at: float = 0.0

    @property
    def full_scale(self):
        return 2**self.bits - 1 - self.dark

    def weights(self):
        """Counts per unit of I, Q, U before the non-linearity, (polariser, pixel, 3)."""
        scale = self.gain * self.transmission * self.low_frequency * self.high_frequency
        return scale[..., None] * response(self.eta, self.orientation, self.eps, self.phi)


def bent(s, chain):
    """f(S) = S [1 + b ((S/S_fs)^(n−1) − x₀^(n−1))]."""
    n = chain.order - 1
    return s * (1 + chain.b * ((s / chain.full_scale) ** n - chain.calibrated_at**n))


def straightened(y, chain):
    """Its inverse: the root of a quadratic, or of a cubic by Viète (sine) or by the hyperbolic sine."""
    linear = 1 - chain.b * chain.calibrated_at ** (chain.order - 1)
    y, b = y / linear, chain.b / linear
    if b == 0:
        return y
    if chain.order == 2:
        return 2 * y / (1 + np.sqrt(1 + 4 * b * y / chain.full_scale))
    a = abs(b) / chain.full_scale**2
    p = 1 / (3 * a)
    if b > 0:
        return 2 * np.sqrt(p) * np.sinh(np.arcsinh(y / (2 * a * p**1.5)) / 3)
    return 2 * np.sqrt(p) * np.sin(np.arcsin(y / (2 * a * p**1.5)) / 3)


def measured(stokes, chain, noise=0.0, quantised=False, saturated=False):
    """Counts (polariser, pixel) of I, Q, U (3, pixel); `noise` is added to them."""
    counts = bent(np.einsum("apk,kp->ap", chain.weights(), stokes), chain) + chain.dark + noise
    counts = np.round(counts) if quantised else counts
    return np.minimum(counts, 2**chain.bits - 1) if saturated else counts


def retrieved(counts, chain):
    """I, Q, U (3, pixel) of counts, a 3×3 system in each pixel."""
    signal = straightened(counts - chain.dark, chain)
    matrix = np.moveaxis(chain.weights(), 0, 1)
    return np.linalg.solve(matrix, signal.T[..., None])[..., 0].T


def retrieved_intensity(counts, chain, stokes):
    """I (pixel) of an unpolarised band, told the true q and u."""
    weights = chain.weights()[0]
    q, u = stokes[1] / stokes[0], stokes[2] / stokes[0]
    return straightened(counts - chain.dark, chain)[0] / (weights[:, 0] + weights[:, 1] * q + weights[:, 2] * u)


def differences(stokes, reference):
    """ΔI/I, ΔQ/I, ΔU/I, ΔDoLP and Δχ [deg], wrapped to (−90°, 90°], (5, pixel)."""
    i, q, u = stokes
    i0, q0, u0 = reference
    turn = np.degrees(np.arctan2(u, q) - np.arctan2(u0, q0)) / 2
    turn = 90 - (90 - turn) % 180
    dolp = np.hypot(q, u) / i - np.hypot(q0, u0) / i0
    return np.array([(i - i0) / i0, (q - q0) / i0, (u - u0) / i0, dolp, turn])
